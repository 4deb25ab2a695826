//! Mutated bytes into every decoder: no panic, and accepted exactly when a slow reader finds the bytes valid.
//!
//! No message has a length field: every length follows from what the parties agreed on. Every decoder gets `CLOVEN_FUZZ_SECONDS` (default: its share of
//! one second), at least one mutation of each kind; a failure names decoder and seed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod targets;

use cloven_mpc::MpcError;
use curve25519_dalek::{ristretto::CompressedRistretto, traits::IsIdentity};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::{
    num::NonZero,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, available_parallelism},
    time::{Duration, Instant},
};

/// What bytes a decoder takes.
enum Form {
    /// Any, of this length.
    Free,
    /// Group elements of 32 bytes, none of them the neutral one.
    Points,
    /// Rows of so many bits in whole bytes, the padding zero.
    Rows(usize),
    /// So many bytes of any value, then rows as above.
    RowsAfter(usize, usize),
    /// Eight bytes as they are, so many of any value, then rows as above.
    Marked { free: usize, columns: usize },
    /// Any, of so many bytes a number of times.
    Pieces { of: usize, times: RangeInclusive<usize> },
    /// Numbers of so many bytes, the lowest byte first, each larger than the one before.
    Increasing(usize),
    /// 32 bytes of any value and nothing else, or the first 16-byte words of what is there: no mutation finds anything else that fits.
    Keyed,
}

type Decode = Box<dyn Fn(&[u8]) -> Result<(), MpcError> + Sync>;

/// A decoder, and a message that an honest party sends it.
struct Target {
    name: &'static str,
    valid: Vec<u8>,
    form: Form,
    /// Takes the bytes in a fresh state.
    decode: Decode,
}

impl Target {
    fn new(
        name: &'static str,
        valid: &[u8],
        form: Form,
        decode: impl Fn(&[u8]) -> Result<(), MpcError> + Sync + 'static,
    ) -> Self {
        Self {
            name,
            valid: valid.to_vec(),
            form,
            decode: Box::new(decode),
        }
    }

    /// The slow reader.
    fn is_valid(&self, bytes: &[u8]) -> bool {
        let same = bytes.len() == self.valid.len();
        match self.form {
            Form::Free => same,
            Form::Points => {
                let point = |bytes: &[u8]| CompressedRistretto::from_slice(bytes).unwrap().decompress();
                same && bytes
                    .chunks(32)
                    .all(|bytes| point(bytes).is_some_and(|point| !point.is_identity()))
            }
            Form::Rows(columns) => same && rows(bytes, columns),
            Form::RowsAfter(free, columns) => same && rows(&bytes[free..], columns),
            Form::Marked { free, columns } => same && bytes[..8] == self.valid[..8] && rows(&bytes[8 + free..], columns),
            Form::Pieces { of, ref times } => bytes.len().is_multiple_of(of) && times.contains(&(bytes.len() / of)),
            Form::Increasing(width) => {
                let numbers: Vec<Vec<u8>> = bytes
                    .chunks(width)
                    .map(|number| number.iter().rev().copied().collect())
                    .collect();
                same && numbers.is_sorted_by(|left, right| left < right)
            }
            Form::Keyed => {
                let digests = bytes.len().checked_sub(32);
                digests == Some(0) || digests.is_some_and(|bytes| bytes.is_multiple_of(16)) && self.valid.starts_with(bytes)
            }
        }
    }

    fn mutant(&self, seed: u64) -> Vec<u8> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut below = |most: usize| (rng.next_u64() % most as u64) as usize;
        let mut bytes = self.valid.clone();
        for _ in 0..below(5) {
            let at = below(bytes.len());
            bytes[at] ^= 1 << below(8);
        }
        match seed % 6 {
            0 => bytes.truncate(below(bytes.len())),
            1 => bytes.push(below(256) as u8),
            2 => bytes.extend_from_slice(&self.valid),
            3 => {
                let first = below(bytes.len());
                bytes[first..].iter_mut().for_each(|byte| *byte = below(256) as u8);
            }
            _ => {}
        }
        bytes
    }

    /// Mutants until `time` is up, at least one of each kind.
    fn fuzz(&self, time: Duration) {
        let begun = Instant::now();
        for seed in 0.. {
            let bytes = self.mutant(seed);
            let decoded = catch_unwind(AssertUnwindSafe(|| (self.decode)(&bytes)));
            let decoded = decoded.unwrap_or_else(|_| panic!("{}: seed {seed} panics", self.name));
            assert_eq!(
                decoded.is_ok(),
                self.is_valid(&bytes),
                "{}: seed {seed}: {decoded:?}",
                self.name
            );
            if let Err(error) = decoded {
                assert!(error.to_string().len() < 200, "{}: seed {seed}", self.name);
            }
            if seed >= 5 && begun.elapsed() >= time {
                break;
            }
        }
    }
}

/// Whether rows of so many bits have nothing but zeros beyond them.
fn rows(bytes: &[u8], columns: usize) -> bool {
    let row = |row: &[u8]| (columns..8 * row.len()).all(|bit| row[bit / 8] >> (bit % 8) & 1 == 0);
    bytes.chunks(columns.div_ceil(8)).all(row)
}

#[test]
fn hostile_bytes_are_accepted_exactly_when_they_are_valid() {
    let targets = targets::all();
    for target in &targets {
        assert!(target.is_valid(&target.valid), "{}: the slow reader", target.name);
        (target.decode)(&target.valid).unwrap_or_else(|error| panic!("{}: {error}", target.name));
    }
    let share = 1.0 / targets.len() as f64;
    let seconds = std::env::var("CLOVEN_FUZZ_SECONDS").map_or(share, |text| text.parse().unwrap());
    let (threads, next) = (available_parallelism().map_or(1, NonZero::get), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    target.fuzz(Duration::from_secs_f64(seconds));
                }
            });
        }
    });
}
