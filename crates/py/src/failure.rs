//! Errors, as exceptions of the package.

use cloven::{Error, Failure};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyAnyMethods};
use serde::{Serialize, de::DeserializeOwned};

/// Why a verb ended early.
pub enum Failed {
    /// The library's error.
    Library(Error),
    /// The caller's own code raised, when it was told of progress.
    Callback(PyErr),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

/// The exception of `cloven._errors` that fits; it has the message, the exit code, and what else is known.
pub fn raise(py: Python<'_>, failed: Failed) -> PyErr {
    let error = match failed {
        Failed::Library(error) => error,
        Failed::Callback(error) => return error,
    };
    let exception = || {
        let failure = json(py, &Failure::of(&error))?;
        py.import("cloven._errors")?.call_method1("of_failure", (failure,))
    };
    exception().map_or_else(|error| error, PyErr::from_value)
}

/// What the package passes to itself.
pub fn parsed<T: DeserializeOwned>(_: Python<'_>, json: &str) -> PyResult<T> {
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// As JSON.
pub fn json(_: Python<'_>, value: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))
}
