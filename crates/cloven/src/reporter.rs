//! From a script's events to updates with times, and to a party's summary.

mod log;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cloven_data::ColumnCount;
use cloven_nn::Evaluation;
use cloven_protocols::{Event, Halted, LayerBytes, Position};
use cloven_wire::{Channel, Link, MessageTraffic, Party, Traffic};

use serde::{Deserialize, Serialize};

use crate::{AdjustedValues, Alignment, PartySummary, PreprocessingTraffic, Role, Stamped, Update, predict::PartyPrediction};

/// Receives updates.
pub type Watch<'a> = dyn FnMut(Stamped) + 'a;

/// Progress within an epoch is told at most this often.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Memory is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a party has measured up to a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of the epochs that were done.
    pub(crate) training_seconds: f64,
    training: Traffic,
    evaluating: Traffic,
    #[serde(default)]
    preprocessing: Preprocessing,
    evaluation: Option<Evaluation>,
    subsets: BTreeMap<String, Evaluation>,
    /// Of the epoch that was not.
    phase_seconds: f64,
    phase: Traffic,
    /// All bytes.
    earlier: Traffic,
}

/// Traffic of preprocessing, by the phase that it crossed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Preprocessing {
    setup: Traffic,
    training: Traffic,
    evaluating: Traffic,
    /// Of the phase that is not done.
    phase: Traffic,
}

/// Adds clock and memory to what a script tells; scripts have neither.
pub(crate) struct Reporter<'a> {
    party: Party,
    memory_mb: Option<u64>,
    begun: Instant,
    state: RefCell<State<'a>>,
}

struct State<'a> {
    watch: &'a mut Watch<'a>,
    /// When the current phase began, and the traffic then.
    phase: (Instant, Traffic),
    told: Instant,
    /// Checkpoints that were written, and when that was last told.
    checkpoints: (u64, Instant),
    looked: Option<Instant>,
    rows: usize,
    training_seconds: f64,
    training: Traffic,
    evaluating: Traffic,
    preprocessing: Preprocessing,
    /// What scripts said last of it, on the connections of now.
    prepared: Traffic,
    alignment: Option<Alignment>,
    adjusted: Option<AdjustedValues>,
    /// Training and test rows of the job.
    all_rows: Option<[usize; 2]>,
    evaluation: Option<Evaluation>,
    subsets: BTreeMap<String, Evaluation>,
    /// From the first row to the last so far.
    predicting_seconds: f64,
    /// Of the current phase before the connections of now: seconds and traffic.
    carried: (f64, Traffic),
    /// On the connections of now, as last heard.
    seen: Traffic,
    /// On connections that are gone.
    earlier: Traffic,
    earlier_messages: BTreeMap<String, MessageTraffic>,
    /// Whether this process has begun to work.
    started: bool,
    service: ServiceFigures,
    /// Prepared inferences of a service that wait to be used.
    ready: usize,
    /// What was sent for each layer, over all connections.
    layers: Vec<LayerBytes>,
}

/// What a server of a service has measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceFigures {
    /// Meetings of the servers: keys, encrypted weights, transfers.
    pub meeting: Figure,
    /// Inferences that were prepared.
    pub preparing: Figure,
    /// Inferences that were answered.
    pub answering: Figure,
}

/// How often something was done, and what all of it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// How often.
    pub times: u64,
    /// Seconds, waiting for other parties included.
    pub seconds: f64,
    /// Bytes at this party's sockets.
    pub traffic: Traffic,
}

impl Figure {
    /// With one more time.
    fn and(self, (seconds, traffic): (f64, Traffic)) -> Self {
        Self {
            times: self.times + 1,
            seconds: self.seconds + seconds,
            traffic: [self.traffic, traffic].into_iter().sum(),
        }
    }
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(party: Party, memory_mb: Option<u64>, watch: &'a mut Watch<'a>) -> Self {
        let now = Instant::now();
        let state = State {
            watch,
            phase: (now, Traffic::default()),
            told: now,
            checkpoints: (0, now),
            looked: None,
            rows: 0,
            training_seconds: 0.0,
            training: Traffic::default(),
            evaluating: Traffic::default(),
            preprocessing: Preprocessing::default(),
            prepared: Traffic::default(),
            alignment: None,
            adjusted: None,
            all_rows: None,
            evaluation: None,
            subsets: BTreeMap::new(),
            predicting_seconds: 0.0,
            carried: (0.0, Traffic::default()),
            seen: Traffic::default(),
            earlier: Traffic::default(),
            earlier_messages: BTreeMap::new(),
            started: false,
            service: ServiceFigures::default(),
            ready: 0,
            layers: Vec::new(),
        };
        Self {
            party,
            memory_mb,
            begun: now,
            state: RefCell::new(state),
        }
    }

