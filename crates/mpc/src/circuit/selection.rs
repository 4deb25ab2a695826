//! Choices between words.

use super::{Bit, Builder, Word};

impl Builder {
    /// `yes` if `condition`, else `no`; one AND per bit.
    pub fn select(&mut self, condition: Bit, yes: &[Bit], no: &[Bit]) -> Word {
        self.zip(yes, no, |builder, yes, no| {
            let difference = builder.xor(yes, no);
            let taken = builder.and(condition, difference);
            builder.xor(no, taken)
        })
    }

    /// `word` if `condition`, else 0; one AND per bit.
    pub fn keep_if(&mut self, condition: Bit, word: &[Bit]) -> Word {
        word.iter().map(|bit| self.and(condition, *bit)).collect()
    }

    /// max(0, word) of a signed word.
    pub fn relu(&mut self, word: &[Bit]) -> Word {
        let Some((sign, low)) = word.split_last() else {
            return Word::new();
        };
        let positive = self.not(*sign);
        let mut kept = self.keep_if(positive, low);
        kept.push(Bit::ZERO);
        kept
    }

    /// The larger of two signed words.
    pub fn max(&mut self, left: &[Bit], right: &[Bit]) -> Word {
        let less = self.less_signed(left, right);
        self.select(less, right, left)
    }

    /// The largest of one or more signed words, in a tree (max-pooling).
    pub fn max_of(&mut self, words: &[Word]) -> Word {
        match words {
            [] => Word::new(),
            [word] => word.clone(),
            _ => {
                let (low, high) = words.split_at(words.len() / 2);
                let (low, high) = (self.max_of(low), self.max_of(high));
                self.max(&low, &high)
            }
        }
    }

    /// The largest of one or more signed words and its place; of equals the first.
    pub fn argmax(&mut self, words: &[Word]) -> (Word, Word) {
        let width = words.len().next_power_of_two().trailing_zeros() as usize;
        self.tournament(words, 0, width)
    }

    fn tournament(&mut self, words: &[Word], first: u64, width: usize) -> (Word, Word) {
        match words {
            [] => (Word::new(), self.constant(first, width)),
            [word] => (word.clone(), self.constant(first, width)),
            _ => {
                let half = words.len().next_power_of_two() / 2;
                let (low, high) = words.split_at(half);
                let (low, low_place) = self.tournament(low, first, width);
                let (high, high_place) = self.tournament(high, first + half as u64, width);
                let less = self.less_signed(&low, &high);
                (self.select(less, &high, &low), self.select(less, &high_place, &low_place))
            }
        }
    }
}
