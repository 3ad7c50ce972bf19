//! Says where libplait is: PLAIT_LIB_DIR, the folder `lib` of an install or of the Python package.

fn main() {
    println!("cargo:rerun-if-env-changed=PLAIT_LIB_DIR");
    let folder = std::env::var("PLAIT_LIB_DIR").expect("PLAIT_LIB_DIR has to name the folder of libplait.so");
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-lib=dylib=plait");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
}
