//! What a worker is asked to do, as bytes, and a worker that does it on a device: this machine's processor ([`Cpu`]), or another [`Accelerator`].
//!
//! A job is a list of steps on numbered slots, so that an operand is sent once for all the products that it appears in:
//!
//! ```
//! use cloven_accel::{Kind, Matrices, Shape, job::{Answer, Job, Limits, Step, Tensor, Worker}};
//!
//! # fn main() -> Result<(), cloven_accel::AccelError> {
//! let row = |values: &[f32]| Matrices::new(Shape::matrix(1, values.len())?, values.to_vec()).map(Tensor::Floats);
//! let job = Job(vec![
//!     Step::Put { slot: 0, tensor: row(&[1.0, 2.0])? },
//!     Step::Put { slot: 1, tensor: row(&[3.0, 4.0])? },
//!     Step::Product { kind: Kind::InputGradient, left: 0, right: 1, keep: None },
//! ]);
//! let mut worker = Worker::new(Limits::default());
//! let answer = worker.run(Job::decode(&job.encode())?)?;
//! assert_eq!(Answer::decode(&answer.encode())?.0, [row(&[11.0])?]);
//! # Ok(())
//! # }
//! ```
//!
//! Bytes: a count (u32), then the steps or tensors. Numbers are little-endian; a tensor has four bytes an element in either form. Decoding checks every count
//! against the bytes that are there before it allocates, and every value.
//!
//! A device computes on [`Residues`] where messages have [`Words`]: a [`Worker`] turns the one into the other where it hands a tensor to its device ([`Step::Put`]), and
//! back where it reads what it answers; nowhere else.

mod accelerator;
mod bytes;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod worker;

pub use accelerator::{Accelerator, Cpu, DeviceTensor, Form, Held};
pub use worker::{Limits, Worker};

#[cfg(doc)]
use crate::Residues;
use crate::{AccelError, Kind, Matrices, Shape, Words, convolution::Window};
use bytes::Reader;

/// The most steps of a job, and tensors of an answer.
pub const MAX_STEPS: usize = 1 << 12;

/// A batch of matrices in one of the two forms of messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// A share, or a product of shares.
    Words(Words),
    /// Numbers, permuted or plain.
    Floats(Matrices<f32>),
}

impl Tensor {
    /// The shape.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Words(words) => words.shape(),
            Self::Floats(floats) => floats.shape(),
        }
    }
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Keeps a tensor, in place of what the slot holds.
    Put {
        /// Where.
        slot: u32,
        /// What.
        tensor: Tensor,
    },
    /// A product of two slots of one form, into the answer or into a slot.
    Product {
        /// Which.
        kind: Kind,
        /// Slot of the left operand.
        left: u32,
        /// Slot of the right operand.
        right: u32,
        /// Where it is kept, if it is not answered.
        keep: Option<u32>,
    },
    /// Adds a multiple of one slot to another, both of floats: a step of gradient descent on permuted weights.
    Add {
        /// What is changed.
        to: u32,
        /// What is added.
        from: u32,
        /// Times this.
        factor: f32,
    },
    /// The patches of images ([`Window::unfold`]).
    Unfold {
        /// Slot of the images.
        from: u32,
        /// Slot of the patches.
        to: u32,
        /// Their geometry.
        window: Window,
    },
    /// Patches added where they came from ([`Window::fold`]).
    Fold {
        /// Slot of the patches.
        from: u32,
        /// Slot of the images.
        to: u32,
        /// Their geometry.
        window: Window,
    },
    /// What a slot holds, into the answer.
    Read {
        /// Which.
        slot: u32,
    },
    /// Empties a slot.
    Free {
        /// Which.
        slot: u32,
    },
}

/// Steps, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Job(pub Vec<Step>);

/// Products and slots that a job asked for, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer(pub Vec<Tensor>);

impl Job {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends [`Self::encode`].
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        bytes::put(out, self.0.len() as u32);
        self.0.iter().for_each(|step| step.encode(out));
    }

    /// Length of [`Self::encode`].
    pub fn encoded_len(&self) -> usize {
        4 + self.0.iter().map(Step::encoded_len).sum::<usize>()
    }

    /// From bytes; fails on anything that [`Self::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, AccelError> {
        let mut reader = Reader(bytes);
        let count = reader.count()?;
        let steps = (0..count).map(|_| Step::decode(&mut reader)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self(steps))
    }
}

impl Answer {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Appends [`Self::encode`].
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        bytes::put(out, self.0.len() as u32);
        self.0.iter().for_each(|tensor| tensor.encode(out));
    }

    /// Length of [`Self::encode`].
    pub fn encoded_len(&self) -> usize {
        4 + self.0.iter().map(Tensor::encoded_len).sum::<usize>()
    }

    /// From bytes; fails on anything that [`Self::encode`] does not write. That the shapes are those asked for is the caller's to check.
    pub fn decode(bytes: &[u8]) -> Result<Self, AccelError> {
        let mut reader = Reader(bytes);
        let count = reader.count()?;
        let tensors = (0..count).map(|_| Tensor::decode(&mut reader)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self(tensors))
    }
}
