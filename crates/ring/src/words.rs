//! The memory of polynomials: words on cache-line boundaries.

use crate::{Modulus, RingError};
use zeroize::Zeroize;

/// Words of a cache line: a vector load that straddles two lines costs twice as much.
const LINE: usize = 8;

/// A fixed number of words that begin on a cache line.
#[derive(Debug)]
pub(crate) struct Words {
    buffer: Vec<u64>,
    start: usize,
    length: usize,
}

impl Words {
    pub(crate) fn zeros(length: usize) -> Self {
        let buffer = vec![0; length + LINE - 1];
        Self {
            start: start_of(buffer.as_ptr()),
            buffer,
            length,
        }
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.buffer[self.start..self.start + self.length]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u64] {
        &mut self.buffer[self.start..self.start + self.length]
    }
}

/// Where the first cache line begins. `align_offset` may decline with a huge number; then the words start where the buffer does.
fn start_of(buffer: *const u64) -> usize {
    let start = buffer.align_offset(LINE * size_of::<u64>());
    if start < LINE { start } else { 0 }
}

impl From<&[u64]> for Words {
    fn from(words: &[u64]) -> Self {
        let room = words.len() + LINE - 1;
        let mut buffer: Vec<u64> = Vec::with_capacity(room);
        let start = start_of(buffer.as_ptr());
        // Written once, not zeroed first; within its capacity the buffer does not move.
        buffer.resize(start, 0);
        buffer.extend_from_slice(words);
        buffer.resize(room, 0);
        Self {
            start,
            buffer,
            length: words.len(),
        }
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        self.as_slice().into()
    }
}

impl Zeroize for Words {
    /// Wipes the words; their number stays.
    fn zeroize(&mut self) {
        self.buffer.as_mut_slice().zeroize();
    }
}

/// Refuses a word that is not below the prime. Without an early exit: the words may be secret, their validity is not.
pub(crate) fn check_reduced(words: &[u64], modulus: &Modulus) -> Result<(), RingError> {
    let q = modulus.value();
    if words.iter().fold(true, |all, &word| all & (word < q)) {
        return Ok(());
    }
    let index = words.iter().position(|&word| word >= q).unwrap_or_default();
    Err(RingError::Residue {
        index,
        modulus: q,
        actual: words[index],
    })
}
