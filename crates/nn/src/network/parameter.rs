//! Trainable numbers: PyTorch's layout outside, the layout of the products inside.

use burn::tensor::{Device, Tensor};
use ndarray::ArrayD;

use super::batch::{array, read, tensor, values_in_order, write};
use crate::optimiser::Moments;
use crate::streams::{NoiseKey, Stream};
use crate::{ModelError, OptimiserSpec};

/// One weight or bias with its gradient and the optimiser's memory of it.
pub struct Parameter {
    name: String,
    /// Shape as PyTorch has it.
    shape: Vec<usize>,
    /// How the matrix `values` comes from that shape.
    layout: Layout,
    values: Tensor<2>,
    gradient: Option<Tensor<2>>,
    moments: Moments,
}

/// From PyTorch's layout to a matrix.
#[derive(Clone, Copy, PartialEq)]
pub enum Layout {
    /// `[out, in]` becomes in x out.
    Transposed,
    /// Any shape of n values becomes 1 x n.
    Row,
    /// `[rows, ...]` becomes rows x (all others).
    Rows,
}

impl Parameter {
    /// Uniform in +-1/sqrt(`fan_in`), PyTorch's default for weight and bias, drawn in the order of PyTorch's layout.
    pub fn new(name: String, shape: Vec<usize>, layout: Layout, fan_in: usize, stream: &mut Stream) -> Self {
        Self::uniform(name, shape, layout, 1.0 / (fan_in as f32).sqrt(), stream)
    }

    /// Uniform in +-`bound`, drawn in the order of PyTorch's layout.
    pub fn uniform(name: String, shape: Vec<usize>, layout: Layout, bound: f32, stream: &mut Stream) -> Self {
        let values = stream.uniform(shape.iter().product(), bound);
        Self::from_values(name, shape, layout, values)
    }

    /// Normal with this standard deviation.
    pub fn normal(name: String, shape: Vec<usize>, deviation: f64, stream: &mut Stream) -> Self {
        let count: usize = shape.iter().product();
        let pairs = std::iter::repeat_with(|| stream.normal_pair()).take(count.div_ceil(2));
        let mut values: Vec<f32> = pairs.flatten().map(|normal| (deviation * normal) as f32).collect();
        values.truncate(count);
        Self::from_values(name, shape, Layout::Row, values)
    }

    /// All numbers alike: the start of a normalisation's scale and shift.
    pub fn constant(name: String, shape: Vec<usize>, value: f32) -> Self {
        let values = vec![value; shape.iter().product()];
        Self::from_values(name, shape, Layout::Row, values)
    }

    fn from_values(name: String, shape: Vec<usize>, layout: Layout, values: Vec<f32>) -> Self {
        let values = layout.matrix(values, &shape);
        Self {
            name,
            shape,
            layout,
            values,
            gradient: None,
            moments: Moments::default(),
        }
    }

    /// The layer's place and "weight" or "bias": "3.weight", "3.body.0.bias".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape in PyTorch's layout.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The matrix for products; shares memory.
    pub fn tensor(&self) -> Tensor<2> {
        self.values.clone()
    }

    /// The values in PyTorch's layout.
    pub fn array(&self) -> ArrayD<f32> {
        self.layout.array(self.values.clone(), &self.shape)
    }

    /// The gradient in PyTorch's layout, if there is one.
    pub fn gradient_array(&self) -> Option<ArrayD<f32>> {
        Some(self.layout.array(self.gradient.clone()?, &self.shape))
    }

    /// The optimiser's first moment in the layout of [`Parameter::tensor`]; empty before the first update, and where there is none.
    pub fn first_moment(&self) -> &[f32] {
        &self.moments.first
    }

    /// The optimiser's moments in PyTorch's layout: none before the first update.
    pub fn moment_arrays(&self) -> Vec<ArrayD<f32>> {
        let Moments { first, second } = &self.moments;
        let filled = [first, second].into_iter().filter(|values| !values.is_empty());
        filled
            .map(|values| self.layout.array(tensor(values.clone(), self.values.dims()), &self.shape))
            .collect()
    }

