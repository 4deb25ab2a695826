//! Arithmetic modulo any t: words are k bits wide with 2 <= t <= 2^k, their values below t.

use super::{Bit, Builder, Word};

impl Builder {
    /// left + right modulo t: reconstruction of shares modulo t. [`Self::subtract_modulo`] is cheaper where one party can give its share
    /// negated.
    pub fn add_modulo(&mut self, left: &[Bit], right: &[Bit], modulus: u64) -> Word {
        let width = checked_width(left, modulus);
        let (sum, carry) = self.add_with(left, right, Bit::ZERO);
        let sum: Word = sum.into_iter().chain([carry]).collect();
        let t = self.constant(modulus, width + 1);
        let (reduced, below) = self.subtract_with_borrow(&sum, &t);
        self.select(below, &sum[..width], &reduced[..width])
    }

    /// left - right modulo t: re-masking with a fresh uniform `right`, or reconstruction of left + (t - right).
    pub fn subtract_modulo(&mut self, left: &[Bit], right: &[Bit], modulus: u64) -> Word {
        let width = checked_width(left, modulus);
        let (difference, borrow) = self.subtract_with_borrow(left, right);
        let t = self.constant(modulus, width);
        let back = self.keep_if(borrow, &t);
        self.add(&difference, &back)
    }

    /// The sum of n >= 1 words modulo t: n-party reconstruction.
    pub fn sum_modulo(&mut self, words: &[Word], modulus: u64) -> Word {
        match words {
            [] => Word::new(),
            [word] => word.clone(),
            _ => {
                let (low, high) = words.split_at(words.len() / 2);
                let (low, high) = (self.sum_modulo(low, modulus), self.sum_modulo(high, modulus));
                self.add_modulo(&low, &high, modulus)
            }
        }
    }

    /// max(0, x) of a word modulo t that stands for x in -(t-1)/2 ..= t/2.
    pub fn relu_modulo(&mut self, word: &[Bit], modulus: u64) -> Word {
        let negative = self.is_negative(word, modulus);
        let positive = self.not(negative);
        self.keep_if(positive, word)
    }

    /// The signed k-bit word of a word modulo t that stands for x in -(t-1)/2 ..= t/2; needs t < 2^k.
    pub fn centre_modulo(&mut self, word: &[Bit], modulus: u64) -> Word {
        let width = checked_width(word, modulus);
        let negative = self.is_negative(word, modulus);
        let t = self.constant(modulus.wrapping_neg(), width);
        let back = self.keep_if(negative, &t);
        self.add(word, &back)
    }

    /// The word modulo t of a signed k-bit word in -t ..= t - 1; the inverse of [`Self::centre_modulo`].
    pub fn lift_modulo(&mut self, word: &[Bit], modulus: u64) -> Word {
        let width = checked_width(word, modulus);
        let sign = word[width - 1];
        let t = self.constant(modulus, width);
        let added = self.keep_if(sign, &t);
        self.add(word, &added)
    }

    fn is_negative(&mut self, word: &[Bit], modulus: u64) -> Bit {
        let half = self.constant(modulus / 2, checked_width(word, modulus));
        self.less_unsigned(&half, word)
    }
}

fn checked_width(word: &[Bit], modulus: u64) -> usize {
    let width = word.len();
    assert!(
        (1..=63).contains(&width) && (2..=1 << width).contains(&modulus),
        "t fits the word"
    );
    width
}
