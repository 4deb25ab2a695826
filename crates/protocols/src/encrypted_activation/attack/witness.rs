//! The runs under attack: learnable data, and a client's cipher that keeps the truth.

use std::f64::consts::TAU;

use cloven_lattice::LatticeError;
use cloven_nn::BatchTargets;
use ndarray::{Array2, ArrayD, Axis, IxDyn, concatenate};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{
    Examples, Schedule, Task,
    encrypted_activation::{ClientCipher, Direction, LatticeCipher, SealedLen, Sealing, ServerLattice},
    testing::{examples, schedule},
};

/// A client's cipher that keeps what it sealed: the truth that the attack is held against.
pub struct Watched {
    cipher: LatticeCipher,
    sealed: Vec<(Direction, Array2<f64>)>,
}

pub fn watched(sealing: &Sealing) -> (Watched, ServerLattice) {
    let cipher = LatticeCipher::new(sealing.clone(), &mut ChaCha20Rng::from_seed([3; 32]));
    let sealed = Vec::new();
    (Watched { cipher, sealed }, ServerLattice::new(sealing.clone()))
}

impl Watched {
    /// The batches sealed in one direction.
    pub fn batches(&self, of: Direction) -> Vec<Array2<f64>> {
        let of = self.sealed.iter().filter(|(direction, _)| *direction == of);
        of.map(|(_, batch)| batch.clone()).collect()
    }
}

impl SealedLen for Watched {
    fn sealed_len(&self, direction: Direction, rows: usize) -> usize {
        self.cipher.sealed_len(direction, rows)
    }

    fn answer_len(&self, direction: Direction, rows: usize) -> usize {
        self.cipher.answer_len(direction, rows)
    }
}

impl ClientCipher for Watched {
    fn seal(&mut self, direction: Direction, round: u64, batch: &ArrayD<f32>) -> Result<Vec<u8>, LatticeError> {
        self.sealed.push((direction, matrix(batch)));
        self.cipher.seal(direction, round, batch)
    }

    fn open(&mut self, direction: Direction, answer: &[u8], rows: usize) -> Result<ArrayD<f32>, LatticeError> {
        self.cipher.open(direction, answer, rows)
    }
}

pub fn matrix(array: &ArrayD<f32>) -> Array2<f64> {
    array.mapv(f64::from).into_dimensionality().unwrap()
}

pub fn joined(batches: &[Array2<f64>]) -> Array2<f64> {
    let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
    concatenate(Axis(0), &views).unwrap()
}

/// Five classes of waves under noise: learnt within an epoch.
pub fn waves(rows: usize) -> Examples {
    let mut x = examples(rows).x;
    for (row, mut wave) in x.outer_iter_mut().enumerate() {
        let turns = TAU * (1.0 + (row % 5) as f64) / 64.0;
        wave.iter_mut()
            .enumerate()
            .for_each(|(t, v)| *v = 0.5 * *v + (turns * t as f64).sin() as f32);
    }
    let labels = (0..rows as u32).map(|row| row % 5).collect();
    Examples {
        x,
        targets: BatchTargets::Classes(labels),
    }
}

pub fn one_hot(labels: &[u32]) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(&[labels.len(), 5]), |i| {
        f32::from(u8::from(labels[i[0]] as usize == i[1]))
    })
}

pub fn one_epoch(batch: usize) -> Schedule {
    Schedule {
        epochs: 1,
        batch,
        ..schedule()
    }
}

/// The labels of all rows in the order of training.
pub fn labels(data: &Examples, task: &Task<'_>) -> Vec<u32> {
    let BatchTargets::Classes(labels) = &data.targets else {
        panic!("classes")
    };
    task.shuffle
        .order(1, labels.len())
        .into_iter()
        .map(|row| labels[row])
        .collect()
}
