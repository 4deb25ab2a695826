//! Every party of a job as its own process on this machine, over mutual TLS on loopback.

mod crew;
mod together;

use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_wire::{Party, tcp::Emulation};

pub(crate) use self::together::{Errand, Locals, Place, together};

use crate::{
    ColumnRange, Error, Job, Local, LocalData, Logs, Part, PartySummary, Program, Record, Report, Role, RunFolder, Stamped,
    Summary, Update, catalogue, job::Protocol, plan,
};

/// Where things are for [`run`].
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The `cloven` program; started once per party.
    pub program: Program,
    /// The folder of the job file: a `NAME/local.toml` in it says where party NAME's data are.
    pub job_folder: PathBuf,
    /// Run folders are made in here.
    pub runs: PathBuf,
    /// A run folder of this name instead.
    pub run_folder: Option<PathBuf>,
    /// Go on with the run in this folder, which did not finish.
    pub resume: Option<PathBuf>,
    /// Also run plain split learning of the same job, and report both.
    pub compare_plain: bool,
    /// Every party imitates this link; without it, each party's own settings hold.
    pub emulate: Option<Emulation>,
    /// Write `report.html` into the run folder, also of a run that fails.
    pub report: bool,
    /// Every party records what it receives.
    pub record: Option<Record>,
    /// Every party serves its metrics, at a free port of this machine each; without it, each party's own settings hold.
    pub metrics: bool,
    /// What every party's process logs.
    pub logs: Option<Logs>,
    /// Where parties' data are, before what their own settings say.
    pub data: BTreeMap<Party, LocalData>,
    /// A file of weights that every party begins with, each with those of its own layers: safetensors with PyTorch's names.
    pub initial_weights: Option<PathBuf>,
    /// The folder of measurements kept by `cloven plan`: where they are of this job, the summary says what they predict.
    pub plans: Option<PathBuf>,
}

impl RunOptions {
    /// Nothing but the run itself, in `runs`; no party has settings of its own.
    pub fn new(program: impl Into<Program>, runs: &Path) -> Self {
        Self {
            program: program.into(),
            job_folder: runs.join("none"),
            runs: runs.to_owned(),
            run_folder: None,
            resume: None,
            compare_plain: false,
            emulate: None,
            report: false,
            record: None,
            metrics: false,
            logs: None,
            data: BTreeMap::new(),
            initial_weights: None,
            plans: None,
        }
    }
}

/// Runs all parties of a job; returns the summary and the run folder. Keys and certificates live for this run only.
pub fn run(job: &Job, options: &RunOptions, watch: &mut dyn FnMut(&Stamped)) -> Result<(Summary, PathBuf), Error> {
    let run = Run::new(job, options)?;
    let folder = run.folder().to_owned();
    Ok((run.finish(watch)?, folder))
}

/// A run of all parties that can begin: what could be checked is checked, and its folder is there.
pub struct Run<'a> {
    job: &'a Job,
    options: &'a RunOptions,
    locals: Locals,
    runtime: tokio::runtime::Runtime,
    folder: RunFolder,
}

impl<'a> Run<'a> {
    /// Makes the run folder, or opens the one that is gone on with.
    pub fn new(job: &'a Job, options: &'a RunOptions) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("runtime"))?;
        // Before a run folder exists: what is wrong here leaves nothing behind.
        let locals = locals_of(job, options)?;
        let folder = match &options.resume {
            Some(path) => RunFolder::open(path, job)?,
            None => RunFolder::create(&options.runs, options.run_folder.as_deref(), job)?,
        };
        Ok(Self {
            job,
            options,
            locals,
            runtime,
            folder,
        })
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs all parties.
    pub fn finish(mut self, watch: &mut dyn FnMut(&Stamped)) -> Result<Summary, Error> {
        let result = self.all(watch);
        match &result {
            Ok(summary) => finish(&mut self.folder, self.job, summary)?,
            Err(error) => self.folder.fail(error),
        }
        let report = self
            .options
            .report
            .then(|| Report::read(self.folder.path()).and_then(|report| report.write()));
        let summary = result?;
        report.transpose()?;
        Ok(summary)
    }

    fn all(&mut self, watch: &mut dyn FnMut(&Stamped)) -> Result<Summary, Error> {
        let Self {
            job,
            options,
            locals,
            runtime,
            folder,
        } = self;
        let begun = Instant::now();
        let rows = Cell::new(None);
        let mut watch = |stamped: &Stamped| {
            if let (
                Update::Started {
                    train_rows, test_rows, ..
                },
                Some(Role::Client | Role::LabelHolder),
            ) = (&stamped.update, job.parties.get(&stamped.party))
            {
                rows.set(rows.get().or(Some([*train_rows, *test_rows])));
            }
            watch(stamped);
        };
        let parties = runtime.block_on(all_parties(job, options, locals, folder, &mut watch))?;
        let mut summary = Summary::new(job, &parties, begun.elapsed().as_secs_f64());
        summary.predicted = options.plans.as_ref().zip(rows.get()).and_then(|(folder, rows)| {
            let cache = plan::Cache::new(Some(folder.clone()), &options.program, false);
            plan::recall(job, rows, options.emulate, &cache)
        });
        if options.compare_plain {
            let plain = job.unprotected();
            summary.compare_plain(&match plain == **job {
                // Compared with itself.
                true => summary.clone(),
                false => run_plain(&plain, options, locals, folder.path(), runtime, &mut watch)?,
            });
        }
        Ok(summary)
    }
}

