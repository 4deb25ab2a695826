//! Weights that stay at the workers, who update them themselves: permutations with signs are orthogonal, so that a step of gradient descent on W~ with dW~ is the permuted one on W with dW
//! (Tempo's in-place update).
//!
//! Where every weight is at one worker only, which then has all of its gradient ([`Cut`]), and with SGD. Momentum needs the velocity there too: after the first step it is
//! sent in the place of the weights, from then on workers compute it. Results are those of sending the weights, bit for bit on the same kind of processor.

use std::ops::Range;

use cloven_accel::{
    AccelError, Matrices,
    job::{Step, Tensor},
    sharding::{Cut, Operand},
};
use cloven_nn::SgdStep;

use super::SLOTS;

/// The weights of one product at its workers.
pub(super) struct InPlace {
    pub(super) cut: Cut,
    /// Who has each part.
    pub(super) workers: Vec<usize>,
    weights: u32,
    gradient: u32,
    velocity: u32,
    /// Whether there is a velocity in its slot.
    moving: bool,
    /// Whether there is a gradient in its slot which the weights have not followed.
    descending: bool,
    update: Option<Update>,
}

/// What the workers are to do before they use the weights again.
struct Update {
    step: SgdStep,
    /// The new velocity, where the workers cannot compute it.
    velocity: Option<Matrices<f32>>,
}

impl InPlace {
    /// Of weights that these workers have just been sent.
    pub(super) fn new(product: usize, cut: Cut, workers: Vec<usize>) -> Self {
        let [weights, gradient, velocity] = [1, 3, 4].map(|slot| SLOTS * product as u32 + slot);
        Self {
            cut,
            workers,
            weights,
            gradient,
            velocity,
            moving: false,
            descending: false,
            update: None,
        }
    }

    /// Where a worker is to keep the gradient that it computes.
    pub(super) fn gradient(&self) -> u32 {
        self.gradient
    }

    /// The workers have computed the gradient.
    pub(super) fn descend(&mut self) {
        self.descending = true;
    }

    /// The weights have followed their gradient. `velocity` gives it after that, blinded, where it is wanted; false where the workers cannot do the same.
    pub(super) fn follow<E>(
        &mut self,
        step: SgdStep,
        velocity: impl FnOnce() -> Result<Option<Matrices<f32>>, E>,
    ) -> Result<bool, E> {
        let wanted = step.momentum != 0.0 && !self.moving;
        let velocity = if wanted { velocity()? } else { None };
        let can = self.descending && self.update.is_none() && velocity.is_some() == wanted;
        self.descending = false;
        self.update = can.then_some(Update { step, velocity });
        Ok(can)
    }

    /// The steps of an update, of a part.
    pub(super) fn steps(&self, range: &Range<usize>) -> Result<Vec<Step>, AccelError> {
        let Some(Update { step, velocity }) = &self.update else {
            return Ok(Vec::new());
        };
        let add = |to, from, factor| Step::Add { to, from, factor };
        let mut steps = Vec::new();
        match velocity {
            Some(velocity) => steps.push(Step::Put {
                slot: self.gradient,
                tensor: Tensor::Floats(self.cut.part(Operand::W, range, velocity)?),
            }),
            None => {
                if step.decay != 0.0 {
                    steps.push(add(self.gradient, self.weights, step.decay));
                }
                if step.momentum != 0.0 {
                    steps.push(add(self.gradient, self.velocity, step.momentum));
                }
            }
        }
        steps.push(add(self.weights, self.gradient, -step.rate));
        Ok(steps)
    }

    /// The workers have done [`Self::steps`]. What was added to the weights is the velocity from now on.
    pub(super) fn done(&mut self) {
        if let Some(Update { step, .. }) = self.update.take()
            && step.momentum != 0.0
        {
            std::mem::swap(&mut self.gradient, &mut self.velocity);
            self.moving = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use cloven_accel::{
        Shape,
        job::{Job, Limits, Worker},
    };

    use super::*;

    fn numbers(seed: u32) -> Matrices<f32> {
        let shape = Shape::matrix(6, 4).unwrap();
        let number = |i: usize| (i as u32 ^ seed).wrapping_mul(2_654_435_761) as i32 as f32 / 2f32.powi(31);
        Matrices::new(shape, (0..shape.elements()).map(number).collect()).unwrap()
    }

    fn put(slot: u32, tensor: &Matrices<f32>) -> Step {
        let tensor = Tensor::Floats(tensor.clone());
        Step::Put { slot, tensor }
    }

    #[test]
    fn workers_follow_the_gradient_as_the_optimiser_does() {
        for (decay, momentum) in [(0.0, 0.0), (5e-4, 0.0), (0.0, 0.9), (5e-4, 0.9)] {
            let mut there = InPlace::new(2, Cut::Columns, vec![0]);
            let mut worker = Worker::new(Limits::default());
            let (mut w, mut v) = (numbers(1), vec![0.0f32; 24]);
            worker.run(Job(vec![put(11, &w)])).unwrap();
            for turn in 0..5 {
                let g = numbers(100 + turn);
                worker.run(Job(vec![put(there.gradient(), &g)])).unwrap();
                there.descend();
                let rate = 0.1 / (1 + turn) as f32;
                for ((w, g), v) in w.values_mut().iter_mut().zip(g.values()).zip(&mut v) {
                    *v = momentum * *v + (g + decay * *w);
                    *w -= rate * *v;
                }
                let velocity = || Ok::<_, Infallible>(Some(Matrices::new(g.shape(), v.clone()).unwrap()));
                assert!(there.follow(SgdStep { rate, decay, momentum }, velocity).unwrap());
                let mut steps = there.steps(&(0..4)).unwrap();
                let sent = steps.iter().filter(|step| matches!(step, Step::Put { .. })).count();
                assert_eq!(
                    sent,
                    usize::from(momentum != 0.0 && turn == 0),
                    "only the first velocity is sent"
                );
                steps.push(Step::Read { slot: 11 });
                assert_eq!(
                    worker.run(Job(steps)).unwrap().0,
                    [Tensor::Floats(w.clone())],
                    "{decay}, {momentum}"
                );
                there.done();
                assert!(there.steps(&(0..4)).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn weights_without_a_gradient_or_a_velocity_do_not_stay() {
        let step = SgdStep {
            rate: 0.1,
            decay: 0.0,
            momentum: 0.9,
        };
        let none = || Ok::<_, Infallible>(None);
        let mut there = InPlace::new(0, Cut::Inner, vec![0]);
        assert!(!there.follow(step, none).unwrap());
        there.descend();
        assert!(!there.follow(step, none).unwrap());
        there.descend();
        let plain = SgdStep { momentum: 0.0, ..step };
        assert!(there.follow(plain, none).unwrap());
        // One update that the workers have not done is all that is kept.
        there.descend();
        assert!(!there.follow(plain, none).unwrap());
    }
}
