//! The workers, as the enclave sees them: who is there, what each answers, and who is done without from here on.

use std::collections::BTreeMap;

use cloven_accel::{
    Shape,
    job::{Job, Tensor},
};
use cloven_wire::{Channel, DecodeError, Link, Message, Party, Traffic, WireError, wait_while};
use futures_util::future::join_all;

use super::teller::Teller;
use crate::{
    Event, Halted, ProtocolError,
    enclave::{
        Blinding, Terms,
        msg::{WorkerAnswer, WorkerJob},
        worker::MAX_JOB,
    },
    training::Barrier,
};

/// The workers.
pub(super) struct Pool<'l, C> {
    /// By number in [`Terms::workers`].
    workers: Vec<Worker<'l, C>>,
    teller: &'l Teller<'l>,
    /// Bytes at the links of those that failed.
    gone: Traffic,
    /// What the last one did that failed.
    lost: Option<WireError>,
}

struct Worker<'l, C> {
    name: Party,
    /// None once it has failed.
    link: Option<&'l mut Link<C>>,
    /// Jobs so far.
    round: u64,
}

/// What a worker is asked for.
pub(super) struct Task<'t> {
    pub worker: usize,
    /// Makes the job, when it is the worker's turn: what those before it are sent is under way meanwhile.
    pub job: Box<dyn FnOnce() -> Result<Job, ProtocolError> + 't>,
    /// Of the answer.
    pub shapes: Vec<Shape>,
}

/// What a worker answered; `None` of one that failed.
pub(super) type Answered<T> = (usize, Option<Vec<T>>);

impl<'l, C: Channel> Pool<'l, C> {
    /// `links` by number in [`Terms::workers`]; a worker without one has failed.
    pub(super) fn new(links: Vec<Option<&'l mut Link<C>>>, terms: &Terms, teller: &'l Teller<'l>) -> Result<Self, ProtocolError> {
        let needed = match terms.blinding {
            Blinding::Masked => cloven_accel::masked::WORKERS,
            Blinding::Permute { .. } | Blinding::None => 1,
        };
        if links.len() < needed {
            let workers = links.len();
            return Err(ProtocolError::Structure(format!(
                "this blinding needs {needed} workers, the job has {workers}"
            )));
        }
        let mut lost = None;
        let mut workers = Vec::new();
        for (name, link) in terms.workers.iter().cloned().zip(links) {
            if link.is_none() {
                let cause = WireError::Local {
                    what: "beginning the work".into(),
                    cause: format!("{name} is not connected"),
                };
                dropped(teller, &name, &cause)?;
                lost = Some(cause);
            }
            workers.push(Worker { name, link, round: 0 });
        }
        Ok(Self {
            workers,
            teller,
            gone: Traffic::default(),
            lost,
        })
    }

    /// The numbers of those that are left.
    ///
    /// # Errors
    /// [`ProtocolError::NoWorker`] where nobody is.
    pub(super) fn left(&mut self) -> Result<Vec<usize>, ProtocolError> {
        let workers = self.workers.iter().enumerate();
        let left: Vec<usize> = workers
            .filter_map(|(number, worker)| worker.link.as_ref().map(|_| number))
            .collect();
        match left.is_empty() {
            true => Err(self.nobody("no worker is left".into())),
            false => Ok(left),
        }
    }

    /// The one that computes on this share: the first of those that may have it.
    ///
    /// # Errors
    /// [`ProtocolError::NoWorker`] where nobody is left who may.
    pub(super) fn holder(&mut self, share: usize) -> Result<usize, ProtocolError> {
        let may = |number: &usize| Terms::share(*number) == share;
        let able: Vec<usize> = (0..self.workers.len()).filter(may).collect();
        if let Some(holder) = able.iter().find(|number| self.workers[**number].link.is_some()) {
            return Ok(*holder);
        }
        let names: Vec<&str> = able.iter().map(|number| self.workers[*number].name.as_str()).collect();
        let why = format!(
            "no spare worker is left for share {}, which {} had; another worker may have no other share than its own",
            share + 1,
            names.join(", then ")
        );
        Err(self.nobody(why))
    }

