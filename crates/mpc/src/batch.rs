//! Numbers for instances of circuits, given once.

use crate::{MpcError, cipher::Cipher};
use zeroize::Zeroize;

const KEY: &str = "cloven mpc 2026 circuit hash";

/// Gives the instances of one run their numbers, from which the tweaks of all hashes come. All parties of the run make the same one from the
/// same public context and ask for the same batches in the same order; a context is used for one run.
pub struct Batches {
    permutation: Cipher,
    next: u64,
}

/// Instances whose numbers no other batch has. A step takes it by value, so no number serves twice.
pub struct Batch {
    permutation: Cipher,
    first: u64,
    instances: usize,
}

impl Batches {
    /// The batches of the run that `context` names.
    pub fn new(context: &[u8]) -> Self {
        let key = blake3::derive_key(KEY, context);
        let mut short = [0; 16];
        short.copy_from_slice(&key[..16]);
        Self {
            permutation: Cipher::new(short),
            next: 0,
        }
    }

    /// The next `instances` instances, 1 to 2^20. Batches of 64 to 256 keep the wires of a small circuit in the cache.
    pub fn next(&mut self, instances: usize) -> Result<Batch, MpcError> {
        let max = 1 << 20;
        if !(1..=max).contains(&instances) {
            let (what, actual) = ("instances", instances);
            return Err(MpcError::Count {
                what,
                min: 1,
                max,
                actual,
            });
        }
        let first = self.next;
        self.next += instances as u64;
        let permutation = self.permutation.clone();
        Ok(Batch {
            permutation,
            first,
            instances,
        })
    }
}

impl Batch {
    /// How many instances.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// The tweak of one use in one instance: the instance's number above, the use below.
    pub(crate) fn tweak(&self, instance: usize, usage: u64) -> u128 {
        u128::from(self.first + instance as u64) << 64 | u128::from(usage)
    }

    /// Replaces each x by H(x, i) = pi(pi(x) ^ i) ^ pi(x), a tweakable circular correlation-robust hash where pi is an ideal permutation
    /// (Guo, Katz, Wang, Yu, IEEE S&P 2020, section 7.4, TMMO). `inner` is scratch space.
    pub(crate) fn hash(&self, tweaks: &[u128], words: &mut [u128], inner: &mut Vec<u128>) {
        self.permutation.encrypt(words);
        inner.clear();
        inner.extend_from_slice(words);
        words.iter_mut().zip(tweaks).for_each(|(word, tweak)| *word ^= tweak);
        self.permutation.encrypt(words);
        words.iter_mut().zip(&*inner).for_each(|(word, inner)| *word ^= inner);
        inner.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_tmmo_and_depends_on_context_and_tweak() {
        let mut batches = Batches::new(b"run");
        let batch = batches.next(3).unwrap();
        let word = 0x0123_4567_89ab_cdef_u128;
        let mut words = [word; 2];
        batch.hash(&[5, 6], &mut words, &mut Vec::new());
        let mut pi = [word];
        batch.permutation.encrypt(&mut pi);
        let mut outer = [pi[0] ^ 5];
        batch.permutation.encrypt(&mut outer);
        assert_eq!(words[0], outer[0] ^ pi[0]);
        assert_ne!(words[0], words[1]);
        let mut other = [word];
        Batches::new(b"other")
            .next(3)
            .unwrap()
            .hash(&[5], &mut other, &mut Vec::new());
        assert_ne!(words[0], other[0]);
        assert_eq!(batches.next(1).unwrap().tweak(0, 7), 3 << 64 | 7);
        assert!(batches.next(0).is_err());
    }
}
