//! Killing parties and going on from their checkpoints.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use cloven_wire::{Link, memory};
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::{MemoryLink, PARTIES};
use crate::{CheckpointError, Keep, Parts, Position, ProtocolError, superseded};

/// Checkpoints that outlive a script, as a disk outlives a process.
#[derive(Default)]
pub struct Disk {
    states: RefCell<BTreeMap<Position, Parts>>,
    /// Whether the training is complete.
    pub complete: Cell<bool>,
    /// Whether its party is to finish without others.
    pub alone: Cell<bool>,
    /// How many states were loaded.
    pub loads: Cell<usize>,
}

impl Disk {
    /// What a crash may do: the newest state had not reached the disk. The beginning of an epoch had: it is flushed.
    fn lose_newest(&self) {
        let mut states = self.states.borrow_mut();
        let newest = states.keys().next_back().copied();
        if let Some(newest) = newest.filter(|position| position.batch > 0) {
            states.remove(&newest);
        }
    }
}

impl Keep for Disk {
    fn positions(&self) -> Vec<Position> {
        self.states.borrow().keys().copied().collect()
    }

    fn save(&self, position: Position, parts: Parts) -> Result<(), CheckpointError> {
        let mut states = self.states.borrow_mut();
        states.insert(position, parts);
        let all: Vec<_> = states.keys().copied().collect();
        superseded(&all).iter().for_each(|old| drop(states.remove(old)));
        Ok(())
    }

    fn flush(&self) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn load(&self, position: Position) -> Result<Parts, CheckpointError> {
        self.loads.set(self.loads.get() + 1);
        Ok(self.states.borrow()[&position].clone())
    }

    fn settled(&self, epoch: u32) -> Result<(), CheckpointError> {
        self.states.borrow_mut().retain(|position, _| position.epoch >= epoch);
        Ok(())
    }

    fn complete(&self) -> Result<(), CheckpointError> {
        self.complete.set(true);
        Ok(())
    }
}

/// The disks of a job: one for each client, and the server's for each client's session.
pub struct Disks {
    pub clients: Vec<Disk>,
    pub server: Vec<Disk>,
}

impl Disks {
    pub fn new(clients: usize) -> Self {
        let disks = || (0..clients).map(|_| Disk::default()).collect();
        Self {
            clients: disks(),
            server: disks(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Disk> {
        self.clients.iter().chain(&self.server)
    }
}

/// Runs clients and server with a wire between them that is cut after `frames` messages; returns the outcome and the number of messages.
async fn until_cut<T>(
    clients: &[&str],
    frames: usize,
    run: impl AsyncFnOnce(Vec<MemoryLink>, Vec<MemoryLink>) -> T,
) -> (T, usize) {
    let (mut outer, mut at_clients, mut at_server) = (Vec::new(), Vec::new(), Vec::new());
    for client in clients {
        let pair = || memory::pair(client.parse().unwrap(), PARTIES[1].parse().unwrap());
        let ((client_end, to_client), (to_server, server_end)) = (pair(), pair());
        at_clients.push(Link::new(client_end));
        at_server.push(Link::new(server_end));
        outer.push((to_client, to_server));
    }
    let (passed, cut) = (Cell::new(0), Notify::new());
    let relays = outer.into_iter().map(async |(to_client, to_server)| {
        while passed.get() < frames {
            // An end that is gone has sent all it had, and needs no more.
            tokio::select! {
                // Exactly so many pass, over all wires.
                biased;
                () = cut.notified() => return,
                frame = to_client.receive_raw() => match frame {
                    Some(frame) => to_server.send_raw(frame),
                    None => return,
                },
                frame = to_server.receive_raw() => match frame {
                    Some(frame) => to_client.send_raw(frame),
                    None => return,
                },
            }
            passed.set(passed.get() + 1);
        }
        cut.notify_waiters();
    });
    let (outcome, _) = tokio::join!(run(at_clients, at_server), join_all(relays));
    (outcome, passed.get())
}

/// A fixed sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Whatever `run` computes, it computes again, bit for bit, when the parties are killed at any message, up to three times, and go on from
/// their disks, some of which lost the newest state: `cases` seeded lists of kill points. `run` is given the links, the disks and the number of the
/// attempt.
pub async fn every_crash_is_survived<W: PartialEq>(
    clients: &[&str],
    cases: u64,
    run: impl AsyncFn(Vec<MemoryLink>, Vec<MemoryLink>, &Disks, u8) -> Result<W, ProtocolError>,
) {
    let disks = Disks::new(clients.len());
    let (undisturbed, messages) = until_cut(clients, usize::MAX, async |a, b| run(a, b, &disks, 0).await).await;
    let undisturbed = undisturbed.unwrap();
    assert!(disks.all().all(|disk| disk.loads.get() == 0));
    let mut resumed = 0;
    for case in 0..cases {
        let (disks, mut numbers) = (Disks::new(clients.len()), Numbers(case));
        for attempt in 0.. {
            let frames = if attempt < 3 {
                1 + numbers.below(messages - 1)
            } else {
                usize::MAX
            };
            let (outcome, _) = until_cut(clients, frames, async |a, b| run(a, b, &disks, attempt).await).await;
            match outcome {
                Ok(weights) => {
                    assert!(weights == undisturbed, "case {case}, attempt {attempt}");
                    break;
                }
                Err(error) => assert!(attempt < 3, "case {case}: {error}"),
            }
            disks.all().filter(|_| numbers.below(2) == 0).for_each(Disk::lose_newest);
        }
        resumed += usize::from(disks.all().any(|disk| disk.loads.get() > 0));
    }
    assert!(
        resumed as u64 > cases / 2,
        "{resumed} of {cases} runs went on from a checkpoint"
    );
}

/// When all is done and settled, every party comes to the same weights again with no wire at all; and when the last message was lost, the server,
/// whose state is complete, and the clients, of which one does not know it, find the end together.
pub async fn every_party_finishes_alone<W: PartialEq>(
    clients: &[&str],
    run: impl AsyncFn(Vec<MemoryLink>, Vec<MemoryLink>, &Disks, u8) -> Result<W, ProtocolError>,
) {
    let attempt =
        async |frames, disks: &Disks, attempt| until_cut(clients, frames, async |a, b| run(a, b, disks, attempt).await).await;
    let complete = |disks: &[Disk]| disks.iter().filter(|disk| disk.complete.get()).count();

    let disks = Disks::new(clients.len());
    let (undisturbed, messages) = attempt(usize::MAX, &disks, 0).await;
    let undisturbed = undisturbed.unwrap();
    disks.all().for_each(|disk| disk.alone.set(true));
    let (alone, passed) = attempt(0, &disks, 1).await;
    assert!(alone.unwrap() == undisturbed && passed == 0);

    let disks = Disks::new(clients.len());
    let (outcome, _) = attempt(messages - 1, &disks, 0).await;
    assert!(outcome.is_err());
    assert_eq!(
        (complete(&disks.server), complete(&disks.clients)),
        (clients.len(), clients.len() - 1)
    );
    let (again, _) = attempt(usize::MAX, &disks, 1).await;
    assert!(again.unwrap() == undisturbed);
    assert_eq!(complete(&disks.clients), clients.len());
}
