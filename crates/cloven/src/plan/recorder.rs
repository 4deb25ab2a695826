//! What a party does, by a clock that runs only while it works.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use cloven_wire::{AbortReason, Channel, Deadlines, Header, Party, Traffic, WireError};
use serde::{Deserialize, Serialize};

/// What a party does next, after so many seconds of its own work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Seconds of work before it.
    pub seconds: f64,
    /// What comes then.
    pub action: Action,
}

/// What a party does between its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Sends a frame of so many bytes, header included.
    Send(u64),
    /// Waits for the peer's next frame.
    Receive,
    /// Comes to a point where its observer takes the time; of several sessions of one party, all have to come there.
    Mark(Mark),
}

/// Where an observer takes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The work begins.
    Started,
    /// The training of an epoch is done.
    Epoch,
    /// The test rows are evaluated.
    Evaluated,
}

/// A step and the round that it belongs to; marks have none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noted {
    pub(super) round: Option<u64>,
    pub(super) step: Step,
}

/// What a party did on one link, in order.
pub(super) type Log = Rc<RefCell<Vec<Noted>>>;

/// Runs while the party's future is being polled.
#[derive(Default)]
pub(super) struct Stopwatch {
    done: Cell<Duration>,
    since: Cell<Option<Instant>>,
    /// Reading at the end of the last step.
    last: Cell<Duration>,
}

impl Stopwatch {
    fn now(&self) -> Duration {
        self.done.get() + self.since.get().map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Seconds of work since the last step.
    fn lap(&self) -> f64 {
        self.now().saturating_sub(self.last.get()).as_secs_f64()
    }

    /// A step ends here: what it took is no work of the party's.
    fn step_ends(&self) {
        self.last.set(self.now());
    }

    /// Notes a mark on every link of the party.
    pub(super) fn mark(&self, mark: Mark, logs: &[Log]) {
        let step = Step {
            seconds: self.lap(),
            action: Action::Mark(mark),
        };
        for log in logs {
            log.borrow_mut().push(Noted { round: None, step });
        }
        self.step_ends();
    }
}

/// A party's work, timed.
pub(super) struct Timed<F> {
    work: Pin<Box<F>>,
    watch: Rc<Stopwatch>,
}

impl<F: Future> Timed<F> {
    pub(super) fn new(work: F, watch: Rc<Stopwatch>) -> Self {
        Self {
            work: Box::pin(work),
            watch,
        }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.watch.since.set(Some(Instant::now()));
        let result = self.work.as_mut().poll(cx);
        let done = self.watch.now();
        self.watch.since.set(None);
        self.watch.done.set(done);
        result
    }
}

/// A channel that notes what crosses it and when.
pub(super) struct Recorder<C> {
    channel: C,
    watch: Rc<Stopwatch>,
    log: Log,
}

impl<C> Recorder<C> {
    pub(super) fn new(channel: C, watch: Rc<Stopwatch>) -> Self {
        let log = Log::default();
        Self { channel, watch, log }
    }

    pub(super) fn log(&self) -> Log {
        self.log.clone()
    }

    fn note(&self, round: u64, action: Action) {
        let seconds = self.watch.lap();
        self.log.borrow_mut().push(Noted {
            round: Some(round),
            step: Step { seconds, action },
        });
    }
}

impl<C: Channel> Channel for Recorder<C> {
    fn peer(&self) -> &Party {
        self.channel.peer()
    }

    async fn send(&self, what: &'static str, round: u64, frame: [&[u8]; 2]) -> Result<(), WireError> {
        let bytes: usize = frame.iter().map(|piece| piece.len()).sum();
        self.note(round, Action::Send(bytes as u64));
        let result = self.channel.send(what, round, frame).await;
        self.watch.step_ends();
        result
    }

    async fn receive_header(&self, what: &'static str, round: u64) -> Result<Header, WireError> {
        self.note(round, Action::Receive);
        let result = self.channel.receive_header(what, round).await;
        self.watch.step_ends();
        result
    }

    async fn receive_payload(&self, what: &'static str, header: Header, into: &mut Vec<u8>) -> Result<(), WireError> {
        let result = self.channel.receive_payload(what, header, into).await;
        self.watch.step_ends();
        result
    }

    fn exporter(&mut self, label: &[u8], context: &[u8]) -> Result<[u8; 32], WireError> {
        self.channel.exporter(label, context)
    }

    fn deadlines(&self) -> Deadlines {
        self.channel.deadlines()
    }

    fn traffic(&self) -> Traffic {
        self.channel.traffic()
    }

    async fn abort(&mut self, reason: AbortReason) {
        self.channel.abort(reason).await;
    }
}
