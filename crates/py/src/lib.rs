//! The native half of the Python package `cloven`: the library's verbs, as functions that take and return JSON. What Python users see (arrays, defaults,
//! progress) is in `python/cloven/`; what the verbs do is in the library. Work is done without the interpreter's lock.

mod failure;
mod helpers;
mod run;
mod service;
mod verbs;

use std::{ffi::OsString, path::PathBuf};

use cloven::{Error, Job, Program, init::Purpose, service::ServiceJob};
use cloven_cli::Host;
use pyo3::{prelude::*, types::PyModule};

use self::failure::{Failed, raise};

/// A checked job.
#[pyclass(name = "Job", module = "cloven._cloven", frozen)]
struct PyJob(Job);

#[pymethods]
impl PyJob {
    /// Reads a job file, with `KEY=VALUE` settings.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf, settings: Vec<String>) -> PyResult<Self> {
        let read = || Job::read(&path, &cloven::parse_settings(&settings)?);
        read().map(Self).map_err(|error| raise(py, Failed::Library(error)))
    }

    /// A job given as TOML, with `KEY=VALUE` settings; `place` names it in errors.
    #[staticmethod]
    fn parse(py: Python<'_>, text: &str, place: &str, settings: Vec<String>) -> PyResult<Self> {
        let parse = || Job::parse(text, place, &cloven::parse_settings(&settings)?);
        parse().map(Self).map_err(|error| raise(py, Failed::Library(error)))
    }

    /// As TOML.
    fn to_toml(&self) -> String {
        self.0.to_toml()
    }

    /// As JSON.
    fn to_json(&self, py: Python<'_>) -> PyResult<String> {
        failure::json(py, &self.0)
    }

    /// What parties compare, in hexadecimal.
    fn digest(&self) -> String {
        self.0.digest_hex()
    }

    /// The party whose progress is everybody's.
    fn lead(&self) -> Option<String> {
        self.0.lead().map(ToString::to_string)
    }

    /// What each party learns, as JSON.
    fn leaks(&self, py: Python<'_>) -> PyResult<String> {
        failure::json(py, &self.0.leaks())
    }
}

/// Runs the `cloven` command; `line` begins with its name. `helpers(name)` gives a party's helpers, or `None`. Returns the exit code.
#[pyfunction]
fn command(py: Python<'_>, line: Vec<OsString>, program: Vec<PathBuf>, helpers: Option<Py<PyAny>>) -> u8 {
    py.detach(|| {
        let host = Host {
            program: program_of(program),
            helpers: &|party| helpers::of_party(helpers.as_ref(), party),
        };
        cloven_cli::command(line, &host)
    })
}

/// A table given as JSON, as TOML.
#[pyfunction]
fn toml_of(py: Python<'_>, json: &str) -> PyResult<String> {
    let table: toml::Table = failure::parsed(py, json)?;
    Ok(table.to_string())
}

/// The job file of a training that `cloven init` starts from.
#[pyfunction]
fn template(py: Python<'_>, data: &str, protocol: Option<&str>) -> PyResult<String> {
    let made = || match protocol.map(Purpose::named).transpose()? {
        Some(Purpose::Training(protocol)) => cloven::init::template(data, Some(protocol)),
        Some(Purpose::Service) => Err(Error::Configuration {
            place: "protocol".into(),
            problem: "a service's job is no job of a training: `init` writes one".into(),
        }),
        None => cloven::init::template(data, None),
    };
    made().map_err(|error| raise(py, Failed::Library(error)))
}

/// Whether a job file is of a service, which has other verbs.
#[pyfunction]
fn is_service(path: PathBuf) -> bool {
    ServiceJob::is_in(&path)
}

/// An interpreter and what it is given first.
fn program_of(line: Vec<PathBuf>) -> Program {
    let mut line = line.into_iter();
    let interpreter = line.next().unwrap_or_default();
    Program::interpreted(interpreter, line.map(PathBuf::into_os_string).collect())
}

#[pymodule]
fn _cloven(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<PyJob>()?;
    module.add_class::<helpers::PyHelper>()?;
    for function in [
        wrap_pyfunction!(command, module)?,
        wrap_pyfunction!(toml_of, module)?,
        wrap_pyfunction!(template, module)?,
        wrap_pyfunction!(is_service, module)?,
        wrap_pyfunction!(run::run, module)?,
        wrap_pyfunction!(run::party_alone, module)?,
        wrap_pyfunction!(verbs::predict, module)?,
        wrap_pyfunction!(verbs::predict_alone, module)?,
        wrap_pyfunction!(verbs::plan, module)?,
        wrap_pyfunction!(verbs::audit, module)?,
        wrap_pyfunction!(verbs::report, module)?,
        wrap_pyfunction!(verbs::export, module)?,
        wrap_pyfunction!(verbs::import_onnx, module)?,
        wrap_pyfunction!(verbs::init, module)?,
        wrap_pyfunction!(verbs::roster_add, module)?,
        wrap_pyfunction!(service::service_job, module)?,
        wrap_pyfunction!(service::share, module)?,
        wrap_pyfunction!(service::serve, module)?,
        wrap_pyfunction!(service::ask, module)?,
        wrap_pyfunction!(service::run_service, module)?,
    ] {
        module.add_function(function)?;
    }
    Ok(())
}