    /// Passes an update on.
    pub(crate) fn tell(&self, update: Update) {
        log::update(&update);
        let stamped = Stamped {
            party: self.party.clone(),
            at: self.begun.elapsed().as_secs_f64(),
            update,
        };
        (self.state.borrow_mut().watch)(stamped);
    }

    /// A holder found the rows that all have.
    pub(crate) fn aligned(&self, alignment: Alignment) {
        self.state.borrow_mut().alignment = Some(alignment.clone());
        self.tell(Update::Aligned { alignment });
    }

    /// What became of a holder's values.
    pub(crate) fn adjusted(&self, columns: Vec<ColumnCount>) {
        self.state.borrow_mut().adjusted = Some(AdjustedValues::of(&columns));
        if !columns.is_empty() {
            self.tell(Update::Adjusted { columns });
        }
    }

    /// Takes a script's event; stops the script when the memory cap is reached.
    pub(crate) fn observe(&self, event: Event) -> Result<(), Halted> {
        log::event(&event);
        let update = self.state.borrow_mut().absorb(event);
        if let Some(update) = update {
            self.tell(update);
        }
        self.check_memory()
    }

    /// A checkpoint is written, or about to be by a thread of its own.
    pub(crate) fn checkpoint(&self, position: Position) {
        let mut state = self.state.borrow_mut();
        let (written, told) = &mut state.checkpoints;
        *written += 1;
        let written = *written;
        if position.batch > 0 && told.elapsed() < TELL_EVERY {
            return;
        }
        *told = Instant::now();
        drop(state);
        self.tell(Update::Checkpoint { position, written });
    }

    pub(crate) fn summary(&self, role: Role, seconds: Duration, links: &[Link<impl Channel>]) -> PartySummary {
        let state = self.state.borrow();
        let mut sent_by_message = state.earlier_messages.clone();
        add_messages(&mut sent_by_message, links);
        PartySummary {
            role,
            emulate: None,
            seconds_total: seconds.as_secs_f64(),
            seconds_training: state.training_seconds,
            traffic: links.iter().map(Link::traffic).chain([state.earlier]).sum(),
            training_traffic: state.training,
            evaluation_traffic: state.evaluating,
            preprocessing_traffic: PreprocessingTraffic {
                setup: add(state.preprocessing.setup, state.preprocessing.phase),
                training: state.preprocessing.training,
                evaluation: state.preprocessing.evaluating,
            },
            cpu_seconds: cpu_seconds(),
            rows: state.all_rows,
            alignment: state.alignment.clone(),
            adjusted: state.adjusted,
            sent_by_message,
            peak_rss_bytes: peak_rss_bytes(),
            evaluation: state.evaluation.clone(),
            subsets: state.subsets.clone(),
            unreached: Vec::new(),
        }
    }

    /// The connections are lost: what crossed them still counts.
    pub(crate) fn lost(&self, links: &[Link<impl Channel>]) {
        let mut state = self.state.borrow_mut();
        state.earlier = links.iter().map(Link::traffic).chain([state.earlier]).sum();
        (state.seen, state.prepared) = Default::default();
        add_messages(&mut state.earlier_messages, links);
    }

    /// What a checkpoint of now keeps.
    pub(crate) fn figures(&self) -> Figures {
        let state = self.state.borrow();
        let (seconds, traffic) = state.phase_so_far(state.seen);
        Figures {
            training_seconds: state.training_seconds,
            training: state.training,
            evaluating: state.evaluating,
            preprocessing: state.preprocessing,
            evaluation: state.evaluation.clone(),
            subsets: state.subsets.clone(),
            phase_seconds: seconds,
            phase: traffic,
            earlier: [state.earlier, state.seen].into_iter().sum(),
        }
    }

