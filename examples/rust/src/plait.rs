//! A small safe layer over plait/c.h: what this program needs of it. Every function of the header binds the same way.

use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::fmt;
use std::ptr;

/// The C functions, as plait/c.h and plait/c_ops.h declare them.
mod ffi {
    use super::{c_char, c_int, c_void};

    pub type Array = *mut c_void;
    pub type Function = *mut c_void;
    pub type Loaded = *mut c_void;
    pub type Status = c_int;

    pub const FLOAT32: c_int = 11;

    extern "C" {
        pub fn plait_error_message() -> *const c_char;
        pub fn plait_array_new(
            data: *const c_void,
            bytes: usize,
            shape: *const i64,
            rank: c_int,
            dtype: c_int,
            out: *mut Array,
        ) -> Status;
        pub fn plait_array_free(array: Array);
        pub fn plait_array_rank(array: Array) -> c_int;
        pub fn plait_array_extent(array: Array, axis: c_int) -> i64;
        pub fn plait_array_dtype(array: Array) -> c_int;
        pub fn plait_array_bytes(array: Array) -> usize;
        pub fn plait_array_read(array: Array, to: *mut c_void, bytes: usize) -> Status;
        pub fn plait_divide(a: Array, b: Array, result: *mut Array) -> Status;

        pub fn plait_load(path: *const c_char, format: *const c_char, out: *mut Loaded) -> Status;
        pub fn plait_loaded_free(loaded: Loaded);
        pub fn plait_loaded_count(loaded: Loaded) -> usize;
        pub fn plait_loaded_name(loaded: Loaded, at: usize) -> *const c_char;
        pub fn plait_loaded_get(loaded: Loaded, name: *const c_char, out: *mut Array) -> Status;

        pub fn plait_function_import(path: *const c_char, out: *mut Function) -> Status;
        pub fn plait_function_free(function: Function);
        pub fn plait_function_call(
            function: Function,
            arrays: *const Array,
            array_count: usize,
            names: *const *const c_char,
            named: *const Array,
            named_count: usize,
            results: *mut Array,
            capacity: usize,
            result_count: *mut usize,
        ) -> Status;
    }
}

/// What a call said was wrong. `status` is a `plait_status`.
#[derive(Debug)]
pub struct Error {
    pub status: i32,
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} (status {})", self.message, self.status)
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

fn check(status: ffi::Status) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the text is valid until this thread's next failed call, and is copied before.
    let message = unsafe { CStr::from_ptr(ffi::plait_error_message()) }.to_string_lossy().into_owned();
    Err(Error { status, message })
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error { status: 1, message: format!("{text:?} has a zero byte") })
}

/// An array, lazy as everywhere in plait. Any thread may use it.
pub struct Array(ffi::Array);

// SAFETY: handles may be used from any thread, and several at once; freeing takes ownership.
unsafe impl Send for Array {}
unsafe impl Sync for Array {}

impl Drop for Array {
    fn drop(&mut self) {
        unsafe { ffi::plait_array_free(self.0) }
    }
}

impl Array {
    /// Copies row-major elements.
    pub fn new(data: &[f32], shape: &[i64]) -> Result<Array> {
        let mut out = ptr::null_mut();
        let bytes = std::mem::size_of_val(data);
        let rank = shape.len() as c_int;
        check(unsafe {
            ffi::plait_array_new(data.as_ptr().cast(), bytes, shape.as_ptr(), rank, ffi::FLOAT32, &mut out)
        })?;
        Ok(Array(out))
    }

    pub fn shape(&self) -> Vec<i64> {
        let rank = unsafe { ffi::plait_array_rank(self.0) };
        (0..rank).map(|axis| unsafe { ffi::plait_array_extent(self.0, axis) }).collect()
    }

    pub fn divide(&self, by: &Array) -> Result<Array> {
        let mut out = ptr::null_mut();
        check(unsafe { ffi::plait_divide(self.0, by.0, &mut out) })?;
        Ok(Array(out))
    }

    /// The elements, computed now. They have to be float32.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        if unsafe { ffi::plait_array_dtype(self.0) } != ffi::FLOAT32 {
            return Err(Error { status: 1, message: "to_vec: the array is not of float32".into() });
        }
        let bytes = unsafe { ffi::plait_array_bytes(self.0) };
        let mut out = vec![0f32; bytes / std::mem::size_of::<f32>()];
        check(unsafe { ffi::plait_array_read(self.0, out.as_mut_ptr().cast(), bytes) })?;
        Ok(out)
    }
}

/// Arrays of a file, by name.
pub fn load(path: &str) -> Result<Vec<(CString, Array)>> {
    struct Loaded(ffi::Loaded);
    impl Drop for Loaded {
        fn drop(&mut self) {
            unsafe { ffi::plait_loaded_free(self.0) }
        }
    }
    let path = c_text(path)?;
    let mut raw = ptr::null_mut();
    check(unsafe { ffi::plait_load(path.as_ptr(), ptr::null(), &mut raw) })?;
    let loaded = Loaded(raw);
    (0..unsafe { ffi::plait_loaded_count(loaded.0) })
        .map(|at| {
            // SAFETY: names are valid as long as `loaded`, and are copied.
            let name = unsafe { CStr::from_ptr(ffi::plait_loaded_name(loaded.0, at)) }.to_owned();
            let mut array = ptr::null_mut();
            check(unsafe { ffi::plait_loaded_get(loaded.0, name.as_ptr(), &mut array) })?;
            Ok((name, Array(array)))
        })
        .collect()
}

/// A function that some program exported.
pub struct Function(ffi::Function);

impl Drop for Function {
    fn drop(&mut self) {
        unsafe { ffi::plait_function_free(self.0) }
    }
}

impl Function {
    pub fn import(path: &str) -> Result<Function> {
        let path = c_text(path)?;
        let mut out = ptr::null_mut();
        check(unsafe { ffi::plait_function_import(path.as_ptr(), &mut out) })?;
        Ok(Function(out))
    }

    /// Calls it with arrays by position and by name; it may have up to 64 results.
    pub fn call(&self, arrays: &[&Array], named: &[(CString, Array)]) -> Result<Vec<Array>> {
        let arrays: Vec<ffi::Array> = arrays.iter().map(|a| a.0).collect();
        let names: Vec<*const c_char> = named.iter().map(|(name, _)| name.as_ptr()).collect();
        let values: Vec<ffi::Array> = named.iter().map(|(_, a)| a.0).collect();
        let mut results = [ptr::null_mut(); 64];
        let mut count = 0;
        check(unsafe {
            ffi::plait_function_call(
                self.0,
                arrays.as_ptr(),
                arrays.len(),
                names.as_ptr(),
                values.as_ptr(),
                values.len(),
                results.as_mut_ptr(),
                results.len(),
                &mut count,
            )
        })?;
        Ok(results[..count].iter().map(|&a| Array(a)).collect())
    }
}
