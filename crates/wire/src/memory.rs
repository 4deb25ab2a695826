//! A channel between two tasks of one process, for tests.

use std::{
    future::poll_fn,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{sync::mpsc, time::timeout};

use crate::{AbortReason, Channel, Deadlines, Header, Party, Traffic, WireError};

/// One end of an in-memory channel.
pub struct MemoryChannel {
    peer: Party,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    incoming: Mutex<Incoming>,
    sent: AtomicU64,
    deadlines: Option<Deadlines>,
    session: [u8; 32],
}

struct Incoming {
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    /// The payload of the frame whose header was read last.
    payload: Vec<u8>,
    received: u64,
}

/// Two connected ends: the first belongs to `a`, the second to `b`.
pub fn pair(a: Party, b: Party) -> (MemoryChannel, MemoryChannel) {
    let (to_b, from_a) = mpsc::unbounded_channel();
    let (to_a, from_b) = mpsc::unbounded_channel();
    let end = |peer, outgoing, frames| MemoryChannel {
        peer,
        outgoing,
        incoming: Mutex::new(Incoming {
            frames,
            payload: Vec::new(),
            received: 0,
        }),
        sent: AtomicU64::new(0),
        deadlines: None,
        session: [0; 32],
    };
    (end(b, to_b, from_b), end(a, to_a, from_a))
}

impl MemoryChannel {
    /// Waits no longer than these; needs a runtime with a clock. Without them a wait has no end.
    pub fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = Some(deadlines);
        self
    }

    /// What [`Channel::exporter`] comes from; without it all sessions have the same.
    pub fn with_session(mut self, session: [u8; 32]) -> Self {
        self.session = session;
        self
    }

    /// Sends raw bytes as one frame; lets a test play a dishonest peer.
    pub fn send_raw(&self, frame: Vec<u8>) {
        self.sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
        // A peer that is gone is noticed at the next receive.
        let _ = self.outgoing.send(frame);
    }

    /// Receives one raw frame, header included; `None` when the other end is gone.
    pub async fn receive_raw(&self) -> Option<Vec<u8>> {
        poll_fn(|cx| self.incoming().frames.poll_recv(cx)).await
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel for MemoryChannel {
    fn peer(&self) -> &Party {
        &self.peer
    }

    async fn send(&self, _: &'static str, _: u64, frame: [&[u8]; 2]) -> Result<(), WireError> {
        self.send_raw(frame.concat());
        Ok(())
    }

    async fn receive_header(&self, what: &'static str, round: u64) -> Result<Header, WireError> {
        let frame = match self.deadlines {
            None => self.receive_raw().await,
            Some(Deadlines { message, .. }) => {
                let late = WireError::late(&self.peer, what, "from", round, message);
                timeout(message, self.receive_raw()).await.map_err(|_| late)?
            }
        };
        let mut frame = frame.ok_or_else(|| self.closed(what, round))?;
        let mut incoming = self.incoming();
        incoming.received += frame.len() as u64;
        let header = frame.first_chunk().copied().ok_or_else(|| self.closed(what, round))?;
        incoming.payload = frame.split_off(Header::LEN);
        Header::from_bytes(header).map_err(|cause| WireError::bad_header(&self.peer, what, round, cause))
    }

    async fn receive_payload(&self, what: &'static str, header: Header, into: &mut Vec<u8>) -> Result<(), WireError> {
        let mut incoming = self.incoming();
        if incoming.payload.len() < header.len as usize {
            return Err(self.closed(what, header.round));
        }
        incoming.payload.truncate(header.len as usize);
        std::mem::swap(into, &mut incoming.payload);
        Ok(())
    }

    fn exporter(&mut self, label: &[u8], context: &[u8]) -> Result<[u8; 32], WireError> {
        let mut hasher = blake3::Hasher::new_keyed(&self.session);
        hasher
            .update(&(label.len() as u64).to_le_bytes())
            .update(label)
            .update(context);
        Ok(hasher.finalize().into())
    }

    fn deadlines(&self) -> Deadlines {
        self.deadlines.unwrap_or_default()
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Ordering::Relaxed),
            received: self.incoming().received,
        }
    }

    async fn abort(&mut self, reason: AbortReason) {
        self.send_raw(Header::abort_frame(reason).to_vec());
    }
}

impl MemoryChannel {
    fn closed(&self, what: &'static str, round: u64) -> WireError {
        WireError::Closed {
            party: self.peer.clone(),
            what,
            round,
            cause: "the other end was dropped".into(),
        }
    }
}
