//! `m1` on MIT-BIH with batches of 4: encrypted activations beside plain split learning, every party a process.

use std::path::Path;

use cloven::{Error, Job, RunOptions, Summary, run};

use crate::{row::Row, timing::median};

const PART: &str = "training";
const PLAIN: &str = include_str!("../../../../examples/01_ecg.toml");
const SEALED: &str = include_str!("../../../../examples/07_ecg_sealed.toml");

/// Time and bytes of an epoch, and memory.
pub fn rows(epochs: u32, repeats: u32) -> Result<Vec<Row>, Error> {
    let time = "MIT-BIH m1, batch 4, sealed: seconds per epoch over plain";
    let bytes = "the same: bytes per epoch";
    let memory = "the same: peak memory of either party";
    if let Some(why) = no_data() {
        return Ok(vec![
            Row::not_measured(PART, time, "", why).at_most(3.0).aim(2.0),
            Row::not_measured(PART, bytes, "MB", why).at_most(350.0).aim(200.0),
            Row::not_measured(PART, memory, "MB", why).at_most(500.0),
        ]);
    }
    let pairs: Vec<Pair> = (1..=repeats)
        .map(|repeat| {
            eprintln!("  repeat {repeat} of {repeats}");
            Pair::train(1, epochs)
        })
        .collect::<Result<_, _>>()?;
    let seconds = |of: fn(&Pair) -> &Summary| median(pairs.iter().map(|pair| of(pair).seconds_per_epoch).collect());
    let (plain, sealed) = (seconds(|pair| &pair.plain), seconds(|pair| &pair.sealed));
    let Some(last) = pairs.last() else { return Ok(vec![]) };
    let peak = pairs
        .iter()
        .filter_map(|p| p.sealed.peak_rss_bytes.values().copied().flatten().max())
        .max();
    let memory = match peak {
        Some(peak) => Row::new(PART, memory, megabytes(peak), "MB").detail(memory_by_party(&last.sealed)),
        None => Row::not_measured(PART, memory, "MB", "the system does not tell"),
    };
    let of_epoch = megabytes(last.sealed.bytes_per_epoch);
    Ok(vec![
        Row::new(PART, time, sealed / plain, "")
            .at_most(3.0)
            .aim(2.0)
            .detail(format!("{sealed:.3} s over {plain:.3} s, {repeats} pairs of {epochs} epochs")),
        Row::new(PART, bytes, of_epoch, "MB")
            .at_most(350.0)
            .aim(200.0)
            .detail(bytes_by_message(&last.sealed)),
        memory.at_most(500.0),
    ])
}

/// Why there is nothing to train on.
pub fn no_data() -> Option<&'static str> {
    std::env::var_os("CLOVEN_DATA").is_none().then_some("CLOVEN_DATA is not set")
}

/// Both ways to train, one after the other.
pub struct Pair {
    pub plain: Summary,
    pub sealed: Summary,
}

impl Pair {
    /// Trains from one seed and evaluates after the last epoch.
    pub fn train(seed: u64, epochs: u32) -> Result<Self, Error> {
        Ok(Self {
            plain: train(PLAIN, seed, epochs)?,
            sealed: train(SEALED, seed, epochs)?,
        })
    }
}

fn train(job: &str, seed: u64, epochs: u32) -> Result<Summary, Error> {
    let set = |key: &str, value: u64| (key.to_owned(), toml::Value::Integer(value as i64));
    let settings = [
        set("seed", seed),
        set("training.epochs", epochs.into()),
        set("training.evaluate_every", 0),
    ];
    let runs = tempfile::tempdir().map_err(|cause| Error::File {
        path: "temporary folder".into(),
        cause,
    })?;
    let options = RunOptions::new(Path::new(env!("CARGO_BIN_EXE_cloven")), runs.path());
    Ok(run(&Job::parse(job, "examples", &settings)?, &options, &mut |_| ())?.0)
}

/// Bytes by phase at the socket, and of each kind of message an epoch of training before TLS.
fn bytes_by_message(summary: &Summary) -> String {
    let phases = summary.bytes_by_phase.iter();
    let phases: Vec<String> = phases
        .map(|(name, bytes)| format!("{name} {:.2} MB", megabytes(*bytes)))
        .collect();
    let messages = summary.messages_sent.values().flatten();
    let mut messages: Vec<(&String, u64)> = messages.map(|(name, sent)| (name, sent.bytes)).collect();
    messages.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let largest = messages.iter().take(4);
    let messages: Vec<String> = largest
        .map(|(name, bytes)| format!("{name} {:.2} MB", megabytes(*bytes)))
        .collect();
    format!(
        "whole run of {} epochs: {}; by message: {}",
        summary.epochs,
        phases.join(", "),
        messages.join(", ")
    )
}

fn memory_by_party(summary: &Summary) -> String {
    let parties = summary.peak_rss_bytes.iter();
    let known = parties.filter_map(|(party, bytes)| Some(format!("{party} {:.1} MB", megabytes((*bytes)?))));
    known.collect::<Vec<_>>().join(", ")
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
