//! What a device does for a worker.

use super::Tensor;
use crate::{AccelError, Kind, Matrices, Residues, Shape, Words, convolution::Window, float_products, residue_products};
use std::sync::Arc;

/// A batch of matrices in one of the two forms that devices compute on.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceTensor {
    /// What words stand for.
    Residues(Residues),
    /// Numbers.
    Floats(Matrices<f32>),
}

impl DeviceTensor {
    /// The form.
    pub fn form(&self) -> Form {
        match self {
            Self::Residues(_) => Form::Residues,
            Self::Floats(_) => Form::Floats,
        }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Residues(residues) => residues.shape(),
            Self::Floats(floats) => floats.shape(),
        }
    }

    /// As it is answered.
    pub(super) fn into_message(self) -> Result<Tensor, AccelError> {
        Ok(match self {
            Self::Residues(residues) => Tensor::Words(Words::of_residues(&residues)?),
            Self::Floats(floats) => Tensor::Floats(floats),
        })
    }
}

/// As it came.
impl From<Tensor> for DeviceTensor {
    fn from(tensor: Tensor) -> Self {
        match tensor {
            Tensor::Words(words) => Self::Residues(words.residues()),
            Tensor::Floats(floats) => Self::Floats(floats),
        }
    }
}

/// The two forms of a device's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// [`DeviceTensor::Residues`].
    Residues,
    /// [`DeviceTensor::Floats`].
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
    fn put(&mut self, tensor: DeviceTensor) -> Result<Self::Data, AccelError>;

    /// The products of two tensors of one form, of the shape [`Kind::dimensions`] says; a sum of residues has at most [`crate::MAX_DEPTH`] terms.
    fn product(&mut self, kind: Kind, left: &Held<Self::Data>, right: &Held<Self::Data>) -> Result<Self::Data, AccelError>;

    /// `to + factor * from`, of floats of one shape.
    fn add(&mut self, to: &Held<Self::Data>, factor: f32, from: &Held<Self::Data>) -> Result<Self::Data, AccelError>;

    /// [`Window::unfold`].
    fn unfold(&mut self, images: &Held<Self::Data>, window: &Window) -> Result<Self::Data, AccelError>;

    /// [`Window::fold`].
    fn fold(&mut self, patches: &Held<Self::Data>, window: &Window) -> Result<Self::Data, AccelError>;

    /// The product of [`Self::unfold`] of the images and `right`; a device may do without the patches.
    fn unfolded_product(
        &mut self,
        kind: Kind,
        images: &Held<Self::Data>,
        window: &Window,
        right: &Held<Self::Data>,
    ) -> Result<Self::Data, AccelError> {
        let patches = Held {
            form: images.form,
            shape: window.unfolded(images.shape)?,
            data: self.unfold(images, window)?,
        };
        self.product(kind, &patches, right)
    }

    /// [`Self::fold`] of a product; a device may do without the patches.
    fn folded_product(
        &mut self,
        kind: Kind,
        left: &Held<Self::Data>,
        right: &Held<Self::Data>,
        window: &Window,
    ) -> Result<Self::Data, AccelError> {
        let patches = Held {
            form: left.form,
            shape: kind.dimensions(left.shape, right.shape)?.product(),
            data: self.product(kind, left, right)?,
        };
        self.fold(&patches, window)
    }

    /// Brings a tensor back.
    fn read(&mut self, tensor: Held<Self::Data>) -> Result<DeviceTensor, AccelError>;
}