    /// Goes back to the figures of a checkpoint. Bytes that crossed since then count in all, but for no phase.
    pub(crate) fn restore(&self, figures: Figures) {
        let mut state = self.state.borrow_mut();
        state.training_seconds = figures.training_seconds;
        (state.training, state.evaluating) = (figures.training, figures.evaluating);
        state.preprocessing = figures.preprocessing;
        (state.evaluation, state.subsets) = (figures.evaluation, figures.subsets);
        state.carried = (figures.phase_seconds, figures.phase);
        if !state.started {
            state.earlier = figures.earlier;
        }
    }

    /// The same of a prediction, without what only the client knows.
    pub(crate) fn prediction<C: Channel>(&self, role: Role, seconds: Duration, links: &[Link<C>]) -> PartyPrediction {
        let state = self.state.borrow();
        let mut sent_by_message = BTreeMap::new();
        add_messages(&mut sent_by_message, links);
        PartyPrediction {
            role,
            rows: state.rows,
            seconds_total: seconds.as_secs_f64(),
            seconds_predicting: state.predicting_seconds,
            traffic: links.iter().map(Link::traffic).sum(),
            sent_by_message,
            peak_rss_bytes: peak_rss_bytes(),
            outcome: None,
        }
    }

    /// The same of a server of a service; `links` are those that were not lost.
    pub(crate) fn service<C: Channel>(
        &self,
        links: &[Link<C>],
    ) -> (ServiceFigures, Vec<LayerBytes>, Traffic, BTreeMap<String, MessageTraffic>) {
        let state = self.state.borrow();
        let mut sent_by_message = state.earlier_messages.clone();
        add_messages(&mut sent_by_message, links);
        let traffic = links.iter().map(Link::traffic).chain([state.earlier]).sum();
        (state.service, state.layers.clone(), traffic, sent_by_message)
    }

