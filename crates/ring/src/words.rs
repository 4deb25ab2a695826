//! The memory of polynomials: words on cache-line boundaries.
//!
//! Fresh pages cost more than most of what is done with a polynomial, and allocators give memory of this size back at once. So every thread keeps some of
//! what it is done with, and takes it again for polynomials of the same size. What is secret is wiped by its owner before it is let go, as ever.

use crate::{Modulus, RingError};
use std::{cell::RefCell, collections::VecDeque};
use zeroize::Zeroize;

/// Words of a cache line: a vector load that straddles two lines costs twice as much.
const LINE: usize = 8;

/// Fewer words than this are not kept.
const KEPT_FROM: usize = 1 << 12;
/// Most words that a thread keeps: 8 MiB.
const KEPT: usize = 1 << 20;

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new(Free { buffers: VecDeque::new(), words: 0 }) };
}

/// Buffers of a thread that are in no use, the oldest first.
struct Free {
    buffers: VecDeque<Vec<u64>>,
    words: usize,
}

impl Free {
    /// A buffer of this length with anything in it.
    fn take(&mut self, length: usize) -> Option<Vec<u64>> {
        let place = self.buffers.iter().rposition(|buffer| buffer.len() == length)?;
        self.words -= length;
        self.buffers.remove(place)
    }

    /// Keeps a buffer, and lets the oldest go for it.
    fn put(&mut self, buffer: Vec<u64>) {
        self.words += buffer.len();
        self.buffers.push_back(buffer);
        while self.words > KEPT {
            self.words -= self.buffers.pop_front().map_or(self.words, |oldest| oldest.len());
        }
    }
}

/// A buffer of this length that the thread is done with.
fn kept(length: usize) -> Option<Vec<u64>> {
    if length < KEPT_FROM {
        return None;
    }
    // A thread that ends has none.
    FREE.try_with(|free| free.try_borrow_mut().ok()?.take(length)).ok().flatten()
}

/// A fixed number of words that begin on a cache line.
#[derive(Debug)]
pub(crate) struct Words {
    buffer: Vec<u64>,
    start: usize,
    length: usize,
}

impl Words {
    pub(crate) fn zeros(length: usize) -> Self {
        let room = length + LINE - 1;
        let buffer = match kept(room) {
            Some(mut buffer) => {
                buffer.fill(0);
                buffer
            }
            None => vec![0; room],
        };
        Self {
            start: start_of(buffer.as_ptr()),
            buffer,
            length,
        }
    }

    /// Words of any value, for whoever writes all of them.
    pub(crate) fn unset(length: usize) -> Self {
        let Some(buffer) = kept(length + LINE - 1) else {
            return Self::zeros(length);
        };
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
        let mut copy = Self::unset(words.len());
        copy.as_mut_slice().copy_from_slice(words);
        copy
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.len() >= KEPT_FROM && buffer.len() <= KEPT {
            // Without a list to put it in, it is freed.
            let _ = FREE.try_with(|free| free.try_borrow_mut().map(|mut free| free.put(buffer)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_taken_again_is_zero_and_bounded() {
        let length = KEPT_FROM;
        let mut words = Words::zeros(length);
        words.as_mut_slice().fill(7);
        let copy = words.clone();
        let before = words.as_slice().as_ptr();
        drop(words);
        let again = Words::zeros(length);
        assert_eq!(again.as_slice().as_ptr(), before, "the same memory");
        assert!(again.as_slice().iter().all(|&word| word == 0));
        assert!(copy.as_slice().iter().all(|&word| word == 7));
        let clone = copy.clone();
        drop(again);
        let other = clone.clone();
        assert_eq!(other.as_slice(), copy.as_slice());
        assert_eq!(other.as_slice().as_ptr().align_offset(64), 0);
        let many: Vec<Words> = (0..KEPT / length + 3).map(|_| Words::zeros(length)).collect();
        drop(many);
        FREE.with_borrow(|free| {
            assert!((KEPT - 2 * length..=KEPT).contains(&free.words), "{}", free.words);
            assert_eq!(free.words, free.buffers.iter().map(Vec::len).sum::<usize>());
        });
        let few = Words::zeros(16);
        drop(few);
        FREE.with_borrow(|free| assert!(free.buffers.iter().all(|buffer| buffer.len() >= KEPT_FROM)));
    }
}
