//! Numbers that training keeps but no gradient moves: running statistics.

use ndarray::{ArrayD, IxDyn};

use super::batch::values_in_order;
use super::parameter::{check_values, parameter_error};
use crate::ModelError;

/// One vector of such numbers, named as PyTorch names it.
pub struct Buffer {
    name: String,
    values: Vec<f32>,
    /// The least value that makes sense.
    least: f32,
}

impl Buffer {
    /// `count` times `value`; no value given later may be below `least`.
    pub fn new(name: String, count: usize, value: f32, least: f32) -> Self {
        Self {
            name,
            values: vec![value; count],
            least,
        }
    }

    /// Such as "1.running_mean".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape in PyTorch.
    pub fn shape(&self) -> [usize; 1] {
        [self.values.len()]
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    pub fn array(&self) -> ArrayD<f32> {
        ArrayD::from_shape_vec(IxDyn(&self.shape()), self.values.clone()).expect("one axis of as many values")
    }

    /// Checks shape, finiteness and range of values to come.
    pub fn check(&self, values: &ArrayD<f32>) -> Result<(), ModelError> {
        check_values(&self.name, &self.shape(), values)?;
        match values.iter().find(|value| **value < self.least) {
            Some(value) => Err(parameter_error(
                &self.name,
                format!("numbers of at least {}", self.least),
                value.to_string(),
            )),
            None => Ok(()),
        }
    }

    /// Takes values that passed [`Buffer::check`].
    pub fn set(&mut self, values: &ArrayD<f32>) {
        self.values = values_in_order(values);
    }
}