    fn check_memory(&self) -> Result<(), Halted> {
        let (Some(cap), mut state) = (self.memory_mb, self.state.borrow_mut()) else {
            return Ok(());
        };
        if state.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        state.looked = Some(Instant::now());
        match peak_rss_bytes() {
            Some(peak) if peak > cap * 1_000_000 => Err(Halted {
                why: format!(
                    "resident memory reached {} MB, the cap limits.memory_mb is {cap} MB",
                    peak / 1_000_000
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl State<'_> {
    /// Whether it is time to tell of progress again.
    fn tells(&mut self) -> bool {
        let due = self.told.elapsed() >= TELL_EVERY;
        if due {
            self.told = Instant::now();
        }
        due
    }

    fn absorb(&mut self, event: Event) -> Option<Update> {
        match event {
            Event::Started {
                epochs,
                train_rows,
                test_rows,
                batches,
                from,
                traffic,
            } => {
                self.phase = (Instant::now(), traffic);
                (self.rows, self.seen, self.started) = (0, traffic, true);
                self.all_rows = Some([train_rows, test_rows]);
                let prepared = std::mem::take(&mut self.preprocessing.phase);
                self.preprocessing.setup = add(self.preprocessing.setup, prepared);
                if from == Position::START {
                    (self.training_seconds, self.carried) = (0.0, Default::default());
                    (self.training, self.evaluating) = Default::default();
                    (self.preprocessing.training, self.preprocessing.evaluating) = Default::default();
                }
                Some(Update::Started {
                    epochs,
                    train_rows,
                    test_rows,
                    batches,
                    from,
                    connection: traffic,
                })
            }
            Event::Preprocessing { traffic } => {
                let more = traffic.since(std::mem::replace(&mut self.prepared, traffic));
                self.preprocessing.phase = add(self.preprocessing.phase, more);
                None
            }
            Event::Batch {
                epoch,
                batch,
                rows,
                loss,
                traffic,
            } => {
                self.rows += rows;
                self.seen = traffic;
                self.tells().then_some(Update::Batch {
                    epoch,
                    batch,
                    rows: self.rows,
                    loss,
                    traffic,
                })
            }
            Event::Epoch { epoch, loss, traffic } => {
                let (seconds, bytes) = self.end_phase(traffic);
                let rows = std::mem::take(&mut self.rows);
                self.training_seconds += seconds;
                self.training = add(self.training, bytes);
                let prepared = std::mem::take(&mut self.preprocessing.phase);
                self.preprocessing.training = add(self.preprocessing.training, prepared);
                Some(Update::Epoch {
                    epoch,
                    loss,
                    seconds,
                    traffic: bytes,
                    rows,
                    connection: traffic,
                })
            }
            Event::Evaluated {
                epoch,
                evaluation,
                subsets,
                traffic,
            } => {
                let (seconds, bytes) = self.end_phase(traffic);
                self.evaluating = add(self.evaluating, bytes);
                let prepared = std::mem::take(&mut self.preprocessing.phase);
                self.preprocessing.evaluating = add(self.preprocessing.evaluating, prepared);
                self.evaluation.clone_from(&evaluation);
                self.subsets.clone_from(&subsets);
                Some(Update::Evaluated {
                    epoch,
                    evaluation,
                    subsets,
                    seconds,
                    traffic: bytes,
                    connection: traffic,
                })
            }
            Event::Asked { rows, traffic } => {
                self.phase = (Instant::now(), traffic);
                Some(Update::Asked { rows })
            }
            Event::Met { traffic } => {
                self.service.meeting = self.service.meeting.and(self.end_phase(traffic));
                self.ready = 0;
                let figures = self.service;
                Some(Update::Met { figures })
            }
            Event::Working { traffic } => {
                self.phase = (Instant::now(), traffic);
                None
            }
            Event::Prepared { ready, wanted, traffic } => {
                self.service.preparing = self.service.preparing.and(self.end_phase(traffic));
                self.ready = ready;
                let figures = self.service;
                Some(Update::Prepared { ready, wanted, figures })
            }
            Event::Answered { inferences: _, traffic } => {
                self.service.answering = self.service.answering.and(self.end_phase(traffic));
                self.ready = self.ready.saturating_sub(1);
                let (figures, ready) = (self.service, self.ready);
                let inferences = figures.answering.times;
                Some(Update::Answered {
                    inferences,
                    ready,
                    figures,
                })
            }
            Event::Layers { layers } => {
                match self.layers.is_empty() {
                    true => self.layers = layers,
                    false => self.layers.iter_mut().zip(layers).for_each(|(sum, one)| {
                        sum.preparing += one.preparing;
                        sum.answering += one.answering;
                    }),
                }
                None
            }
            Event::Computed { jobs, traffic } => {
                self.seen = traffic;
                self.tells().then_some(Update::Computed { jobs, traffic })
            }
            Event::WorkerDropped { party: worker, why } => Some(Update::WorkerDropped { worker, why }),
            Event::Predicted { rows, traffic } => {
                self.rows = rows;
                self.predicting_seconds = self.phase.0.elapsed().as_secs_f64();
                self.tells().then_some(Update::Predicted { rows, traffic })
            }
        }
    }

    /// Seconds and bytes of the phase that ends now.
    fn end_phase(&mut self, traffic: Traffic) -> (f64, Traffic) {
        let phase = self.phase_so_far(traffic);
        self.phase = (Instant::now(), traffic);
        (self.carried, self.seen) = (Default::default(), traffic);
        phase
    }

    fn phase_so_far(&self, traffic: Traffic) -> (f64, Traffic) {
        let (begun, before) = self.phase;
        let (seconds, carried) = self.carried;
        let here = traffic.since(before);
        (seconds + begun.elapsed().as_secs_f64(), [carried, here].into_iter().sum())
    }
}

fn add(one: Traffic, other: Traffic) -> Traffic {
    [one, other].into_iter().sum()
}

fn add_messages(sums: &mut BTreeMap<String, MessageTraffic>, links: &[Link<impl Channel>]) {
    for (name, count) in links.iter().flat_map(Link::sent_by_message) {
        let sum = sums.entry((*name).to_owned()).or_default();
        sum.messages += count.messages;
        sum.bytes += count.bytes;
    }
}

/// Resident memory of this process in bytes, where the system tells (Linux).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// As it is.
    pub(crate) now: Option<u64>,
    /// The largest so far.
    pub(crate) peak: Option<u64>,
}

/// Looks at the memory of this process.
pub(crate) fn memory_bytes() -> Memory {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return Memory::default();
    };
    let bytes = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Memory {
        now: bytes("VmRSS:"),
        peak: bytes("VmHWM:"),
    }
}

pub(crate) fn peak_rss_bytes() -> Option<u64> {
    memory_bytes().peak
}

/// Processor time of this process so far, of all its threads, where the system tells (Linux). A tick is a hundredth of a second on every architecture.
fn cpu_seconds() -> Option<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name stands in parentheses and may hold anything; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 / TICKS)
}
