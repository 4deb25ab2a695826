//! The whole table of targets of the lattice core and of split learning with encrypted activations, in one run.
//!
//! `cargo bench -p cloven-cli --bench table` (`-- --help` for what can be adjusted)
//!
//! What is compared runs in turn (A B A B ...), so that a drift of the machine's speed meets both alike; a figure is the median of its
//! rounds, a ratio that of two such medians.

mod lattice;
mod multiply_add;
mod product;
mod row;
mod seeds;
mod split_step;
mod timing;
mod training;
mod transforms;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use row::Row;

/// Measures every target in one run and prints what was measured, the target, and whether it is met.
#[derive(Debug, Parser)]
#[command(
    name = "table",
    after_help = "Examples:\n  cargo bench -p cloven-cli --bench table\n  \
                  CLOVEN_DATA=data cargo bench -p cloven-cli --bench table -- --seeds 5 --json\n  \
                  cargo bench -p cloven-cli --bench table -- --only transforms,lattice"
)]
struct Arguments {
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds of each measurement of the primitives
    #[arg(long, default_value_t = 101, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Pairs of split and unsplit training
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Epochs of each timed training on MIT-BIH
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// How often each protocol is timed on MIT-BIH
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Seeds (1, 2, ...) over which the accuracies are compared, minutes each; at least 2, or 0: not at all
    #[arg(long, default_value_t = 0, value_parser = seeds_in_range)]
    seeds: u32,
    /// Epochs of each training of that comparison
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seed_epochs: u32,
    /// What `cargo bench` adds
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Transforms,
    Product,
    Lattice,
    SplitStep,
    Training,
    Seeds,
}

fn seeds_in_range(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(seeds) if seeds == 0 || (2..=seeds::MOST).contains(&seeds) => Ok(seeds),
        _ => Err(format!("expected 0 or 2 to {}", seeds::MOST)),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let load_before = load();
    match measure(&arguments) {
        Ok(rows) => {
            let machine = row::Machine::new(load_before, load());
            match arguments.json {
                true => println!("{}", row::json(&machine, &rows)),
                false => print!("{}", row::table(&machine, &rows)),
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every part in turn; a target that is not met is a row, not an error.
fn measure(arguments: &Arguments) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let rounds = arguments.rounds as usize;
    let mut rows = Vec::new();
    if wanted(Part::Transforms) {
        eprintln!("transforms");
        rows.extend(transforms::rows(rounds)?);
    }
    if wanted(Part::Product) {
        eprintln!("modular matrix product");
        rows.extend(product::rows(rounds)?);
    }
    if wanted(Part::Lattice) {
        eprintln!("encryption and the layer 4 x 256 x 5");
        rows.extend(lattice::rows(rounds)?);
    }
    if wanted(Part::SplitStep) {
        eprintln!("split step over unsplit step");
        rows.push(split_step::row(arguments.pairs as usize));
    }
    if wanted(Part::Training) {
        eprintln!("training on MIT-BIH");
        rows.extend(training::rows(arguments.epochs, arguments.repeats)?);
    }
    if wanted(Part::Seeds) {
        rows.extend(seeds::rows(arguments.seeds, arguments.seed_epochs)?);
    }
    Ok(rows)
}

/// The load average of the last minute, where the system tells.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
