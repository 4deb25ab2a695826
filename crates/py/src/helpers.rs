//! Helpers of a party: whoever starts them and carries the bytes is Python code (`cloven.ray`), what they do is the library's.

use std::sync::{Mutex, PoisonError};

use cloven::{
    Error, Party,
    helpers::{Answer, Helper, Helpers, NoAnswer},
};
use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyBytes};
use tokio::sync::oneshot;

/// A helper, in the process that is one.
#[pyclass(name = "Helper", module = "cloven._cloven")]
pub struct PyHelper {
    helper: Helper,
    threads: rayon::ThreadPool,
}

#[pymethods]
impl PyHelper {
    /// One that computes on so many threads.
    #[new]
    fn new(threads: usize) -> PyResult<Self> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            helper: Helper::new(),
            threads: threads.map_err(|error| PyRuntimeError::new_err(error.to_string()))?,
        })
    }

    /// Does what its party asks for.
    fn answer<'py>(&mut self, py: Python<'py>, request: &[u8]) -> Bound<'py, PyBytes> {
        let Self { helper, threads } = self;
        let answer = py.detach(|| threads.install(|| helper.answer(request)));
        PyBytes::new(py, &answer)
    }
}

/// A party's helpers: an object with `count`, `start()`, and `ask(helper, request, answered)`, which returns at once and has [`Answered`] called later.
pub struct PythonHelpers {
    object: Py<PyAny>,
    count: usize,
}

impl PythonHelpers {
    pub fn new(py: Python<'_>, object: Py<PyAny>) -> PyResult<Self> {
        let count = object.getattr(py, "count")?.extract(py)?;
        object.call_method0(py, "start")?;
        Ok(Self { object, count })
    }

    fn called(&self, helper: usize, request: &[u8], answered: Answered) -> PyResult<()> {
        Python::attach(|py| {
            let request = PyBytes::new(py, request);
            self.object.call_method1(py, "ask", (helper, request, answered)).map(drop)
        })
    }
}

impl Helpers for PythonHelpers {
    fn count(&self) -> usize {
        self.count
    }

    fn ask(&self, helper: usize, request: &[u8]) -> Answer<'_> {
        let (sender, receiver) = oneshot::channel();
        let asked = self.called(helper, request, Answered(Mutex::new(Some(sender))));
        Box::pin(async move {
            asked.map_err(|error| NoAnswer::Unavailable(error.to_string()))?;
            let gone = |_| NoAnswer::Unavailable("nobody answers for it any more".into());
            receiver.await.map_err(gone)?
        })
    }
}

/// Called once, with an answer, or with `None`, why there is none, and whether another helper may answer.
#[pyclass(module = "cloven._cloven", frozen)]
struct Answered(Mutex<Option<Sender>>);

/// To whoever asked.
type Sender = oneshot::Sender<Result<Vec<u8>, NoAnswer>>;

#[pymethods]
impl Answered {
    #[pyo3(signature = (answer, why = String::new(), lost = true))]
    fn __call__(&self, answer: Option<&[u8]>, why: String, lost: bool) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answer = answer.map(<[u8]>::to_vec).ok_or(match lost {
            true => NoAnswer::Lost(why),
            false => NoAnswer::Unavailable(why),
        });
        // Whoever asked may be gone: the run was interrupted.
        let _ = sender.map(|sender| sender.send(answer));
    }
}

/// The helpers of a party by `of(name)`, which gives an object or `None`.
pub fn of_party(of: Option<&Py<PyAny>>, party: &Party) -> Result<Option<Box<dyn Helpers>>, Error> {
    let Some(of) = of else { return Ok(None) };
    let made = Python::attach(|py| {
        let object = of.call1(py, (party.as_str(),))?;
        match object.is_none(py) {
            true => Ok(None),
            false => PythonHelpers::new(py, object).map(Some),
        }
    });
    let problem = |error: PyErr| Error::Configuration {
        place: "helpers".into(),
        problem: error.to_string(),
    };
    Ok(made.map_err(problem)?.map(|helpers| Box::new(helpers) as _))
}
