//! Secure inference as a service.

use std::path::{Path, PathBuf};

use cloven::{
    Emulation, Error, Local, Party, Stamped, parse_settings, party,
    service::{Member, Questions, ServiceJob, ServiceOptions, Work, run_service as run_all, share_model},
};
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    failure::{self, raise},
    program_of,
    run::Listener,
};

/// A service's job, its digest and what each party learns, as JSON.
#[pyfunction]
pub fn service_job(py: Python<'_>, path: PathBuf, settings: Vec<String>) -> PyResult<String> {
    let read = || {
        let job = ServiceJob::read(&path, &parse_settings(&settings)?)?;
        let (digest, leaks) = (job.digest_hex(), job.leaks()?);
        Ok(json!({ "job": job, "digest": digest, "leaks": leaks }))
    };
    let value: Value = read().map_err(|error: Error| raise(py, error.into()))?;
    Ok(value.to_string())
}

/// `cloven model share`: what was made, as JSON.
#[pyfunction]
pub fn share(py: Python<'_>, model: PathBuf, job: PathBuf, output: PathBuf) -> PyResult<String> {
    let shared = py.detach(|| share_model(&ServiceJob::read(&job, &[])?, &model, &output));
    failure::json(py, &shared.map_err(|error| raise(py, error.into()))?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunArguments {
    job: PathBuf,
    settings: Vec<String>,
    program: Vec<PathBuf>,
    runs: PathBuf,
    run_folder: Option<PathBuf>,
    emulate: Option<Emulation>,
    pool: usize,
}

/// `cloven run` of a service with a trial: the summary as JSON, and the run folder.
#[pyfunction]
pub fn run_service(py: Python<'_>, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<(String, PathBuf)> {
    let arguments: RunArguments = failure::parsed(py, arguments)?;
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let result = || {
            let job = ServiceJob::read(&arguments.job, &parse_settings(&arguments.settings)?)?;
            let folder = arguments.job.parent().map(Path::to_owned).unwrap_or_default();
            let options = ServiceOptions {
                job_folder: folder,
                run_folder: arguments.run_folder,
                emulate: arguments.emulate,
                pool: arguments.pool,
                ..ServiceOptions::new(program_of(arguments.program), &arguments.runs)
            };
            run_all(&job, &options, &mut |_| (), &mut |stamped| listener.update(stamped))
        };
        let result = result();
        listener.end(result)
    });
    let (summary, folder) = done.map_err(|failed| raise(py, failed))?;
    Ok((failure::json(py, &summary)?, folder))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberArguments {
    job: PathBuf,
    settings: Vec<String>,
    party: Party,
    accept: String,
    local: PathBuf,
    /// A server's.
    share: Option<PathBuf>,
    /// A server's: inferences kept prepared.
    pool: usize,
    /// A server's: it ends after so many.
    stop_after: Option<u64>,
    /// A user's.
    input: Option<PathBuf>,
}

impl MemberArguments {
    fn member(&self) -> Result<(ServiceJob, Local, Member), Error> {
        let job = ServiceJob::read(&self.job, &parse_settings(&self.settings)?)?;
        job.role(&self.party)?;
        party::accept(&job.digest_hex(), &self.accept)?;
        let local = Local::read(&self.local)?;
        let member = Member::new(job.clone(), self.party.clone(), local.clone())?;
        Ok((job, local, member))
    }
}

/// `cloven serve`: the report as JSON.
#[pyfunction]
pub fn serve(py: Python<'_>, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<String> {
    let arguments: MemberArguments = failure::parsed(py, arguments)?;
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let result = arguments.member().and_then(|(_, local, member)| {
            let share = arguments.share.or(local.share).ok_or_else(|| Error::Configuration {
                place: "share".into(),
                problem: "say which file holds this server's share of the network".into(),
            })?;
            let work = Work {
                pool: arguments.pool,
                open_when_full: false,
                inferences: arguments.stop_after,
            };
            member.serve(&share, work, &mut |stamped: Stamped| listener.update(&stamped))
        });
        listener.end(result)
    });
    failure::json(py, &done.map_err(|failed| raise(py, failed))?)
}

/// `cloven predict` at a service's user: report, classes and outputs as JSON.
#[pyfunction]
pub fn ask(py: Python<'_>, arguments: &str, callback: Option<Py<PyAny>>) -> PyResult<String> {
    let arguments: MemberArguments = failure::parsed(py, arguments)?;
    let mut listener = Listener::new(callback);
    let done = py.detach(|| {
        let result = arguments.member().and_then(|(job, _, member)| {
            let questions = match &arguments.input {
                Some(file) => Questions::read(&job, file)?,
                None => Questions::of_trial(&job, job.place_of_user(&arguments.party))?,
            };
            let (report, answers) = member.ask(&questions, &mut |stamped: Stamped| listener.update(&stamped))?;
            let outputs: Vec<Vec<f32>> = answers.0.outer_iter().map(|row| row.to_vec()).collect();
            Ok(json!({ "report": report, "classes": answers.classes(&job), "outputs": outputs }))
        });
        listener.end(result)
    });
    done.map_err(|failed| raise(py, failed))
        .map(|answer: Value| answer.to_string())
}
