//! Protocol `vertical`: what the server sees of the first layer in every pass, and what a holder sees of the gradient.
//!
//! | message | what is taken of it |
//! |---|---|
//! | share of the first layer's output | one from every holder a round, the upper halves of words; their sum modulo 2^64 is h1 at 2^54 |
//! | part of the first layer's output | the same without protection, as tensors |
//! | open gradient | the gradient at h1 times the learning rate, at 2^30 |
//! | gradient at the first layer's output | the same as a tensor |
//! | masked gradient | uniform words; attacked as if they were a gradient |

mod attacks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use cloven_wire::{Party, recording::Received};
use ndarray::Array2;

pub use self::attacks::{VerticalTruth, audit_vertical};
use crate::{AuditError, view};

/// Bits after the point of h1 and of the gradient.
const OUTPUT_BITS: i32 = 54;
const GRADIENT_BITS: i32 = 30;

/// The rows of a round, by their places among all rows of their kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoundRows {
    /// Training rows.
    Training(Vec<usize>),
    /// Test rows.
    Test(Vec<usize>),
}

/// What a recording is to be read by; follows from the job and the number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounds {
    /// Holders of columns: each sends a share of h1.
    pub holders: BTreeSet<Party>,
    /// Outputs of the first layer.
    pub width: usize,
    /// Training rows.
    pub train_rows: usize,
    /// Test rows.
    pub test_rows: usize,
    /// The rows of every round that has any. The k-th time that a row appears is in the k-th pass.
    pub rows: BTreeMap<u64, RoundRows>,
}

/// A party's view: a matrix `[rows, width]` for each pass that is recorded in full.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VerticalView {
    /// h1 of the training rows. The weights changed from batch to batch.
    pub train: Vec<Array2<f64>>,
    /// h1 of the test rows, each pass with the same weights for all rows.
    pub test: Vec<Array2<f64>>,
    /// The gradient at h1 of the training rows times the learning rate, as it was sent in the open.
    pub gradient: Vec<Array2<f64>>,
    /// The same less all holders' shares of it; uniform words as numbers in -1/2..1/2.
    pub masked_gradient: Vec<Array2<f64>>,
    /// Passes that are recorded in part, and left out.
    pub partial_passes: usize,
}

impl VerticalView {
    /// Sorts messages into passes. Other messages, and those of rounds without rows, are not looked at.
    ///
    /// # Errors
    /// [`AuditError::Rows`] for rounds with rows that there are not; [`AuditError`] for a damaged recording, or a payload that is not what its name says.
    pub fn read<E: Into<AuditError>>(
        messages: impl IntoIterator<Item = Result<Received, E>>,
        rounds: &Rounds,
    ) -> Result<Self, AuditError> {
        let mut reading = Reading {
            places: places(rounds)?,
            rounds,
            sums: BTreeMap::new(),
            outputs: Kinds::default(),
            gradients: Passes::default(),
            masked: Passes::default(),
        };
        for message in messages {
            reading.take(&message.map_err(Into::into)?)?;
        }
        Ok(reading.end())
    }
}

/// Where the rows of a round go.
struct Place<'a> {
    pass: usize,
    rows: &'a [usize],
    test: bool,
}

/// # Errors
/// [`AuditError::Rows`].
fn places(rounds: &Rounds) -> Result<BTreeMap<u64, Place<'_>>, AuditError> {
    let mut seen = [vec![0; rounds.train_rows], vec![0; rounds.test_rows]];
    let mut places = BTreeMap::new();
    for (round, rows) in &rounds.rows {
        let (rows, test) = match rows {
            RoundRows::Training(rows) => (rows, false),
            RoundRows::Test(rows) => (rows, true),
        };
        let seen = &mut seen[usize::from(test)];
        let mut pass = None;
        for row in rows {
            let times: &mut usize = seen.get_mut(*row).ok_or_else(|| {
                let many = [rounds.train_rows, rounds.test_rows][usize::from(test)];
                wrong_rows(format!("rows below {many} in round {round}"), row)
            })?;
            if *pass.get_or_insert(*times) != *times {
                return Err(wrong_rows(format!("rows of one pass in round {round}"), "those of two"));
            }
            *times += 1;
        }
        let pass = pass.unwrap_or_default();
        places.insert(*round, Place { pass, rows, test });
    }
    Ok(places)
}

fn wrong_rows(expected: String, got: impl ToString) -> AuditError {
    AuditError::Rows {
        expected,
        got: got.to_string(),
    }
}

/// Passes over `[rows, width]` as they fill.
#[derive(Default)]
struct Passes(BTreeMap<usize, (Array2<f64>, usize)>);

impl Passes {
    /// `numbers` has a line for each of the rows.
    fn put(&mut self, place: &Place<'_>, all_rows: usize, numbers: &Array2<f64>) {
        let empty = || (Array2::zeros((all_rows, numbers.ncols())), 0);
        let (pass, filled) = self.0.entry(place.pass).or_insert_with(empty);
        for (row, line) in place.rows.iter().zip(numbers.rows()) {
            pass.row_mut(*row).assign(&line);
        }
        *filled += place.rows.len();
    }

