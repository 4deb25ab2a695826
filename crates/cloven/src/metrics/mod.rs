//! A party's metrics for Prometheus while it trains or serves: text exposition format 0.0.4 at `GET /metrics`.
//!
//! One state is fed by the same updates as `metrics.jsonl`; a thread of its own answers requests from it, so that a training step
//! never waits for a request.

mod address;
mod page;
mod server;
mod state;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::SystemTime,
};

use cloven_wire::Party;
use tokio::sync::oneshot;

pub use self::address::MetricsAddress;
use self::{
    server::Limits,
    state::{ServiceState, State},
};
use crate::{Error, Job, Stamped, Update, service::ServiceJob};

/// Serves a party's metrics until it is dropped.
pub struct Metrics {
    party: Party,
    address: SocketAddr,
    state: Arc<Mutex<Shown>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Begins to serve at `address`; one that is taken is an error of the configuration.
    pub fn serve(address: MetricsAddress, job: &Job, party: &Party) -> Result<Self, Error> {
        Self::serve_within(address, job, party, Limits::default())
    }

    /// The same for a server of a service.
    pub fn serve_service(address: MetricsAddress, job: &ServiceJob, party: &Party) -> Result<Self, Error> {
        let state = Shown::Service(Box::new(ServiceState::new(job, party, SystemTime::now())?));
        Self::start(address, state, party, Limits::default())
    }

    fn serve_within(address: MetricsAddress, job: &Job, party: &Party, limits: Limits) -> Result<Self, Error> {
        let state = Shown::Training(Box::new(State::new(job, party, SystemTime::now())?));
        Self::start(address, state, party, limits)
    }

    fn start(address: MetricsAddress, state: Shown, party: &Party, limits: Limits) -> Result<Self, Error> {
        let refused = |cause: std::io::Error| Error::configuration("metrics", format!("cannot serve at {address}: {cause}"));
        let listener = TcpListener::bind(address.socket()).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let state = Arc::new(Mutex::new(state));
        let (stop, stopped) = oneshot::channel();
        let shown = state.clone();
        let thread = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || server::run(listener, shown, limits, stopped))
            .map_err(refused)?;
        Ok(Self {
            party: party.clone(),
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the page is, as an update to pass on; with the port that was chosen where none was named.
    pub fn announcement(&self) -> Stamped {
        Stamped {
            party: self.party.clone(),
            at: 0.0,
            update: Update::Metrics {
                address: self.address.to_string(),
            },
        }
    }

    /// Takes an update into the page.
    pub fn observe(&self, stamped: &Stamped) {
        locked(&self.state).absorb(stamped, SystemTime::now());
    }

    /// Shows that the party failed; of the error, the page has the exit code only.
    pub fn failed(&self, error: &Error) {
        locked(&self.state).fail(error.exit_code(), SystemTime::now());
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that ended early has served its party no worse than none.
            let _ = thread.join();
        }
    }
}

/// What a page is about.
enum Shown {
    Training(Box<State>),
    Service(Box<ServiceState>),
}

impl Shown {
    fn absorb(&mut self, stamped: &Stamped, now: SystemTime) {
        match self {
            Self::Training(state) => state.absorb(stamped, now),
            Self::Service(state) => state.absorb(stamped, now),
        }
    }

    fn fail(&mut self, exit_code: u8, now: SystemTime) {
        match self {
            Self::Training(state) => state.fail(exit_code, now),
            Self::Service(state) => state.fail(exit_code, now),
        }
    }

    fn page(&self) -> String {
        match self {
            Self::Training(state) => state.page(),
            Self::Service(state) => state.page(),
        }
    }
}

/// The state holds plain numbers: whoever panicked in between left none of them half-written.
fn locked(state: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
