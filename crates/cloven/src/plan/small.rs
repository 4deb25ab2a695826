//! A run of a very small job: what processes cost that no rehearsal in one process shows.

use std::collections::BTreeMap;

use super::{
    cache::{Base, Extra, Machine},
    link::{Carriage, Link},
    memory,
    predict::Forecast,
    rehearsal,
};
use crate::{Error, Job, Program, Role, RunOptions, Update, demo::comparable_job, job::Protocol, run};

/// Training and test rows.
const ROWS: [usize; 2] = [64, 16];
/// Rows of a batch: an epoch has many, so that what each message costs shows.
const BATCH: usize = 2;
const EPOCHS: u32 = 12;
/// A training batch of `plain` has so many messages.
const MESSAGES: f64 = 4.0;

impl Machine {
    /// Measures this machine: takes about two seconds.
    ///
    /// Three small runs tell by how much processes differ from what a rehearsal and the link explain: one that only trains, one that also
    /// evaluates, one that also keeps checkpoints.
    pub(super) fn measure(program: &Program) -> Result<Self, Error> {
        let mut carriage = Carriage::measure()?;
        let only_training = small_job(0, 0)?;
        let (base, residual) = small_run(&only_training, program, &carriage, Extra::default())?;
        // After a message the receiver's caches are colder than in a rehearsal.
        let batches = (ROWS[0] / BATCH) as f64;
        carriage.add_to_taking(residual / (batches * MESSAGES));
        let mut extra = Extra::default();
        (_, extra.reporting) = small_run(&small_job(1, 0)?, program, &carriage, extra)?;
        (_, extra.settling) = small_run(&small_job(1, 200)?, program, &carriage, extra)?;
        Ok(Self { carriage, base, extra })
    }
}

fn small_job(evaluate_every: i64, checkpoint_every: i64) -> Result<Job, Error> {
    let settings = [
        ("training.epochs", i64::from(EPOCHS)),
        ("training.batch", BATCH as i64),
        ("training.evaluate_every", evaluate_every),
        ("training.checkpoint_every", checkpoint_every),
        ("data.train_rows", ROWS[0] as i64),
        ("data.test_rows", ROWS[1] as i64),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), toml::Value::Integer(value)));
    comparable_job("wdbc", Protocol::Plain, &settings)
}

/// Runs the job; returns what its processes' memory is without what the job adds, and by how much the median epoch is longer than predicted.
fn small_run(job: &Job, program: &Program, carriage: &Carriage, extra: Extra) -> Result<(Base, f64), Error> {
    let rehearsed = rehearsal::rehearse(job, ROWS, 0.2)?;
    let link = Link {
        carriage: carriage.clone(),
        line: None,
    };
    let forecast = Forecast {
        job,
        rehearsed: &rehearsed,
        rows: ROWS,
        link: &link,
        cores: super::cores(),
        extra,
    };
    let runs = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    let mut slowest: BTreeMap<u32, f64> = BTreeMap::new();
    let (summary, _) = run(job, &RunOptions::new(program, runs.path()), &mut |stamped| {
        if let Update::Epoch { epoch, seconds, .. } = &stamped.update {
            let slowest = slowest.entry(*epoch).or_default();
            *slowest = slowest.max(*seconds);
        }
    })?;
    let mut times: Vec<f64> = slowest.into_values().skip(1).collect();
    times.sort_by(f64::total_cmp);
    let [client, server] = memory::state(job, ROWS, None)?;
    let of = |wanted: Role, state: u64| {
        let party = job
            .parties
            .iter()
            .find(|(_, role)| **role == wanted)
            .map(|(party, _)| party)?;
        Some(summary.peak_rss_bytes.get(party).copied().flatten()?.saturating_sub(state))
    };
    let base = Base {
        client: of(Role::Client, client),
        server: of(Role::Server, server),
    };
    let measured = times.get(times.len() / 2).copied().unwrap_or(0.0);
    Ok((base, (measured - forecast.seconds().training).max(0.0)))
}
