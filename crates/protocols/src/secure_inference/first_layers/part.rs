//! One party's part of the values, and what it does with it alone.

use cloven_nn::fixed_point::Step;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A party's parts of the current value and of those that wait. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Part {
    pub(super) current: Vec<u64>,
    waiting: Vec<Vec<u64>>,
    /// The low bits that count.
    mask: u64,
    /// Whether public numbers are added to this party's part: to that of one of the two.
    adds: bool,
}

impl Part {
    pub(super) fn new(current: Vec<u64>, mask: u64, adds: bool) -> Self {
        Self {
            current,
            waiting: Vec::new(),
            mask,
            adds,
        }
    }

    /// A step that needs no other party.
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Linear { .. } | Step::NonLinear { .. } => {}
            Step::SumPool { window, multiplier, .. } => {
                let mut sums = window.sums(&self.current);
                sums.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(*multiplier as u64));
                self.set(sums);
            }
            Step::Offset { value } if self.adds => {
                let current = self.current.iter_mut();
                current.for_each(|part| *part = part.wrapping_add(*value as u64));
            }
            Step::Offset { .. } => {}
            Step::Fork => self.waiting.push(self.current.clone()),
            Step::Turn => {
                if let Some(top) = self.waiting.last_mut() {
                    std::mem::swap(top, &mut self.current);
                }
            }
            Step::Join {
                body_shift,
                shortcut_shift,
            } => {
                let mut body = self.waiting.pop().unwrap_or_default();
                for (shortcut, body) in self.current.iter_mut().zip(&body) {
                    *shortcut = (*shortcut << shortcut_shift).wrapping_add(body << body_shift);
                }
                body.zeroize();
            }
        }
        self.reduce();
    }

    /// Goes on with another value.
    pub(super) fn set(&mut self, mut current: Vec<u64>) {
        std::mem::swap(&mut self.current, &mut current);
        current.zeroize();
        self.reduce();
    }

    fn reduce(&mut self) {
        self.current.iter_mut().for_each(|part| *part &= self.mask);
    }
}
