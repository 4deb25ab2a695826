//! Rehearses a job: every party's own script, in this process, on few made-up rows, over channels in memory.
//!
//! The parties take turns on one thread, so that each one's work is measured by itself. What a channel would add is left out here and
//! put in by the simulation.

use std::{path::Path, rc::Rc, time::Instant};

use cloven_nn::{BatchTargets, Loss};
use cloven_protocols::{Event, Examples};
use cloven_wire::{
    Link, Party,
    memory::{MemoryChannel, pair},
    tcp::{Identity, Roster},
};
use futures_util::future::try_join_all;
use ndarray::ArrayD;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::{Deserialize, Serialize};

use super::{
    pieces::{Pieces, Workload, cut},
    recorder::{Log, Mark, Recorder, Stopwatch, Timed},
};
use crate::{Error, Job, Role, party::Prepared, reporter::Reporter};

/// The first rehearsal, which says how long a second one may be.
const SHORT: Length = Length { batches: 6, epochs: 2 };
/// The first epoch warms up.
const EPOCHS: u32 = 3;
/// Full evaluation batches.
const EVALUATIONS: usize = 3;
/// More clients than this need not be rehearsed: each does the same.
const CLIENTS: usize = 2;
/// No more batches an epoch are rehearsed.
const MOST_BATCHES: usize = 400;

/// What a client and the server's session with it do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rehearsed {
    pub(super) client: Pieces,
    pub(super) server: Pieces,
}

/// How much is rehearsed.
#[derive(Clone, Copy)]
struct Length {
    /// Full batches an epoch.
    batches: usize,
    epochs: u32,
}

/// Rehearses `job`, whose clients have `rows` (training and test) each, for about so many seconds.
pub(super) fn rehearse(job: &Job, rows: [usize; 2], seconds: f64) -> Result<Rehearsed, Error> {
    let begun = Instant::now();
    let short = once(job, rows, SHORT)?;
    let spent = begun.elapsed().as_secs_f64();
    let batches = ((seconds / spent.max(1e-4)) * (SHORT.batches * SHORT.epochs as usize) as f64 / f64::from(EPOCHS)) as usize;
    let length = Length {
        batches: batches.min(MOST_BATCHES),
        epochs: EPOCHS,
    };
    match length.batches > SHORT.batches {
        true => once(job, rows, length),
        false => Ok(short),
    }
}

fn once(job: &Job, rows: [usize; 2], length: Length) -> Result<Rehearsed, Error> {
    let (job, workload) = shortened(job, rows, length);
    let folder = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Error::file("runtime"))?;
    let [client, server] = runtime.block_on(play(&job, &workload, folder.path()))?;
    Ok(Rehearsed {
        client: cut(&client.borrow(), &workload),
        server: cut(&server.borrow(), &workload),
    })
}

/// The same job with fewer batches, each as large as in the job itself, and no more clients than needed.
fn shortened(job: &Job, [train, test]: [usize; 2], length: Length) -> (Job, Workload) {
    let mut job = job.clone();
    let extra: Vec<Party> = job.clients().skip(CLIENTS).cloned().collect();
    job.parties.retain(|party, _| !extra.contains(party));
    let t = &mut job.training;
    let fewer = |rows: usize, batch: usize, batches: usize| match rows / batch > batches {
        true => batches * batch + rows % batch,
        false => rows,
    };
    let train_rows = fewer(train, t.batch, length.batches);
    let test_rows = fewer(test, t.evaluation_batch, EVALUATIONS);
    t.epochs = length.epochs;
    t.evaluate_every = 1;
    if t.checkpoint_every > 0 {
        // Two within an epoch, if there is room for them.
        t.checkpoint_every = t.checkpoint_every.min((length.batches as u32 / 3).max(2));
    }
    let workload = Workload {
        schedule: job.schedule(),
        train_rows,
        test_rows,
    };
    (job, workload)
}

