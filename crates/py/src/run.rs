//! Runs: of all parties on this machine, and of one party.

use std::{collections::BTreeMap, path::PathBuf};

use cloven::{
    Emulation, Error, Local, LocalData, Metrics, MetricsAddress, Party, Record, Run, RunOptions, Stamped,
    helpers::Helpers,
    party::{self, PartyOptions, PartyRun},
};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::{
    PyJob,
    failure::{self, Failed, raise},
    helpers::PythonHelpers,
    program_of,
};

/// What Python code hears of: folders and updates.
pub struct Listener {
    callback: Option<Py<PyAny>>,
    /// What it raised; it is not called again.
    raised: Option<PyErr>,
}

impl Listener {
    pub fn new(callback: Option<Py<PyAny>>) -> Self {
        Self { callback, raised: None }
    }

    /// `callback("folder", path)`
    pub fn folder(&mut self, path: &std::path::Path) {
        self.call("folder", path.display().to_string());
    }

    /// `callback("update", json)`
    pub fn update(&mut self, stamped: &Stamped) {
        if self.callback.is_some() {
            self.call(
                "update",
                serde_json::to_string(stamped).expect("updates have only string keys"),
            );
        }
    }

    /// `callback("told", sentence)`
    pub fn told(&mut self, sentence: &str) {
        self.call("told", sentence.to_owned());
    }

    fn call(&mut self, kind: &str, text: String) {
        if let (Some(callback), None) = (&self.callback, &self.raised) {
            self.raised = Python::attach(|py| callback.call1(py, (kind, text)).err());
        }
    }

    /// The result, unless the caller's own code raised: that is what it wants to know of.
    pub fn end<T>(self, result: Result<T, Error>) -> Result<T, Failed> {
        match (result, self.raised) {
            // Whoever is interrupted hears of it both ways.
            (Err(Error::Interrupted), _) => Err(Failed::Library(Error::Interrupted)),
            (_, Some(raised)) => Err(Failed::Callback(raised)),
            (result, None) => Ok(result?),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunArguments {
    program: Vec<PathBuf>,
    job_folder: Option<PathBuf>,
    runs: PathBuf,
    run_folder: Option<PathBuf>,
    resume: Option<PathBuf>,
    compare_plain: bool,
    emulate: Option<Emulation>,
    report: bool,
    record: Option<RecordArgument>,
    data: BTreeMap<Party, LocalData>,
    initial_weights: Option<PathBuf>,
}

/// `true`: all; a number: so many batches.
#[derive(Deserialize)]
#[serde(untagged)]
enum RecordArgument {
    All(bool),
    Batches(u32),
}

impl RecordArgument {
    fn record(self) -> Option<Record> {
        match self {
            Self::All(all) => all.then_some(Record { batches: None }),
            Self::Batches(batches) => Some(Record { batches: Some(batches) }),
        }
    }
}

/// `cloven run`: the summary as JSON.
#[pyfunction]
pub fn run(py: Python<'_>, job: &PyJob, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<String> {
    let arguments: RunArguments = failure::parsed(py, arguments)?;
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let program = program_of(arguments.program);
        let mut options = RunOptions::new(&program, &arguments.runs);
        if let Some(folder) = arguments.job_folder {
            options.job_folder = folder;
        }
        options.run_folder = arguments.run_folder;
        options.resume = arguments.resume;
        options.compare_plain = arguments.compare_plain;
        options.emulate = arguments.emulate;
        options.report = arguments.report;
        options.record = arguments.record.and_then(RecordArgument::record);
        options.data = arguments.data;
        options.initial_weights = arguments.initial_weights;
        let result = Run::new(&job.0, &options).and_then(|run| {
            listener.folder(run.folder());
            run.finish(&mut |stamped| listener.update(stamped))
        });
        listener.end(result)
    });
    done.map_err(|failed| raise(py, failed))
        .and_then(|summary| failure::json(py, &summary))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyArguments {
    party: Party,
    accept: String,
    local: PathBuf,
    data: Option<LocalData>,
    runs: PathBuf,
    run_folder: Option<PathBuf>,
    resume: Option<PathBuf>,
    record: Option<RecordArgument>,
    metrics: Option<MetricsAddress>,
}

/// `cloven party`: the summary as JSON.
#[pyfunction]
#[pyo3(name = "party")]
pub fn party_alone(
    py: Python<'_>,
    job: &PyJob,
    arguments: &str,
    callback: Option<Py<PyAny>>,
    helpers: Option<Py<PyAny>>,
) -> PyResult<String> {
    let arguments: PartyArguments = failure::parsed(py, arguments)?;
    let helpers = helpers.map(|object| PythonHelpers::new(py, object)).transpose()?;
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let helpers = helpers.map(|helpers| Box::new(helpers) as _);
        let result = take_part(job, arguments, helpers, &mut listener);
        listener.end(result)
    });
    done.map_err(|failed| raise(py, failed))
        .and_then(|summary| failure::json(py, &summary))
}

fn take_part(
    job: &PyJob,
    arguments: PartyArguments,
    helpers: Option<Box<dyn Helpers>>,
    listener: &mut Listener,
) -> Result<cloven::Summary, Error> {
    let job = job.0.clone();
    job.role(&arguments.party)?;
    party::accept(&job.digest_hex(), &arguments.accept)?;
    let mut local = Local::read(&arguments.local)?;
    if let Some(data) = arguments.data {
        local.data = Some(data);
    }
    let address = arguments.metrics.or(local.metrics);
    let metrics = address.map(|address| Metrics::serve(address, &job, &arguments.party));
    let metrics = metrics.transpose()?;
    if let Some(metrics) = &metrics {
        listener.update(&metrics.announcement());
    }
    let options = PartyOptions {
        runs: arguments.runs,
        run_folder: arguments.run_folder,
        resume: arguments.resume,
        record: arguments.record.and_then(RecordArgument::record),
        local_file: Some(arguments.local),
    };
    let run = PartyRun::new(job, arguments.party, local, helpers, &options)?;
    listener.folder(run.folder());
    run.finish(&mut |stamped: &Stamped| {
        if let Some(metrics) = &metrics {
            metrics.observe(stamped);
        }
        listener.update(stamped);
    })
}
