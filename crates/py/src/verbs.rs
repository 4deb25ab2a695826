//! The verbs besides runs and services.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use cloven::{
    AuditOptions, Emulation, Error, Job, Layers, Local, Party, Protocol, Report, RunFolder, Stamped,
    init::{InitOptions, Purpose, init as make, roster_add as pin},
    party,
    plan::{Cache, PlanOptions, cache_for, plan_enclave, plan_vertical},
    predict::{
        Input, Output, PredictOptions, PredictionFormat, PredictionSummary, Predictor, Request, client_of, predict_together,
    },
};
use pyo3::{prelude::*, types::PyBytes};
use serde::Deserialize;

use crate::{
    PyJob,
    failure::{self, raise},
    program_of,
    run::Listener,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictArguments {
    program: Vec<PathBuf>,
    run_folder: PathBuf,
    /// Of one who brings rows, or of everybody (`""`).
    inputs: BTreeMap<String, PathBuf>,
    client: Option<Party>,
    hide_input: bool,
    /// The array of probabilities or values (`npy`) or a line for each row (`json-lines`).
    rows: bool,
}

/// `cloven predict` with all parties on this machine: the summary as JSON and the predictions' bytes.
#[pyfunction]
pub fn predict(py: Python<'_>, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<(String, Option<Py<PyBytes>>)> {
    let arguments: PredictArguments = failure::parsed(py, arguments)?;
    predicted(py, callback, |listener| together(arguments, listener))
}

/// What a prediction gives: the summary, and the predictions' bytes at whoever gets them.
type Predicted = (PredictionSummary, Option<Vec<u8>>);

/// Predicts without the interpreter's lock, and makes Python's of what comes.
fn predicted(
    py: Python<'_>,
    callback: Option<Py<PyAny>>,
    predict: impl FnOnce(&mut Listener) -> Result<Predicted, Error> + Send,
) -> PyResult<(String, Option<Py<PyBytes>>)> {
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let result = predict(&mut listener);
        listener.end(result)
    });
    let (summary, bytes) = done.map_err(|failed| raise(py, failed))?;
    Ok((
        failure::json(py, &summary)?,
        bytes.map(|bytes| PyBytes::new(py, &bytes).unbind()),
    ))
}

fn together(arguments: PredictArguments, listener: &mut Listener) -> Result<Predicted, Error> {
    let job = Job::read(&arguments.run_folder.join("job.toml"), &[])?;
    let input = |(party, file): (String, PathBuf)| {
        Ok(Input {
            party: party_of(&party)?,
            file,
        })
    };
    let options = PredictOptions {
        program: program_of(arguments.program),
        run_folder: arguments.run_folder,
        inputs: arguments.inputs.into_iter().map(input).collect::<Result<_, Error>>()?,
        client: arguments.client,
        output: Output::Bytes(format(arguments.rows)),
        hide_input: arguments.hide_input,
        logs: None,
    };
    predict_together(&job, &options, &mut |stamped| listener.update(stamped))
}

fn party_of(name: &str) -> Result<Option<Party>, Error> {
    let wrong = |problem: cloven::PartyError| Error::Configuration {
        place: "input".into(),
        problem: problem.to_string(),
    };
    match name {
        "" => Ok(None),
        name => name.parse().map(Some).map_err(wrong),
    }
}

