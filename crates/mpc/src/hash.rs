//! Hashes on fixed-key AES, whose keys are public and belong to a session.

use aes::{
    Aes128Enc,
    cipher::{Array, KeyInit},
};
use zeroize::Zeroize;

use crate::{Session, prg::encrypt};

/// A tweakable circular correlation-robust hash in the ideal-permutation model, H(i, x) = pi(pi(x) ^ i) ^ pi(x)
/// (Guo, Katz, Wang, Yu, IEEE S&P 2020, the construction TMMO).
#[derive(Clone)]
pub(crate) struct TweakedHash(Aes128Enc);

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
            encrypt(&self.0, words);
            inner.copy_from_slice(words);
            for word in words.iter_mut() {
                *word ^= tweak;
                tweak += 1;
            }
            encrypt(&self.0, words);
            words.iter_mut().zip(&*inner).for_each(|(word, inner)| *word ^= inner);
        }
        inner.zeroize();
    }
}

pub(crate) fn public_permutation(session: &Session, purpose: &str) -> Aes128Enc {
    let key = session.public_key(purpose);
    let mut short = [0; 16];
    short.copy_from_slice(&key[..16]);
    Aes128Enc::new(&Array(short))
}
