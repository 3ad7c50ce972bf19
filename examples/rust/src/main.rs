//! Runs a function that another program exported, with parameters from a safetensors file.
//!
//!     predict MODEL.plait WEIGHTS.safetensors ROWS
//!
//! The function takes x, float32 (rows, 3), and the file's arrays by their names. Prints each number of the first result.

mod plait;

use plait::{load, Array, Function};

fn run(model: &str, weights: &str, rows: i64) -> Result<(), Box<dyn std::error::Error>> {
    let predict = Function::import(model)?;
    let parameters = load(weights)?;
    let counted: Vec<f32> = (0..3 * rows).map(|i| i as f32).collect();
    let x = Array::new(&counted, &[rows, 3])?.divide(&Array::new(&[10.0], &[])?)?;
    let results = predict.call(&[&x], &parameters)?;
    let first = results.first().ok_or("the function has no result")?;
    eprintln!("result of shape {:?}", first.shape());
    for number in first.to_vec()? {
        println!("{number}");
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rows = arguments.get(3).and_then(|text| text.parse().ok());
    let (4, Some(rows)) = (arguments.len(), rows) else {
        eprintln!("usage: predict MODEL.plait WEIGHTS.safetensors ROWS");
        std::process::exit(2);
    };
    if let Err(error) = run(&arguments[1], &arguments[2], rows) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