    /// Takes moments back that [`Parameter::moment_arrays`] gave and that passed [`Parameter::check`].
    pub fn set_moments(&mut self, arrays: &[ArrayD<f32>]) {
        let inner = |array: &ArrayD<f32>| {
            let matrix = self.layout.matrix(values_in_order(array), &self.shape);
            read(&matrix.into_data()).to_vec()
        };
        let mut values = arrays.iter().map(inner);
        let (first, second) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        self.moments = Moments { first, second };
    }

    /// Checks shape and finiteness of values to come.
    pub fn check(&self, values: &ArrayD<f32>) -> Result<(), ModelError> {
        check_values(&self.name, &self.shape, values)
    }

    /// Takes values in PyTorch's layout that passed [`Parameter::check`].
    pub fn set(&mut self, values: &ArrayD<f32>) {
        self.values = self.layout.matrix(values_in_order(values), &self.shape);
    }

    /// Keeps a gradient of the matrix's shape for the next update.
    pub fn set_gradient(&mut self, gradient: Tensor<2>) {
        self.gradient = Some(gradient);
    }

    /// Keeps a gradient in PyTorch's layout that passed [`Parameter::check`] for the next update.
    pub fn set_gradient_array(&mut self, gradient: &ArrayD<f32>) {
        self.gradient = Some(self.layout.matrix(values_in_order(gradient), &self.shape));
    }

    /// Forgets the gradient.
    pub fn clear_gradient(&mut self) {
        self.gradient = None;
    }

    /// One optimiser step with the kept gradient, which it uses up; `update` counts from 1.
    pub fn step(&mut self, optimiser: &OptimiserSpec, update: u64, noise: &NoiseKey) {
        let Some(gradient) = self.gradient.take() else { return };
        let gradient = gradient.into_data();
        // Nobody else holds the values now, so they leave the tensor and come back without a copy.
        let values = std::mem::replace(&mut self.values, Tensor::empty([0, 0], &Device::flex()));
        let mut values = values.into_data();
        let noise = || noise.stream(&self.name, update);
        optimiser.step(update, write(&mut values), read(&gradient), &mut self.moments, noise);
        self.values = Tensor::from_data(values, &Device::flex());
    }
}

impl Layout {
    fn matrix(self, values: Vec<f32>, shape: &[usize]) -> Tensor<2> {
        let count = values.len();
        match self {
            Self::Transposed => contiguous(tensor(values, [shape[0], shape[1]]).transpose()),
            Self::Row => tensor(values, [1, count]),
            Self::Rows => tensor(values, [shape[0], count / shape[0]]),
        }
    }

    fn array(self, matrix: Tensor<2>, shape: &[usize]) -> ArrayD<f32> {
        match self {
            Self::Transposed => array(matrix.transpose(), shape),
            Self::Row | Self::Rows => array(matrix, shape),
        }
    }
}

/// Checks shape and finiteness of values that shall become those of `name`.
pub fn check_values(name: &str, shape: &[usize], values: &ArrayD<f32>) -> Result<(), ModelError> {
    if values.shape() != shape {
        let actual = format!("{:?}", values.shape());
        return Err(parameter_error(name, format!("shape {shape:?}"), actual));
    }
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(parameter_error(name, "finite numbers", "an infinity or NaN")),
    }
}

pub fn parameter_error(name: &str, expected: impl Into<String>, actual: impl Into<String>) -> ModelError {
    ModelError::Parameter {
        name: name.to_owned(),
        expected: expected.into(),
        actual: actual.into(),
    }
}

/// The same matrix in row-major memory.
fn contiguous(matrix: Tensor<2>) -> Tensor<2> {
    Tensor::from_data(matrix.into_data(), &Device::flex())
}
