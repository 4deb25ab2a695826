//! What a device does for a worker.

use super::Tensor;
use crate::{AccelError, Kind, Residues, Shape, convolution::Window, float_products, residue_products};
use std::sync::Arc;

/// The two forms of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// [`Tensor::Residues`].
    Residues,
    /// [`Tensor::Floats`].
    Floats,
}

impl Form {
    /// For errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Residues => "residues",
            Self::Floats => "floats",
        }
    }
}

/// A tensor that a device holds.
#[derive(Clone)]
pub struct Held<D> {
    /// Its form.
    pub form: Form,
    /// Its shape.
    pub shape: Shape,
    /// Its numbers, as the device has them.
    pub data: D,
}

/// A device that holds tensors and computes on them. Its tensors do not change: every operation makes another one, which a [`super::Worker`] may put in the place
/// of an operand, and only what [`Self::read`] is asked for comes back.
///
/// The worker checks forms, shapes, depths and its customer's limits before it calls any of these; a device refuses what is too large for it. Results may still
/// be on their way when an operation returns; errors of the device ([`AccelError::is_of_the_device`]) may appear at a later one, `read` at the latest.
///
/// Residues are exact, on every device the same. Floats are rounded: the order of their sums is the device's own, and the result is within 1e-5 times the sum of
/// the terms' magnitudes of [`Cpu`]'s (module `testing` tells).
pub trait Accelerator {
    /// Numbers on the device, or what stands for them: cheap to clone.
    type Data: Clone;

    /// Kind and name of the device, for people.
    fn name(&self) -> String;

    /// Takes a tensor onto the device.
    fn put(&mut self, tensor: Tensor) -> Result<Self::Data, AccelError>;

    /// The products of two tensors of one form, of the shape [`Kind::dimensions`] says; a sum of residues has at most [`crate::MAX_DEPTH`] terms.
    fn product(&mut self, kind: Kind, left: &Held<Self::Data>, right: &Held<Self::Data>) -> Result<Self::Data, AccelError>;

    /// `to + factor * from`, of floats of one shape.
    fn add(&mut self, to: &Held<Self::Data>, factor: f32, from: &Held<Self::Data>) -> Result<Self::Data, AccelError>;

    /// [`Window::unfold`].
    fn unfold(&mut self, images: &Held<Self::Data>, window: &Window) -> Result<Self::Data, AccelError>;

    /// [`Window::fold`].
    fn fold(&mut self, patches: &Held<Self::Data>, window: &Window) -> Result<Self::Data, AccelError>;

    /// Brings a tensor back.
    fn read(&mut self, tensor: Held<Self::Data>) -> Result<Tensor, AccelError>;
}

/// This machine's processor, by the fastest instructions that it has ([`crate::Backend`]), on the threads of the current pool. Other devices are measured against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Accelerator for Cpu {
    type Data = Arc<Tensor>;

    fn name(&self) -> String {
        format!("processor ({})", crate::Backend::best().name())
    }

    fn put(&mut self, tensor: Tensor) -> Result<Arc<Tensor>, AccelError> {
        Ok(Arc::new(tensor))
    }

    fn product(&mut self, kind: Kind, left: &Held<Arc<Tensor>>, right: &Held<Arc<Tensor>>) -> Result<Arc<Tensor>, AccelError> {
        let product = match (&*left.data, &*right.data) {
            (Tensor::Floats(x), Tensor::Floats(y)) => Tensor::Floats(float_products(kind, x, y)?),
            (x, y) => Tensor::Residues(residue_products(kind, residues(x)?, residues(y)?)?),
        };
        Ok(Arc::new(product))
    }

    fn add(&mut self, to: &Held<Arc<Tensor>>, factor: f32, from: &Held<Arc<Tensor>>) -> Result<Arc<Tensor>, AccelError> {
        let (mut sum, from) = match (&*to.data, &*from.data) {
            (Tensor::Floats(to), Tensor::Floats(from)) => (to.clone(), from),
            _ => return Err(wrong_form(Form::Floats, Form::Residues)),
        };
        let values = sum.values_mut().iter_mut().zip(from.values());
        values.for_each(|(sum, value)| *sum += factor * value);
        Ok(Arc::new(Tensor::Floats(sum)))
    }

    fn unfold(&mut self, images: &Held<Arc<Tensor>>, window: &Window) -> Result<Arc<Tensor>, AccelError> {
        Ok(Arc::new(match &*images.data {
            Tensor::Residues(images) => Tensor::Residues(window.unfold_residues(images)?),
            Tensor::Floats(images) => Tensor::Floats(window.unfold(images)?),
        }))
    }

    fn fold(&mut self, patches: &Held<Arc<Tensor>>, window: &Window) -> Result<Arc<Tensor>, AccelError> {
        Ok(Arc::new(match &*patches.data {
            Tensor::Residues(patches) => Tensor::Residues(window.fold_residues(patches)?),
            Tensor::Floats(patches) => Tensor::Floats(window.fold(patches)?),
        }))
    }

    fn read(&mut self, tensor: Held<Arc<Tensor>>) -> Result<Tensor, AccelError> {
        Ok(Arc::unwrap_or_clone(tensor.data))
    }
}

fn residues(tensor: &Tensor) -> Result<&Residues, AccelError> {
    match tensor {
        Tensor::Residues(residues) => Ok(residues),
        Tensor::Floats(_) => Err(wrong_form(Form::Residues, Form::Floats)),
    }
}

/// An operand that no worker hands to a device.
fn wrong_form(expected: Form, actual: Form) -> AccelError {
    AccelError::Operand {
        expected: expected.name(),
        actual: actual.name(),
    }
}
