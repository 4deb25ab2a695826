//! Comparisons.

use super::{Bit, Builder};

impl Builder {
    /// Whether left < right as unsigned numbers.
    pub fn less_unsigned(&mut self, left: &[Bit], right: &[Bit]) -> Bit {
        self.subtract_with_borrow(left, right).1
    }

    /// Whether left < right as signed numbers.
    pub fn less_signed(&mut self, left: &[Bit], right: &[Bit]) -> Bit {
        let (left, right) = (self.flip_sign(left), self.flip_sign(right));
        self.less_unsigned(&left, &right)
    }

    /// Whether left = right.
    pub fn equal(&mut self, left: &[Bit], right: &[Bit]) -> Bit {
        let differences = self.xor_words(left, right);
        let same = self.not_word(&differences);
        self.all(&same)
    }

    /// Adds 2^(k-1): signed order becomes unsigned order.
    fn flip_sign(&self, word: &[Bit]) -> Vec<Bit> {
        let mut word = word.to_vec();
        if let Some(sign) = word.last_mut() {
            *sign = self.not(*sign);
        }
        word
    }
}
