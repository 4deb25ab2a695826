//! A whole service on this machine: a network is trained and shared as its owner would, every party works as a process of its own, and users ask.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_wire::{Party, tcp::Emulation};

use super::{
    ask::{Answers, Questions},
    job::{ServiceJob, ServiceRole},
    owner::{self, Owned},
    report::{ServerReport, ServiceSummary, UserReport},
};
use crate::{
    Error, Logs, Program, Stamped, Update, files,
    orchestrate::{Errand, Place, own_locals, together},
    run_folder,
};

/// Where things are for [`run_service`].
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// The `cloven` program; started once per party.
    pub program: Program,
    /// The job's folder: a party's `local.toml` is looked for in a folder of its name there.
    pub job_folder: PathBuf,
    /// Run folders are made in here.
    pub runs: PathBuf,
    /// A run folder of this name instead.
    pub run_folder: Option<PathBuf>,
    /// Every party imitates this link; without it, each party's own settings hold.
    pub emulate: Option<Emulation>,
    /// So many inferences are kept prepared; 0: each is prepared when it is asked for.
    pub pool: usize,
    /// Every server serves its metrics, at a free port of this machine each.
    pub metrics: bool,
    /// What every party's process logs.
    pub logs: Option<Logs>,
}

impl ServiceOptions {
    /// Nothing but the run itself, in `runs`; no party has settings of its own.
    pub fn new(program: impl Into<Program>, runs: &Path) -> Self {
        Self {
            program: program.into(),
            job_folder: runs.join("none"),
            runs: runs.to_owned(),
            run_folder: None,
            emulate: None,
            pool: 2,
            metrics: false,
            logs: None,
        }
    }
}

/// What a party's process ends with.
enum Report {
    Server(Box<ServerReport>),
    User(Box<UserReport>),
}

/// Runs all parties of a job with a trial; returns the summary and the run folder. Keys and certificates live for this run only.
///
/// # Errors
/// [`Error`] for a job without a trial, and the root cause when a party fails.
pub fn run_service(
    job: &ServiceJob,
    options: &ServiceOptions,
    tell: &mut dyn FnMut(&str),
    watch: &mut dyn FnMut(&Stamped),
) -> Result<(ServiceSummary, PathBuf), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::file("runtime"))?;
    let begun = Instant::now();
    let name = format!("{}-{}", job.data.name, super::job::PROTOCOL);
    let folder = run_folder::make(&options.runs, options.run_folder.as_deref(), &name, &job.to_toml())?;
    let folder = std::path::absolute(&folder).map_err(Error::file(&folder))?;
    tell("training the network in the clear, as its owner would");
    let owned = owner::train(job)?;
    tell(&owned.words());
    let shares = folder.join("shares");
    let users: Vec<Party> = job.of_role(ServiceRole::User).cloned().collect();
    let expected = expected(job, &owned, &users)?;
    let accuracy = owned.accuracy;
    owner::write_shares(owned.model, job, &shares)?;
    let inferences = users.len() as u64 * job.trial()?.queries as u64;
    let locals = own_locals(job.parties.keys(), &options.job_folder, options.emulate)?;
    let path = |party: &Party| folder.join("answers").join(format!("{party}.csv"));
    let errand = Errand {
        digest: job.digest_hex(),
        parties: job.parties.keys().cloned().collect(),
        program: &options.program,
        places: places(job)?,
        locals: &locals,
        restart: true,
        metrics: options.metrics,
        logs: options.logs.as_ref(),
        arguments: &|party| {
            let job_file = folder.join("job.toml");
            match job.parties.get(party) {
                Some(ServiceRole::User) => {
                    vec!["predict".into(), job_file.into(), "--output".into(), path(party).into()]
                }
                _ => {
                    let share = owner::share_path(&shares, party);
                    let (pool, stop) = (options.pool.to_string(), inferences.to_string());
                    let mut arguments = vec!["serve".into(), job_file.into(), "--share".into(), share.into()];
                    arguments.extend(["--pool".into(), pool.into(), "--stop-after".into(), stop.into()]);
                    // What users wait for is then the answer, as far as the pool lasts.
                    arguments.push("--open-when-full".into());
                    arguments
                }
            }
        },
    };
    let finished = |update| match update {
        Update::Served { report } => Some(Report::Server(report)),
        Update::AnswersFinished { report } => Some(Report::User(report)),
        _ => None,
    };
    let mut watch = |stamped: &Stamped| {
        watch(stamped);
        Ok(())
    };
    let reports = runtime.block_on(together(&errand, &mut watch, &finished))?;
    let (mut servers, mut asked) = (BTreeMap::new(), BTreeMap::new());
    for (party, report) in reports {
        match report {
            Report::Server(report) => drop(servers.insert(party, *report)),
            Report::User(report) => drop(asked.insert(party, *report)),
        }
    }
    let mut summary = ServiceSummary::new(job, &servers, &asked, begun.elapsed().as_secs_f64());
    summary.accuracy_floating_point = accuracy;
    summary.equal_to_fixed_point = Some(equal(&expected, &path)?);
    let text = serde_json::to_string_pretty(&summary).expect("summaries have only string keys");
    files::write(&folder.join("summary.json"), text.as_bytes(), false)?;
    Ok((summary, folder))
}

/// What the fixed-point network tells every user in the clear, as its file of answers.
fn expected(job: &ServiceJob, owned: &Owned, users: &[Party]) -> Result<BTreeMap<Party, String>, Error> {
    let one = |(number, user): (usize, &Party)| {
        let outputs = owned.outputs(&Questions::of_trial(job, number)?.x)?;
        Ok((user.clone(), Answers::of(outputs).to_csv(job)))
    };
    users.iter().enumerate().map(one).collect()
}

/// Whether every user was told that.
fn equal(expected: &BTreeMap<Party, String>, path: &dyn Fn(&Party) -> PathBuf) -> Result<bool, Error> {
    for (user, expected) in expected {
        if crate::files::read_text(&path(user))? != *expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Remote servers dial the gateway and each other, users the gateway.
fn places(job: &ServiceJob) -> Result<Vec<Place>, Error> {
    let servers: Vec<&Party> = job.servers().collect();
    let server = |(number, party): (usize, &&Party)| Place {
        party: (*party).clone(),
        dispensable: false,
        replaceable: false,
        // Users dial the gateway, whoever else is there.
        listens: number == 0 || number + 1 < servers.len(),
        dials: servers[..number].iter().map(|other| (*other).clone()).collect(),
    };
    let gateway = job.gateway()?;
    let user = |party: &Party| Place {
        party: party.clone(),
        dispensable: false,
        replaceable: false,
        listens: false,
        dials: vec![gateway.clone()],
    };
    let mut places: Vec<Place> = servers.iter().enumerate().map(server).collect();
    places.extend(job.of_role(ServiceRole::User).map(user));
    Ok(places)
}
