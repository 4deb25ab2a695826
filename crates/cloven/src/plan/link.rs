//! What a link costs: this machine's own part, measured, and the line between the parties.

use cloven_wire::tcp::{Emulation, at_socket};
use serde::{Deserialize, Serialize};

/// A wait that is expected to be shorter is spent polling (`wire::tcp`).
const POLL: f64 = 300e-6;
/// A frame goes in parts of this size: the line has the first before the last is encrypted.
const PART: u64 = 1 << 16;
/// Bytes that a sender may be ahead of a slow line.
const AHEAD: f64 = (4 << 20) as f64;

/// What mutual TLS over a socket of this machine costs; seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Carriage {
    /// By length of the frame, ascending.
    pub(super) sizes: Vec<Size>,
    /// What comes on top when the receiver sleeps.
    pub(super) wake: f64,
    /// What comes on top on a line: the thread that delivers, and a receiver that sleeps.
    pub(super) line: f64,
}

/// Costs of a frame of one length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Size {
    pub(super) bytes: u64,
    /// Of the sender's time.
    pub(super) send: f64,
    /// From the beginning of the sending until a receiver that waits awake has it.
    pub(super) over: f64,
    /// Of the receiver's time, when the frame is there already.
    pub(super) take: f64,
}

/// A link as the simulation sees it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) carriage: Carriage,
    /// `None`: the loopback of this machine.
    pub(super) line: Option<Line>,
}

/// A line between two machines, in each direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) bytes_per_second: f64,
    /// Seconds, one way.
    pub(super) delay: f64,
}

/// When a sender goes on, and when the frame is where it is to go.
pub(super) struct Sent {
    pub(super) free: f64,
    pub(super) arrives: f64,
}

impl Line {
    pub(super) fn of(emulation: Emulation) -> Self {
        Self {
            bytes_per_second: emulation.bits_per_second() as f64 / 8.0,
            delay: emulation.rtt().as_secs_f64() / 2.0,
        }
    }
}

impl Link {
    /// Sends a frame at `now`; `line` is when this direction of the line has carried all it was given.
    pub(super) fn send(&self, now: f64, bytes: u64, line: &mut f64) -> Sent {
        let Size { send, over, take, .. } = self.carriage.of(bytes);
        let Some(Line { bytes_per_second, delay }) = self.line else {
            return Sent {
                free: now + send,
                arrives: now + over - take,
            };
        };
        let first = self.carriage.of(bytes.min(PART)).send;
        *line = line.max(now + first) + at_socket(bytes) as f64 / bytes_per_second;
        // A sender that is far ahead of the line waits.
        let ahead = AHEAD / bytes_per_second + delay;
        Sent {
            free: (now + send).max(*line - ahead),
            arrives: *line + delay,
        }
    }

    /// When a receiver that began to wait at `since` has a frame that can be taken at `now`; `polls` is its habit.
    pub(super) fn receive(&self, since: f64, now: f64, bytes: u64, polls: &mut bool) -> f64 {
        let take = self.carriage.of(bytes).take;
        let (waited, short) = (now > since, now - since < POLL);
        let asleep = waited && !(*polls && short);
        *polls = short;
        match (asleep, self.line) {
            (_, Some(_)) if waited => now + take + self.carriage.line,
            (true, None) => now + take + self.carriage.wake,
            _ => now + take,
        }
    }
}

impl Carriage {
    /// Without cost: for asking what a link's part in a time is.
    pub(super) fn free() -> Self {
        Self {
            sizes: Vec::new(),
            wake: 0.0,
            line: 0.0,
        }
    }

    /// Makes taking any frame cost so much more of the receiver's time.
    pub(super) fn add_to_taking(&mut self, seconds: f64) {
        for size in &mut self.sizes {
            size.take += seconds;
            size.over += seconds;
        }
    }

    /// Costs of a frame of so many bytes: between those measured, and beyond them, in proportion.
    fn of(&self, bytes: u64) -> Size {
        let above = self.sizes.partition_point(|size| size.bytes < bytes);
        let last = self.sizes.len().saturating_sub(1);
        let (low, high) = match above {
            0 => (0, 0),
            _ => (above.min(last).saturating_sub(1), above.min(last)),
        };
        let (Some(low), Some(high)) = (self.sizes.get(low), self.sizes.get(high)) else {
            return Size {
                bytes,
                send: 0.0,
                over: 0.0,
                take: 0.0,
            };
        };
        let span = (high.bytes - low.bytes) as f64;
        let part = if span > 0.0 {
            (bytes as f64 - low.bytes as f64) / span
        } else {
            0.0
        };
        let between = |of: fn(&Size) -> f64| (of(low) + part * (of(high) - of(low))).max(0.0);
        Size {
            bytes,
            send: between(|size| size.send),
            over: between(|size| size.over),
            take: between(|size| size.take),
        }
    }
}
