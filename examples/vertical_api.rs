//! Trains on columns of two parties with the library, each party a process of its own: `cargo run --release -p cloven --example
//! vertical_api`, after `cargo build --release`.

use std::path::Path;

use cloven::{Error, Job, Protocol, RunOptions, init::template, parse_settings, run};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().unwrap_or_else(|| "target/release/cloven".into());
    let runs = arguments.next().unwrap_or_else(|| "runs".into());
    // Breast-cancer data inside the program; `Job::read` takes a file.
    let text = template("wdbc", Some(Protocol::Vertical))?;
    let settings = parse_settings(&["training.epochs=6".into()])?;
    let job = Job::parse(&text, "wdbc", &settings)?;
    job.leaks()
        .iter()
        .for_each(|leak| println!("{} learns {}", leak.party, leak.learns));
    let options = RunOptions::new(Path::new(&program), Path::new(&runs));
    let (summary, folder) = run(&job, &options, &mut |_| ())?;
    let (accuracy, area) = (summary.test_accuracy.unwrap_or_default(), summary.auc.unwrap_or_default());
    println!("accuracy {accuracy:.4}, area under the ROC curve {area:.4}");
    println!("{} bytes an epoch; weights in {}", summary.bytes_per_epoch, folder.display());
    Ok(())
}