fn format(rows: bool) -> PredictionFormat {
    match rows {
        true => PredictionFormat::JsonLines,
        false => PredictionFormat::Npy,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartArguments {
    run_folder: PathBuf,
    party: Party,
    accept: String,
    input: Option<PathBuf>,
    local: Option<PathBuf>,
    client: Option<Party>,
    hide_input: bool,
    rows: bool,
}

/// `cloven predict --as`: the summary as JSON and, at the party that gets them, the predictions' bytes.
#[pyfunction]
pub fn predict_alone(py: Python<'_>, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<(String, Option<Py<PyBytes>>)> {
    let arguments: PartArguments = failure::parsed(py, arguments)?;
    predicted(py, callback, |listener| alone(arguments, listener))
}

fn alone(arguments: PartArguments, listener: &mut Listener) -> Result<Predicted, Error> {
    let PartArguments {
        run_folder,
        party,
        accept,
        input,
        local,
        client,
        hide_input,
        rows,
    } = arguments;
    let job = Job::read(&run_folder.join("job.toml"), &[])?;
    let named = client_of(&job, &party, client.as_ref())?;
    party::accept(&job.digest_hex(), &accept)?;
    let local = local
        .or_else(|| RunFolder::noted_local(&run_folder))
        .ok_or_else(|| Error::Configuration {
            place: "local".into(),
            problem: format!("{} does not say where this party's settings are", run_folder.display()),
        })?;
    let request = Request {
        run_folder,
        input,
        client,
        hide_input,
    };
    let predictor = Predictor::new(job.clone(), party.clone(), Local::read(&local)?, &request)?;
    let (report, predictions) = predictor.run(None, &mut |stamped: Stamped| listener.update(&stamped))?;
    let seconds = report.seconds_total;
    let summary = PredictionSummary::new(&job, &named, &[(party, report)].into(), seconds);
    Ok((summary, predictions.map(|predictions| predictions.to_bytes(format(rows)))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanArguments {
    program: Vec<PathBuf>,
    job_folder: PathBuf,
    link: Option<Emulation>,
    memory: BTreeMap<Party, u64>,
    /// First layer and the one after the last.
    cuts: Vec<[usize; 2]>,
    rows: Option<[usize; 2]>,
    fresh: bool,
}

/// `cloven plan`: the plan as JSON. The callback is called with `"told"` and a sentence.
#[pyfunction]
pub fn plan(py: Python<'_>, job: &PyJob, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<String> {
    let arguments: PlanArguments = failure::parsed(py, arguments)?;
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let program = program_of(arguments.program);
        let cache: Cache = cache_for(&program, None, arguments.fresh);
        let options = PlanOptions {
            program,
            job_folder: arguments.job_folder,
            link: arguments.link,
            memory: arguments.memory,
            cuts: arguments
                .cuts
                .into_iter()
                .map(|[from, to]| Range { start: from, end: to })
                .collect(),
            rows: arguments.rows,
            cache,
        };
        let job = &job.0;
        let as_value = |value: serde_json::Result<_>| value.expect("plans have only string keys");
        let result = match job.protocol {
            Protocol::Vertical => plan_vertical(job, &options).map(|plan| as_value(serde_json::to_value(plan))),
            Protocol::Enclave => plan_enclave(job, &options).map(|plan| as_value(serde_json::to_value(plan))),
            _ => cloven::plan::plan(job, &options, &mut |told| listener.told(told))
                .map(|plan| as_value(serde_json::to_value(plan))),
        };
        listener.end(result)
    });
    done.map_err(|failed| raise(py, failed)).map(|plan| plan.to_string())
}

/// `cloven audit`: the findings as JSON.
#[pyfunction]
pub fn audit(py: Python<'_>, run_folder: PathBuf, local: Option<PathBuf>, rows: usize) -> PyResult<String> {
    let options = AuditOptions { local, rows };
    let audits = py.detach(|| cloven::audit(&run_folder, &options));
    failure::json(py, &audits.map_err(|error| raise(py, error.into()))?)
}

/// `cloven report`: where the page is, and what is on it as JSON.
#[pyfunction]
pub fn report(py: Python<'_>, run_folder: PathBuf) -> PyResult<(PathBuf, String)> {
    let written = || {
        let report = Report::read(&run_folder)?;
        Ok((report.write()?, report))
    };
    let (path, report) = py.detach(written).map_err(|error: Error| raise(py, error.into()))?;
    Ok((path, failure::json(py, &report)?))
}

/// `cloven export`: what was written, as JSON.
#[pyfunction]
pub fn export(
    py: Python<'_>,
    run_folder: PathBuf,
    output: PathBuf,
    party: Option<&str>,
    client: Option<&str>,
) -> PyResult<String> {
    let write = || {
        let named = |name: Option<&str>| name.map_or(Ok(None), party_of);
        let (party, client) = (named(party)?, named(client)?);
        let layers = match &party {
            Some(party) => Layers::Of(party),
            None => Layers::Whole(client.as_ref()),
        };
        cloven::export(&run_folder, layers, &output)
    };
    let exported = py.detach(write).map_err(|error| raise(py, error.into()))?;
    failure::json(py, &exported)
}

/// `cloven model import`: shape, layers and notes, as JSON.
#[pyfunction]
pub fn import_onnx(py: Python<'_>, model: PathBuf, output: PathBuf) -> PyResult<String> {
    let imported = py.detach(|| cloven::import_onnx(&model, &output));
    failure::json(py, &imported.map_err(|error| raise(py, error.into()))?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InitArguments {
    folder: PathBuf,
    data: String,
    protocol: Option<String>,
    only: Option<Party>,
    clients: Vec<Party>,
    server: Party,
}

/// `cloven init`: the files made.
#[pyfunction]
pub fn init(py: Python<'_>, arguments: &str) -> PyResult<Vec<PathBuf>> {
    let arguments: InitArguments = failure::parsed(py, arguments)?;
    let made = py.detach(|| {
        make(&InitOptions {
            folder: arguments.folder,
            data: arguments.data,
            purpose: arguments.protocol.as_deref().map(Purpose::named).transpose()?,
            only: arguments.only,
            clients: arguments.clients,
            server: arguments.server,
        })
    });
    made.map_err(|error| raise(py, error.into()))
}

/// `cloven roster add`: the party that is pinned now, and its certificate's fingerprint.
#[pyfunction]
pub fn roster_add(py: Python<'_>, folder: PathBuf, identity: PathBuf, replace: bool) -> PyResult<(String, String)> {
    let pinned = pin(&folder, &identity, replace).map_err(|error| raise(py, error.into()))?;
    Ok((pinned.party.to_string(), pinned.fingerprint))
}