/// Plays all parties; returns the logs of the first client and of the server's session with it.
async fn play(job: &Job, workload: &Workload, folder: &Path) -> Result<[Log; 2], Error> {
    let rows = [workload.train_rows, workload.test_rows];
    let identities = identities(job)?;
    let mut at_server = Vec::new();
    let mut actors = Vec::new();
    let server = job.parties.iter().find(|(_, role)| **role == Role::Server);
    let server = server.map(|(party, _)| party.clone());
    let server = server.ok_or_else(|| Error::configuration("parties", "no server"))?;
    for client in job.clients() {
        let (here, there) = pair(client.clone(), server.clone());
        at_server.push(there);
        actors.push((client.clone(), vec![here], Some(made_up_rows(job, rows))));
    }
    // `pair` gives each end the name of its owner's peer.
    actors.push((server, at_server, None));
    let parts = actors.into_iter().zip(identities).map(|((party, channels, rows), identity)| {
        let watch = Rc::<Stopwatch>::default();
        let recorders: Vec<_> = channels
            .into_iter()
            .map(|channel| Recorder::new(channel, watch.clone()))
            .collect();
        let log = recorders[0].log();
        let work = part(job, party, identity, rows, recorders, watch.clone(), folder);
        async move { Timed::new(work, watch).await.map(|()| log) }
    });
    let mut logs = try_join_all(parts).await?;
    let last = logs.pop().unwrap_or_default();
    Ok([logs.swap_remove(0), last])
}

/// One party's part.
async fn part(
    job: &Job,
    party: Party,
    identity: (Identity, Roster),
    rows: Option<[Examples; 2]>,
    channels: Vec<Recorder<MemoryChannel>>,
    watch: Rc<Stopwatch>,
    folder: &Path,
) -> Result<(), Error> {
    let logs: Vec<Log> = channels.iter().map(Recorder::log).collect();
    let mut links: Vec<_> = channels.into_iter().map(Link::new).collect();
    let prepared = Prepared::for_rehearsal(job.clone(), party.clone(), identity, rows)?;
    let silent = &mut |_| ();
    let reporter = Reporter::new(party, None, silent);
    let mut heard = |event: &Event| {
        let mark = match event {
            Event::Started { .. } => Mark::Started,
            Event::Epoch { .. } => Mark::Epoch,
            Event::Evaluated { .. } => Mark::Evaluated,
            _ => return,
        };
        watch.mark(mark, &logs);
    };
    prepared.rehearse(&mut links, folder, &reporter, &mut heard).await
}

/// A key for each client, then for the server, and everybody pins everybody.
fn identities(job: &Job) -> Result<Vec<(Identity, Roster)>, Error> {
    let mut parties: Vec<(&Party, &Role)> = job.parties.iter().collect();
    parties.sort_by_key(|(_, role)| **role == Role::Server);
    let generate = |(party, _): &(&Party, &Role)| {
        let made = Identity::generate((*party).clone()).map(|(identity, _)| identity);
        made.map_err(|cause| Error::Identity {
            path: party.as_str().into(),
            cause,
        })
    };
    let all: Vec<Identity> = parties.iter().map(generate).collect::<Result<_, _>>()?;
    let mut roster = Roster::default();
    for identity in &all {
        roster.pin(identity.party.clone(), identity.certificate.clone());
    }
    Ok(all.into_iter().map(|identity| (identity, roster.clone())).collect())
}

/// Training and test rows of the job's shape: values spread like standardised ones, targets that fit the loss.
pub(super) fn made_up_rows(job: &Job, rows: [usize; 2]) -> [Examples; 2] {
    let mut rng = ChaCha20Rng::seed_from_u64(job.seed);
    rows.map(|rows| made_up(job, rows, &mut rng))
}

fn made_up(job: &Job, rows: usize, rng: &mut ChaCha20Rng) -> Examples {
    let shape = [&[rows], &job.data.shape[..]].concat();
    // Uniform, of variance 1.
    let mut value = || (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 12.0_f32.sqrt();
    let x = ArrayD::from_shape_simple_fn(shape, &mut value);
    let classes = job.data.classes.unwrap_or(1);
    let targets = match (job.training.loss, job.data.classes) {
        (Loss::CrossEntropy, _) => BatchTargets::Classes((0..rows).map(|row| (row % classes) as _).collect()),
        (_, Some(2)) if !job.data.multi_label => {
            BatchTargets::Values(ArrayD::from_shape_fn(vec![rows, 1], |at| (at[0] % 2) as f32))
        }
        (_, Some(classes)) => BatchTargets::Values(ArrayD::from_shape_fn(vec![rows, classes], |at| {
            f32::from(at[0] % classes == at[1])
        })),
        (_, None) => {
            let output = job.cut().ok().and_then(|cut| cut.model.shapes().ok()?.last().cloned());
            let shape = [&[rows], &output.unwrap_or_else(|| vec![1])[..]].concat();
            BatchTargets::Values(ArrayD::from_shape_simple_fn(shape, &mut value))
        }
    };
    Examples { x, targets }
}
