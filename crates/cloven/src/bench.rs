//! `cloven bench`: every protocol on the same job, side by side with plain split learning on this machine.

use std::path::Path;

use serde::Serialize;

use crate::{
    Error, Job, Program, RunOptions, Summary,
    demo::{comparable_job, has_its_own_job, ratio_to_plain},
    init::template,
    job::Protocol,
    run,
};

/// What to compare.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The `cloven` program.
    pub program: Program,
    /// A data set known by name.
    pub data: String,
    /// Epochs of each run.
    pub epochs: u32,
    /// How often each protocol runs.
    pub repeats: u32,
}

/// One protocol's figures. Times and ratios are medians over the repeats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchRow {
    /// The protocol.
    pub protocol: String,
    /// Seconds of an epoch's training.
    pub seconds_per_epoch: f64,
    /// The same over plain split learning in the same repeat; of `encrypted-model`, whose job has another cut, over plain split learning of that job.
    pub ratio_to_plain: f64,
    /// Bytes of all messages of all parties in an epoch's training, at the socket.
    pub bytes_per_epoch: u64,
    /// Accuracy on the test rows after the last epoch.
    pub test_accuracy: Option<f64>,
    /// The largest resident memory of any party.
    pub peak_rss_bytes: Option<u64>,
}

/// Runs every protocol `repeats` times in turn (so that a drift of the machine's speed meets all alike); `told` hears of each run.
pub fn bench(options: &BenchOptions, told: &mut dyn FnMut(String)) -> Result<Vec<BenchRow>, Error> {
    let runs = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    let mut repeats: Vec<Vec<Summary>> = Vec::new();
    for repeat in 1..=options.repeats.max(1) {
        let mut each = Vec::new();
        for protocol in Protocol::ALL {
            let Some(job) = job_of(protocol, options)? else {
                if repeat == 1 {
                    told(format!("{}: no job for {} to compare", protocol.name(), options.data));
                }
                continue;
            };
            let (summary, _) = run(&job, &run_options(options, protocol, runs.path()), &mut |_| ())?;
            told(format!(
                "{}, run {repeat} of {}: {:.3} s an epoch",
                protocol.name(),
                options.repeats,
                summary.seconds_per_epoch
            ));
            each.push(summary);
        }
        repeats.push(each);
    }
    Ok((0..repeats[0].len()).filter_map(|index| row(&repeats, index)).collect())
}

/// What the protocol is compared on; `None` where no job is known for it.
fn job_of(protocol: Protocol, options: &BenchOptions) -> Result<Option<Job>, Error> {
    if template(&options.data, Some(protocol)).is_err() && template(&options.data, None).is_ok() {
        return Ok(None);
    }
    comparable_job(&options.data, protocol, &settings(options)).map(Some)
}

/// The settings of every run.
fn settings(options: &BenchOptions) -> [(String, toml::Value); 2] {
    [
        ("training.epochs".to_owned(), toml::Value::Integer(options.epochs.into())),
        ("training.evaluate_every".to_owned(), toml::Value::Integer(0)),
    ]
}

fn run_options(options: &BenchOptions, protocol: Protocol, runs: &Path) -> RunOptions {
    // No party's own settings: nothing but the job's data set.
    RunOptions {
        compare_plain: has_its_own_job(protocol),
        ..RunOptions::new(&options.program, runs)
    }
}

/// The figures of the protocol at `index`; plain stands at 0.
fn row(repeats: &[Vec<Summary>], index: usize) -> Option<BenchRow> {
    let last = repeats.last()?.get(index)?;
    let seconds = repeats.iter().map(|each| each[index].seconds_per_epoch);
    let ratios = repeats.iter().map(|each| ratio_to_plain(&each[index], &each[0]));
    Some(BenchRow {
        protocol: last.protocol.clone(),
        seconds_per_epoch: median(seconds.collect()),
        ratio_to_plain: median(ratios.collect()),
        bytes_per_epoch: last.bytes_per_epoch,
        test_accuracy: last.test_accuracy,
        peak_rss_bytes: last.peak_rss_bytes.values().copied().flatten().max(),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}
