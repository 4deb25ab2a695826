//! For tests of message types: hostile bytes, and the exact bytes on the wire.
//!
//! Hostile bytes are mutants of valid ones, the same in every run. How long each decoder gets them: [`fuzz_time`].

mod mutants;

use std::{
    cell::{Cell, RefCell},
    fmt::Write,
    fs,
    future::Future,
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use self::mutants::Mutants;
use crate::{
    AbortReason, Channel, Deadlines, Header, Link, MAX_PAYLOAD, Message, Party, Traffic, WireError, memory, tcp::WIRE_VERSION,
};

/// Errors about hostile bytes stay below this length, in bytes.
const MAX_ERROR: usize = 8192;

/// How long to fuzz each of a test's `decoders`: `CLOVEN_FUZZ_SECONDS`, or when that is not set their share of one second.
///
/// # Panics
/// When `CLOVEN_FUZZ_SECONDS` is no number of seconds: a typing error would pass for a long test.
pub fn fuzz_time(decoders: u32) -> Duration {
    match std::env::var("CLOVEN_FUZZ_SECONDS") {
        Err(_) => Duration::from_secs(1) / decoders.max(1),
        Ok(text) => {
            let time = text
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            assert!(
                time.is_some(),
                "CLOVEN_FUZZ_SECONDS: expected a number of seconds, got {text:?}"
            );
            time.unwrap_or_default()
        }
    }
}

/// Calls `target` with mutants of `valid` for about this `time`, and at least 100 times. When it panics, the bytes are printed.
pub fn fuzz(name: &str, time: Duration, valid: &[Vec<u8>], mut target: impl FnMut(&[u8])) {
    let mut mutants = Mutants::new(valid);
    let until = Instant::now() + time;
    let mut tries = 0;
    while tries < 100 || Instant::now() < until {
        let case = Case {
            name,
            bytes: mutants.next_mutant(),
        };
        target(&case.bytes);
        tries += 1;
    }
}

/// Fuzzes a message's decoder with mutants of valid payloads, then a link that waits for the message with mutants of its frame.
///
/// Whatever comes is an error of bounded length or a message that encodes to the very bytes that came, which are no more than
/// [`Message::max_len`] allows; and no payload beyond that is asked of the channel. Panics when any of this does not hold.
pub fn fuzz_message<M: Message>(time: Duration, message: &M, expect: &M::Expect) {
    let mut payload = Vec::new();
    message.encode(&mut payload);
    let cap = M::max_len(expect).min(MAX_PAYLOAD);
    fuzz(M::NAME, time / 2, &[payload], |bytes| match M::decode_whole(bytes, expect) {
        Ok(message) => assert_encodes_to(&message, bytes, cap),
        Err(error) => assert!(error.to_string().len() < MAX_ERROR, "a long error: {error}"),
    });
    fuzz(M::NAME, time / 2, &[frame(ROUND, message)], |bytes| {
        let mut link = Link::new(Probe::new(bytes, cap));
        match at_once(link.receive::<M>(ROUND, expect)) {
            Ok(message) => assert_encodes_to(&message, &link.into_channel().payload.into_inner(), cap),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(PEER) && text.len() < MAX_ERROR, "{text}");
            }
        }
    });
}

/// A message as it crosses a link, header included.
pub fn frame<M: Message>(round: u64, message: &M) -> Vec<u8> {
    let mut bytes = vec![0; Header::LEN];
    message.encode(&mut bytes);
    let header = Header {
        len: (bytes.len() - Header::LEN) as u32,
        kind: M::KIND,
        round,
    };
    bytes[..Header::LEN].copy_from_slice(&header.to_bytes());
    bytes
}

