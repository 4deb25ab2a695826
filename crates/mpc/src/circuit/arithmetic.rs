//! Sums modulo 2^k, and fixed point.

use super::{Bit, Builder, Word};

impl Builder {
    /// left + right modulo 2^k.
    pub fn add(&mut self, left: &[Bit], right: &[Bit]) -> Word {
        self.add_with(left, right, Bit::ZERO).0
    }

    /// left - right modulo 2^k. Re-masking in a power-of-two ring is subtracting a fresh uniform word that one party gives.
    pub fn subtract(&mut self, left: &[Bit], right: &[Bit]) -> Word {
        self.subtract_with_borrow(left, right).0
    }

    /// left - right modulo 2^k, and whether left < right as unsigned numbers.
    pub fn subtract_with_borrow(&mut self, left: &[Bit], right: &[Bit]) -> (Word, Bit) {
        let right = self.not_word(right);
        let (difference, carry) = self.add_with(left, &right, Bit::ONE);
        (difference, self.not(carry))
    }

    /// left + right + carry modulo 2^k, and the carry out of the highest bit.
    pub fn add_with(&mut self, left: &[Bit], right: &[Bit], carry: Bit) -> (Word, Bit) {
        let carries = self.carries(left, right, carry);
        let half = self.xor_words(left, right);
        let sum = self.zip(&half, &carries[..half.len()], Self::xor);
        (sum, carries[half.len()])
    }

    /// The sum of n >= 1 words modulo 2^k: n-party reconstruction of additive shares.
    ///
    /// Carry-save (Wallace 1964): each step makes two words of three with k - 1 ANDs at depth 1; one adder ends it.
    pub fn sum(&mut self, words: &[Word]) -> Word {
        let mut queue: std::collections::VecDeque<Word> = words.iter().cloned().collect();
        while queue.len() > 2 {
            let [Some(a), Some(b), Some(c)] = [queue.pop_front(), queue.pop_front(), queue.pop_front()] else {
                break;
            };
            let (partial, carries) = self.save_carries(&a, &b, &c);
            queue.extend([partial, carries]);
        }
        let last = queue.pop_front().unwrap_or_default();
        match queue.pop_front() {
            Some(other) => self.add(&last, &other),
            None => last,
        }
    }

    /// value - (sum of masks) modulo 2^k: the share that remains when the other parties' shares are their fresh uniform masks.
    pub fn remask(&mut self, value: &[Bit], masks: &[Word]) -> Word {
        match masks {
            [] => value.to_vec(),
            _ => {
                let mask = self.sum(masks);
                self.subtract(value, &mask)
            }
        }
    }

    /// The arithmetic shift floor(word / 2^places) of a signed word, k - places bits wide; free.
    ///
    /// To round to nearest at no cost, one party adds 2^(places-1) to its share before the circuit; `word + 2^(places-1)` must not
    /// leave the signed range then.
    pub fn truncate(&mut self, word: &[Bit], places: usize) -> Word {
        assert!(places < word.len(), "a sign must remain");
        word[places..].to_vec()
    }

    /// floor((word + 2^(places-1)) / 2^places) of any signed word, halves rounding up; k - places + 1 bits wide.
    pub fn truncate_to_nearest(&mut self, word: &[Bit], places: usize) -> Word {
        let floor = self.truncate(word, places);
        let floor = self.extend_sign(&floor, floor.len() + 1);
        let half = if places == 0 { Bit::ZERO } else { word[places - 1] };
        let zero = self.constant(0, floor.len());
        self.add_with(&floor, &zero, half).0
    }

    /// The same signed number in a wider word; free.
    pub fn extend_sign(&mut self, word: &[Bit], width: usize) -> Word {
        let sign = word.last().copied().unwrap_or(Bit::ZERO);
        let mut word = word.to_vec();
        word.resize(width.max(word.len()), sign);
        word
    }

    /// The same unsigned number in a wider word; free.
    pub fn extend_zero(&mut self, word: &[Bit], width: usize) -> Word {
        let mut word = word.to_vec();
        word.resize(width.max(word.len()), Bit::ZERO);
        word
    }

    fn save_carries(&mut self, a: &[Bit], b: &[Bit], c: &[Bit]) -> (Word, Word) {
        let low = a.len().saturating_sub(1);
        let mut carries = vec![Bit::ZERO];
        for place in 0..low {
            carries.push(self.majority(a[place], b[place], c[place]));
        }
        carries.truncate(a.len());
        let half = self.xor_words(a, b);
        (self.xor_words(&half, c), carries)
    }
}
