//! Checkpoints: what a party keeps so that a training can go on after a crash.
//!
//! Each party keeps its own state for each of its links, every so many batches and at the end of every epoch. When parties connect they
//! agree on the newest position that all of them have ([`common`]) and go on from there. From the same position with the same keys and
//! rows a party computes, and sends, the same bytes again, so the final weights are those of an undisturbed run, bit for bit; encryption
//! randomness is a function of key and plaintext, so a step that is repeated with other data never uses the same randomness.
//!
//! **Which positions exist.** At the end of an epoch nobody goes on before every party has its state on disk (`settled`). So while anybody
//! works in epoch e, all have (e, 0), and older positions may go. Within an epoch each link has positions of its own.
//!
//! **The end.** When all have settled after the last epoch, each marks its states as complete: the server before it says so (`all settled`), a client
//! when it hears it. From a complete state a party finishes alone ([`crate::Task::alone`]), for every other party has its own last state and
//! needs nothing more, except a client that has not heard: it may still ask the server, who answers from its mark ([`crate::release`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ProtocolError;

/// A place in a training: before batch `batch` + 1 of epoch `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// From 1; one more than the job's epochs when all is done.
    pub epoch: u32,
    /// Batches of this epoch that are done.
    pub batch: u32,
}

impl Default for Position {
    fn default() -> Self {
        Self::START
    }
}

impl Position {
    /// Where a training begins. Every party can always go back there.
    pub const START: Self = Self { epoch: 1, batch: 0 };

    /// The beginning of an epoch.
    pub(crate) fn of_epoch(epoch: u32) -> Self {
        Self { epoch, batch: 0 }
    }
}

/// A party's state in named parts.
pub type Parts = BTreeMap<String, Vec<u8>>;

/// A state could not be kept or found again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint: {why}")]
pub struct CheckpointError {
    /// Why, for the operator.
    pub why: String,
}

/// Keeps a party's states for one of its links.
pub trait Keep {
    /// What can be loaded.
    fn positions(&self) -> Vec<Position>;
    /// Keeps a state; it may reach the disk later, but before the next but one.
    fn save(&self, position: Position, parts: Parts) -> Result<(), CheckpointError>;
    /// Returns when all that was saved is on disk.
    fn flush(&self) -> Result<(), CheckpointError>;
    /// A state of an earlier call of `save`, possibly of an earlier process.
    fn load(&self, position: Position) -> Result<Parts, CheckpointError>;
    /// Every party has the beginning of `epoch`: earlier states may go.
    fn settled(&self, epoch: u32) -> Result<(), CheckpointError>;
    /// Every party has its state after the last epoch. Returns when that is on disk.
    fn complete(&self) -> Result<(), CheckpointError>;
}

/// States of one link within an epoch that are kept besides its beginning: a party may be one behind the other, and have one on its way to the disk.
const NEWEST: usize = 3;

/// Of what one link has, the states that are no longer needed to find a common one.
pub fn superseded(positions: &[Position]) -> Vec<Position> {
    let mut within: Vec<_> = positions.iter().copied().filter(|position| position.batch > 0).collect();
    within.sort_unstable();
    within.truncate(within.len().saturating_sub(NEWEST));
    within
}

/// The newest positions to go on from, one for each link, given what the server and each client have: all in one epoch, of which every party
/// has the beginning.
pub(crate) fn common(server: &[Vec<Position>], clients: &[Vec<Position>]) -> Vec<Position> {
    let has = |positions: &[Position], wanted: Position| wanted == Position::START || positions.contains(&wanted);
    let both = |link: usize, wanted| has(&server[link], wanted) && has(&clients[link], wanted);
    let begun = |epoch: &u32| (0..clients.len()).all(|link| both(link, Position::of_epoch(*epoch)));
    let epochs = clients.iter().flatten().map(|position| position.epoch);
    let epoch = epochs.filter(begun).max().unwrap_or(Position::START.epoch);
    let newest = |link: usize| {
        let own = clients[link].iter().copied().filter(|position| position.epoch == epoch);
        own.filter(|position| both(link, *position))
            .max()
            .unwrap_or(Position::of_epoch(epoch))
    };
    (0..clients.len()).map(newest).collect()
}

/// A part that must be there.
pub(crate) fn part<'a>(parts: &'a Parts, name: &str) -> Result<&'a [u8], ProtocolError> {
    let part = parts.get(name).ok_or_else(|| CheckpointError {
        why: format!("expected a part {name:?}, got {:?}", parts.keys().collect::<Vec<_>>()),
    });
    Ok(part?)
}

/// A number among the parts.
pub(crate) fn number(parts: &Parts, name: &str) -> Result<u64, ProtocolError> {
    let bytes = part(parts, name)?;
    let bytes = bytes.try_into().map_err(|_| CheckpointError {
        why: format!("expected 8 bytes of {name:?}, got {}", bytes.len()),
    })?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(positions: &[(u32, u32)]) -> Vec<Position> {
        positions.iter().map(|&(epoch, batch)| Position { epoch, batch }).collect()
    }

    #[test]
    fn the_newest_common_position_of_one_epoch_that_all_have_begun() {
        for (server, clients, expected) in [
            // Nobody has anything; one side has lost everything.
            (vec![vec![]], vec![vec![]], vec![(1, 0)]),
            (vec![at(&[(1, 50), (1, 100)])], vec![vec![]], vec![(1, 0)]),
            (vec![at(&[(1, 50), (1, 100)])], vec![at(&[(1, 50)])], vec![(1, 50)]),
            (
                vec![at(&[(2, 0), (2, 50)])],
                vec![at(&[(2, 0), (2, 50), (2, 100)])],
                vec![(2, 50)],
            ),
            // One party has not settled epoch 3.
            (
                vec![at(&[(2, 0), (2, 50)])],
                vec![at(&[(2, 0), (2, 50), (3, 0)])],
                vec![(2, 50)],
            ),
            // Sessions of one epoch at different batches.
            (
                vec![at(&[(2, 0), (2, 50)]), at(&[(2, 0), (2, 100)])],
                vec![at(&[(2, 0), (2, 50)]), at(&[(2, 0), (2, 100)])],
                vec![(2, 50), (2, 100)],
            ),
            // The second session has not begun epoch 3, so the first goes back.
            (
                vec![at(&[(2, 0), (2, 50), (3, 0)]), at(&[(2, 0), (2, 50), (3, 0)])],
                vec![at(&[(2, 0), (2, 50), (3, 0)]), at(&[(2, 0), (2, 50)])],
                vec![(2, 50), (2, 50)],
            ),
            // A batch without the beginning of its epoch is of no use.
            (vec![at(&[(2, 50)])], vec![at(&[(2, 50)])], vec![(1, 0)]),
        ] {
            let expected: Vec<_> = at(&expected);
            assert_eq!(common(&server, &clients), expected, "{server:?} {clients:?}");
        }
    }
}