/// Compares named frames with those in the committed file at `path`. Panics when they differ, since parties of the same [`WIRE_VERSION`]
/// would no longer understand each other.
///
/// With `CLOVEN_UPDATE_SNAPSHOTS=1` the file is written instead, if the version was raised or frames were only added.
pub fn assert_wire_format(path: &Path, frames: &[(String, Vec<u8>)]) {
    let mut now = format!("wire version {WIRE_VERSION}\n");
    for (name, bytes) in frames {
        now += &format!("{name}: {}\n", written(bytes));
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    if kept == now {
        return;
    }
    let same_version = kept.lines().next() == now.lines().next();
    let changed: Vec<_> = kept.lines().filter(|line| !now.lines().any(|new| new == *line)).collect();
    let names: Vec<_> = changed.iter().filter_map(|line| line.split(": ").next()).collect();
    assert!(
        !same_version || names.is_empty(),
        "the bytes of {names:?} on the wire changed. If that is meant, raise WIRE_VERSION in crates/wire/src/tcp/hello.rs, so that parties of \
         the earlier version are refused, and run this test with CLOVEN_UPDATE_SNAPSHOTS=1.\nNow:\n{now}"
    );
    let update = std::env::var_os("CLOVEN_UPDATE_SNAPSHOTS").is_some();
    assert!(
        update,
        "{} lacks messages or is of another WIRE_VERSION: run this test with CLOVEN_UPDATE_SNAPSHOTS=1 and look at the difference.\nNow:\n{now}",
        path.display()
    );
    assert!(fs::write(path, now).is_ok(), "cannot write {}", path.display());
}

/// Hexadecimal; of long frames the length and the digest.
fn written(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=512 => bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        n => format!("{n} bytes, BLAKE3 {}", blake3::hash(bytes).to_hex()),
    }
}

const ROUND: u64 = 9;
const PEER: &str = "peer";

fn assert_encodes_to<M: Message>(message: &M, bytes: &[u8], cap: usize) {
    let mut again = Vec::new();
    message.encode(&mut again);
    assert!(again.len() <= cap, "{} bytes were accepted, the cap is {cap}", again.len());
    assert!(again == bytes, "two strings of bytes are the same {}", M::NAME);
    let as_it_is = message.payload().unwrap_or(bytes);
    assert!(as_it_is == bytes, "{} is sent as other bytes than it encodes to", M::NAME);
}

/// The outcome of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

/// Input of a target; printed when the target panics.
struct Case<'a> {
    name: &'a str,
    bytes: Vec<u8>,
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} failed on {:02x?}", self.name, self.bytes);
        }
    }
}

/// A peer that sends one frame and leaves.
struct Probe<'a> {
    peer: memory::MemoryChannel,
    rest: Cell<&'a [u8]>,
    cap: usize,
    payload: RefCell<Vec<u8>>,
}

impl<'a> Probe<'a> {
    fn new(frame: &'a [u8], cap: usize) -> Self {
        let party = |name: &str| name.parse::<Party>().expect("a party's name");
        Self {
            // Whose other end is gone: what comes after the frame is its error.
            peer: memory::pair(party("own"), party(PEER)).0,
            rest: Cell::new(frame),
            cap,
            payload: RefCell::default(),
        }
    }
}

impl Channel for Probe<'_> {
    fn peer(&self) -> &Party {
        self.peer.peer()
    }

    async fn send(&self, what: &'static str, round: u64, frame: [&[u8]; 2]) -> Result<(), WireError> {
        self.peer.send(what, round, frame).await
    }

    async fn receive_header(&self, what: &'static str, round: u64) -> Result<Header, WireError> {
        match self.rest.get().split_first_chunk() {
            None => self.peer.receive_header(what, round).await,
            Some((header, rest)) => {
                self.rest.set(rest);
                Header::from_bytes(*header).map_err(|cause| WireError::bad_header(self.peer(), what, round, cause))
            }
        }
    }

    async fn receive_payload(&self, what: &'static str, header: Header, into: &mut Vec<u8>) -> Result<(), WireError> {
        let len = header.len as usize;
        assert!(
            len <= self.cap.max(1),
            "a payload of {len} bytes was asked for, the cap is {}",
            self.cap
        );
        match self.rest.get().split_at_checked(len) {
            None => self.peer.receive_header(what, header.round).await.map(|_| ()),
            Some((payload, rest)) => {
                self.rest.set(rest);
                *self.payload.borrow_mut() = payload.to_vec();
                into.clear();
                into.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    fn exporter(&mut self, label: &[u8], context: &[u8]) -> Result<[u8; 32], WireError> {
        self.peer.exporter(label, context)
    }

    fn deadlines(&self) -> Deadlines {
        self.peer.deadlines()
    }

    fn traffic(&self) -> Traffic {
        self.peer.traffic()
    }

    async fn abort(&mut self, reason: AbortReason) {
        self.peer.abort(reason).await;
    }
}

#[cfg(test)]
mod tests;
