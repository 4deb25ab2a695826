//! Hashes on fixed-key AES, whose keys are public and belong to a session.

use zeroize::Zeroize;

use crate::{Session, cipher::Cipher};

/// A tweakable circular correlation-robust hash in the ideal-permutation model, H(i, x) = pi(pi(x) ^ i) ^ pi(x)
/// (Guo, Katz, Wang, Yu, IEEE S&P 2020, the construction TMMO).
#[derive(Clone)]
pub(crate) struct TweakedHash(Cipher);

/// Words that are hashed at a time.
const BATCH: usize = 64;

impl TweakedHash {
    pub(crate) fn new(session: &Session, purpose: &str) -> Self {
        Self(public_permutation(session, purpose))
    }

    /// Replaces each word x by H(i, x) with i = `first`, `first + 1`, ...
    pub(crate) fn hash(&self, first: u64, words: &mut [u128]) {
        let mut inner = [0; BATCH];
        let mut tweak = u128::from(first);
        for words in words.chunks_mut(BATCH) {
            let inner = &mut inner[..words.len()];
            self.0.encrypt(words);
            inner.copy_from_slice(words);
            for word in words.iter_mut() {
                *word ^= tweak;
                tweak += 1;
            }
            self.0.encrypt(words);
            words.iter_mut().zip(&*inner).for_each(|(word, inner)| *word ^= inner);
        }
        inner.zeroize();
    }
}

pub(crate) fn public_permutation(session: &Session, purpose: &str) -> Cipher {
    let key = session.public_key(purpose);
    let mut short = [0; 16];
    short.copy_from_slice(&key[..16]);
    Cipher::new(short)
}