/// This machine's processor, by the fastest instructions that it has ([`crate::Backend`]), on the threads of the current pool. Other devices are measured against it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Accelerator for Cpu {
    type Data = Arc<DeviceTensor>;

    fn name(&self) -> String {
        format!("processor ({})", crate::Backend::best().name())
    }

    fn put(&mut self, tensor: DeviceTensor) -> Result<Arc<DeviceTensor>, AccelError> {
        Ok(Arc::new(tensor))
    }

    fn product(
        &mut self,
        kind: Kind,
        left: &Held<Arc<DeviceTensor>>,
        right: &Held<Arc<DeviceTensor>>,
    ) -> Result<Arc<DeviceTensor>, AccelError> {
        let product = match (&*left.data, &*right.data) {
            (DeviceTensor::Floats(x), DeviceTensor::Floats(y)) => DeviceTensor::Floats(float_products(kind, x, y)?),
            (x, y) => DeviceTensor::Residues(residue_products(kind, residues(x)?, residues(y)?)?),
        };
        Ok(Arc::new(product))
    }

    fn add(
        &mut self,
        to: &Held<Arc<DeviceTensor>>,
        factor: f32,
        from: &Held<Arc<DeviceTensor>>,
    ) -> Result<Arc<DeviceTensor>, AccelError> {
        let (mut sum, from) = match (&*to.data, &*from.data) {
            (DeviceTensor::Floats(to), DeviceTensor::Floats(from)) => (to.clone(), from),
            _ => return Err(wrong_form(Form::Floats, Form::Residues)),
        };
        let values = sum.values_mut().iter_mut().zip(from.values());
        values.for_each(|(sum, value)| *sum += factor * value);
        Ok(Arc::new(DeviceTensor::Floats(sum)))
    }

    fn unfold(&mut self, images: &Held<Arc<DeviceTensor>>, window: &Window) -> Result<Arc<DeviceTensor>, AccelError> {
        Ok(Arc::new(match &*images.data {
            DeviceTensor::Residues(images) => DeviceTensor::Residues(window.unfold_residues(images)?),
            DeviceTensor::Floats(images) => DeviceTensor::Floats(window.unfold(images)?),
        }))
    }

    fn fold(&mut self, patches: &Held<Arc<DeviceTensor>>, window: &Window) -> Result<Arc<DeviceTensor>, AccelError> {
        Ok(Arc::new(match &*patches.data {
            DeviceTensor::Residues(patches) => DeviceTensor::Residues(window.fold_residues(patches)?),
            DeviceTensor::Floats(patches) => DeviceTensor::Floats(window.fold(patches)?),
        }))
    }

    fn unfolded_product(
        &mut self,
        kind: Kind,
        images: &Held<Arc<DeviceTensor>>,
        window: &Window,
        right: &Held<Arc<DeviceTensor>>,
    ) -> Result<Arc<DeviceTensor>, AccelError> {
        Ok(Arc::new(match (&*images.data, &*right.data) {
            (DeviceTensor::Floats(x), DeviceTensor::Floats(y)) => DeviceTensor::Floats(window.unfolded_floats(kind, x, y)?),
            (x, y) => DeviceTensor::Residues(window.unfolded_products(kind, residues(x)?, residues(y)?)?),
        }))
    }

    fn folded_product(
        &mut self,
        kind: Kind,
        left: &Held<Arc<DeviceTensor>>,
        right: &Held<Arc<DeviceTensor>>,
        window: &Window,
    ) -> Result<Arc<DeviceTensor>, AccelError> {
        Ok(Arc::new(match (&*left.data, &*right.data) {
            (DeviceTensor::Floats(x), DeviceTensor::Floats(y)) => DeviceTensor::Floats(window.folded_floats(kind, x, y)?),
            (x, y) => DeviceTensor::Residues(window.folded_products(kind, residues(x)?, residues(y)?)?),
        }))
    }

    fn read(&mut self, tensor: Held<Arc<DeviceTensor>>) -> Result<DeviceTensor, AccelError> {
        Ok(Arc::unwrap_or_clone(tensor.data))
    }
}

fn residues(tensor: &DeviceTensor) -> Result<&Residues, AccelError> {
    match tensor {
        DeviceTensor::Residues(residues) => Ok(residues),
        DeviceTensor::Floats(_) => Err(wrong_form(Form::Residues, Form::Floats)),
    }
}

/// An operand that no worker hands to a device.
fn wrong_form(expected: Form, actual: Form) -> AccelError {
    AccelError::Operand {
        expected: expected.name(),
        actual: actual.name(),
    }
}