    /// Every worker of a task does its job, while the others are kept informed. One that fails is dropped.
    pub(super) async fn run<T>(
        &mut self,
        tasks: Vec<Task<'_>>,
        form: fn(Tensor) -> Option<T>,
    ) -> Result<Vec<Answered<T>>, ProtocolError> {
        let mut tasks: BTreeMap<usize, Task<'_>> = tasks.into_iter().map(|task| (task.worker, task)).collect();
        let left = self.left()?;
        let barrier = Barrier::new(left.len());
        let workers = self.workers.iter_mut().enumerate();
        let present = workers.filter_map(|(number, worker)| {
            let link = worker.link.as_deref_mut()?;
            Some((number, link, &mut worker.round, tasks.remove(&number)))
        });
        let each = present.map(async |(number, link, round, task)| {
            let result = match task {
                None => None,
                Some(Task { job, shapes, .. }) => {
                    *round += 1;
                    let answer = match job() {
                        Ok(job) => Ok(exchange(link, *round, job, shapes, form).await),
                        Err(own) => Err(own),
                    };
                    Some((number, answer))
                }
            };
            barrier.pass(link).await;
            result
        });
        let mut answers = Vec::new();
        for (number, result) in join_all(each).await.into_iter().flatten() {
            let answer = match result? {
                Ok(answer) => Some(answer),
                // Nobody else's fault.
                Err(cause @ WireError::Local { .. }) => return Err(cause.into()),
                Err(cause) => {
                    self.dismiss(number, cause).await?;
                    None
                }
            };
            answers.push((number, answer));
        }
        let links = self.workers.iter().filter_map(|worker| worker.link.as_deref());
        self.teller.crossed(links.map(Link::traffic).chain([self.gone]).sum());
        Ok(answers)
    }

    /// Drops a worker whose product is not that of its operands.
    pub(super) async fn lied(&mut self, number: usize, layer: &str) -> Result<(), ProtocolError> {
        let worker = &self.workers[number];
        let expected = format!("the product of the operands of {layer}");
        let cause = wrong(&worker.name, worker.round, expected, "another".into());
        self.dismiss(number, cause).await
    }

    /// Awaits `work`, which the workers wait for.
    pub(super) async fn wait_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        let links = self.workers.iter_mut().filter_map(|worker| worker.link.as_deref_mut());
        wait_while(links, work).await
    }

    /// The end of the work, for all that are left; best effort.
    pub(super) async fn end(&mut self) {
        let present = self
            .workers
            .iter_mut()
            .filter_map(|worker| Some((worker.link.as_deref_mut()?, worker.round + 1)));
        let each = present.map(async |(link, round)| link.send(round, &WorkerJob(Job(Vec::new()))).await);
        // The network is trained: whoever is gone now need not be told.
        join_all(each).await;
    }

    async fn dismiss(&mut self, number: usize, cause: WireError) -> Result<(), ProtocolError> {
        let worker = &mut self.workers[number];
        let Some(link) = worker.link.take() else { return Ok(()) };
        link.abort(cause.abort_reason()).await;
        self.gone = [self.gone, link.traffic()].into_iter().sum();
        dropped(self.teller, &worker.name, &cause)?;
        self.lost = Some(cause);
        Ok(())
    }

    fn nobody(&mut self, why: String) -> ProtocolError {
        match self.lost.take() {
            Some(cause) => {
                let cause = Box::new(cause);
                ProtocolError::NoWorker { why, cause }
            }
            None => ProtocolError::Structure(why),
        }
    }
}

fn dropped(teller: &Teller<'_>, party: &Party, cause: &WireError) -> Result<(), Halted> {
    teller.tell(Event::WorkerDropped {
        party: party.clone(),
        why: cause.to_string(),
    })
}

/// A job and its answer.
async fn exchange<C: Channel, T>(
    link: &mut Link<C>,
    round: u64,
    job: Job,
    shapes: Vec<Shape>,
    form: fn(Tensor) -> Option<T>,
) -> Result<Vec<T>, WireError> {
    link.send(round, &WorkerJob(job)).await?;
    let WorkerAnswer(answer) = link.receive(round, &MAX_JOB).await?;
    let found: Vec<Shape> = answer.0.iter().map(Tensor::shape).collect();
    let all: Option<Vec<T>> = answer.0.into_iter().map(form).collect();
    all.filter(|_| found == shapes).ok_or_else(|| {
        let expected = format!("products of shapes {shapes:?}, in the form of their operands");
        wrong(link.peer(), round, expected, format!("{found:?}"))
    })
}

fn wrong(party: &Party, round: u64, expected: String, got: String) -> WireError {
    WireError::Malformed {
        party: party.clone(),
        round,
        what: WorkerAnswer::NAME,
        cause: DecodeError::Field {
            field: "products",
            expected,
            got,
        },
    }
}