    /// Those that are full, and how many are not.
    fn end(self) -> (Vec<Array2<f64>>, usize) {
        let all = self.0.len();
        let full = self.0.into_values().filter(|(pass, filled)| *filled == pass.nrows());
        let full: Vec<_> = full.map(|(pass, _)| pass).collect();
        let partial = all - full.len();
        (full, partial)
    }
}

/// Passes over training and over test rows.
#[derive(Default)]
struct Kinds([Passes; 2]);

/// Parts of h1 of a round.
struct Sum {
    from: BTreeSet<Party>,
    words: Vec<u64>,
    numbers: Array2<f64>,
}

struct Reading<'a> {
    rounds: &'a Rounds,
    places: BTreeMap<u64, Place<'a>>,
    /// Rounds of which not all parts of h1 are there.
    sums: BTreeMap<u64, Sum>,
    outputs: Kinds,
    gradients: Passes,
    masked: Passes,
}

impl Reading<'_> {
    fn take(&mut self, message: &Received) -> Result<(), AuditError> {
        let Some(place) = self.places.get(&message.round) else {
            return Ok(());
        };
        let (rows, width, all) = (place.rows.len(), self.rounds.width, self.rounds.train_rows);
        let fixed = |bits| words::<8>(message, rows, width).map(|words| numbers(&words, width, bits));
        match message.name.as_str() {
            "share of the first layer's output" => {
                let words = words::<4>(message, rows, width)?;
                self.add(message, words, Array2::zeros((rows, width)))?;
            }
            "part of the first layer's output" => {
                let numbers = view::flat(message, 0, rows)?.mapv(f64::from);
                self.add(message, vec![0; rows * width], wide(message, numbers, width)?)?;
            }
            "open gradient" if !place.test => self.gradients.put(place, all, &fixed(GRADIENT_BITS)?),
            "gradient at the first layer's output" if !place.test => {
                let numbers = view::flat(message, 0, rows)?.mapv(f64::from);
                self.gradients.put(place, all, &wide(message, numbers, width)?);
            }
            "masked gradient" if !place.test => self.masked.put(place, all, &fixed(64)?),
            _ => (),
        }
        Ok(())
    }

    /// Adds a holder's part of h1; the last one completes the round.
    fn add(&mut self, message: &Received, words: Vec<u64>, plain: Array2<f64>) -> Result<(), AuditError> {
        let Some(place) = self.places.get(&message.round) else {
            return Ok(());
        };
        if !self.rounds.holders.contains(&message.peer) {
            return Err(view::wrong(
                message,
                "one from a holder".into(),
                format!("one from {}", message.peer),
            ));
        }
        let sum = self.sums.entry(message.round).or_insert_with(|| Sum {
            from: BTreeSet::new(),
            words: vec![0; words.len()],
            numbers: Array2::zeros(plain.dim()),
        });
        if !sum.from.insert(message.peer.clone()) {
            return Err(view::wrong(
                message,
                "one from every holder".into(),
                format!("a second from {}", message.peer),
            ));
        }
        sum.words
            .iter_mut()
            .zip(words)
            .for_each(|(sum, word)| *sum = sum.wrapping_add(word));
        sum.numbers += &plain;
        if sum.from.len() < self.rounds.holders.len() {
            return Ok(());
        }
        if let Some(sum) = self.sums.remove(&message.round) {
            let h1 = numbers(&sum.words, self.rounds.width, OUTPUT_BITS) + sum.numbers;
            let all = [self.rounds.train_rows, self.rounds.test_rows][usize::from(place.test)];
            self.outputs.0[usize::from(place.test)].put(place, all, &h1);
        }
        Ok(())
    }

    fn end(self) -> VerticalView {
        let [train, test] = self.outputs.0.map(Passes::end);
        let (gradient, masked) = (self.gradients.end(), self.masked.end());
        VerticalView {
            partial_passes: train.1 + test.1 + gradient.1 + masked.1,
            train: train.0,
            test: test.0,
            gradient: gradient.0,
            masked_gradient: masked.0,
        }
    }
}

/// The upper `BYTES` of 8-byte words, lowest byte first: `rows x width` of them and nothing else.
fn words<const BYTES: usize>(message: &Received, rows: usize, width: usize) -> Result<Vec<u64>, AuditError> {
    let (words, rest) = message.payload.as_chunks::<BYTES>();
    if words.len() != rows.saturating_mul(width) || !rest.is_empty() {
        let expected = format!("{rows} rows of {width} words of {BYTES} bytes");
        return Err(view::wrong(message, expected, format!("{} bytes", message.payload.len())));
    }
    let whole = |upper: &[u8; BYTES]| upper.iter().rfold(0, |word, byte| word << 8 | u64::from(*byte)) << (64 - 8 * BYTES);
    Ok(words.iter().map(whole).collect())
}

/// Words as signed numbers with so many bits after the point, `[rows, width]`.
fn numbers(words: &[u64], width: usize, bits: i32) -> Array2<f64> {
    let scale = 2f64.powi(-bits);
    Array2::from_shape_fn((words.len() / width.max(1), width), |(row, column)| {
        words[row * width + column] as i64 as f64 * scale
    })
}

fn wide(message: &Received, numbers: Array2<f64>, width: usize) -> Result<Array2<f64>, AuditError> {
    match numbers.ncols() == width {
        true => Ok(numbers),
        false => Err(view::wrong(
            message,
            format!("{width} numbers a row"),
            numbers.ncols().to_string(),
        )),
    }
}