/// The same job without protection, in the folder `plain` of the run's.
fn run_plain(
    job: &Job,
    options: &RunOptions,
    locals: &Locals,
    run_folder: &Path,
    runtime: &tokio::runtime::Runtime,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<Summary, Error> {
    let mut folder = RunFolder::create(&options.runs, Some(&run_folder.join("plain")), job)?;
    let begun = Instant::now();
    let parties = runtime.block_on(all_parties(job, options, locals, &mut folder, watch))?;
    let summary = Summary::new(job, &parties, begun.elapsed().as_secs_f64());
    finish(&mut folder, job, &summary)?;
    Ok(summary)
}

async fn all_parties(
    job: &Job,
    options: &RunOptions,
    locals: &Locals,
    folder: &mut RunFolder,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<BTreeMap<Party, PartySummary>, Error> {
    let run_folder = folder.path().to_owned();
    let errand = Errand {
        digest: job.digest_hex(),
        parties: job.parties.keys().cloned().collect(),
        program: &options.program,
        places: places(job),
        locals,
        restart: job.training.checkpoint_every > 0,
        metrics: options.metrics,
        logs: options.logs.as_ref(),
        arguments: &|_| {
            let job = run_folder.join("job.toml");
            // Under `--events` a party makes no folder: what it finds there, it goes on from.
            let mut arguments = vec!["party".into(), job.into(), "--run-folder".into(), run_folder.clone().into()];
            arguments.extend(record_argument(options.record).map(OsString::from));
            arguments
        },
    };
    let finished = |update| match update {
        Update::Finished { summary } => Some(*summary),
        _ => None,
    };
    let mut record = |stamped: &Stamped| {
        folder.record(stamped)?;
        watch(stamped);
        Ok(())
    };
    together(&errand, &mut record, &finished).await
}

/// Notes the end of a run. All parties have their weights, whether each could tell the others or not.
fn finish(folder: &mut RunFolder, job: &Job, summary: &Summary) -> Result<(), Error> {
    folder.finish(summary)?;
    job.parties.keys().try_for_each(|party| folder.forget(party))
}

/// Who dials whom: all the server; under `vertical`, whose parties are all connected, each those before it, the server first.
pub(crate) fn places(job: &Job) -> Vec<Place> {
    let mut parties: Vec<_> = job.parties.iter().map(|(party, role)| (party.clone(), *role)).collect();
    if job.protocol != Protocol::Vertical {
        let (servers, clients): (Vec<_>, Vec<_>) = parties.into_iter().partition(|(_, role)| *role == Role::Server);
        let servers: Vec<Party> = servers.into_iter().map(|(server, _)| server).collect();
        return Place::stars(&servers, &clients);
    }
    parties.sort_by_key(|(_, role)| !matches!(role, Role::Server));
    Place::mesh(&parties)
}

/// What each party of a run keeps to itself.
fn locals_of(job: &Job, options: &RunOptions) -> Result<Locals, Error> {
    let stranger = options.data.keys().find(|party| !job.parties.contains_key(*party));
    if let Some(stranger) = stranger {
        return Err(Error::configuration(
            "data",
            format!("no party of the job is called {stranger}"),
        ));
    }
    let mut locals = own_locals(job.parties.keys(), &options.job_folder, options.emulate)?;
    for (party, data) in &options.data {
        locals.entry(party.clone()).or_default().data = Some(data.clone());
    }
    complete(job, &mut locals)?;
    let initial = options.initial_weights.as_deref().map(std::path::absolute).transpose();
    if let Some(initial) = initial.map_err(Error::file("initial weights"))? {
        locals
            .values_mut()
            .for_each(|local| local.initial_weights = Some(initial.clone()));
    }
    Ok(locals)
}

/// Every party's settings: its own `local.toml` beside the job, where there is one; a party of data without any there needs a data set known by name.
pub(crate) fn locals(job: &Job, job_folder: &Path, emulate: Option<Emulation>) -> Result<Locals, Error> {
    let mut locals = own_locals(job.parties.keys(), job_folder, emulate)?;
    complete(job, &mut locals)?;
    Ok(locals)
}

/// The settings beside the job, where there are some.
pub(crate) fn own_locals<'a>(
    parties: impl Iterator<Item = &'a Party>,
    job_folder: &Path,
    emulate: Option<Emulation>,
) -> Result<Locals, Error> {
    let one = |party: &Party| {
        let own = job_folder.join(party.as_str()).join(Local::FILE);
        let mut local = match own.exists() {
            true => Local::read(&std::path::absolute(&own).map_err(Error::file(&own))?)?,
            false => Local::default(),
        };
        local.emulate = emulate.or(local.emulate);
        Ok((party.clone(), local))
    };
    parties.map(one).collect()
}

/// Gives its part of a known data set to every party that has to bring data and has none.
fn complete(job: &Job, locals: &mut Locals) -> Result<(), Error> {
    for (party, local) in locals {
        let role = job.role(party)?;
        if role.has_rows() && local.data.is_none() {
            local.data = Some(catalogue::find(&job.data.name)?);
            // The clients divide one data set among them; holders divide its columns.
            local.part = local.part.or_else(|| Part::of_client(job, party));
            if role != Role::Client {
                local.columns = local.columns.take().or_else(|| Some(ColumnRange(job.columns_of(party))));
            }
        }
    }
    Ok(())
}

/// `--record` as `cloven party` takes it.
fn record_argument(record: Option<Record>) -> Option<String> {
    record.map(|record| match record.batches {
        None => "--record".to_owned(),
        Some(batches) => format!("--record={batches}"),
    })
}
