//! The border between `ndarray` outside and burn inside. Inside, every batch is `[batch, channels, positions]`: a flat
//! sample is one channel, a token is one, a plane its rows one after the other, so that layers need no case for each rank. A layer that must know
//! height and width is told when it is made.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{ArrayD, IxDyn};

use crate::ModelError;

/// A batch of samples on the way through the layers.
pub type Batch = Tensor<3>;

/// Checks that `x` is `[batch, sample...]` with at least one sample, and copies it in.
pub fn batch_from_array(what: &'static str, x: &ArrayD<f32>, sample: &[usize]) -> Result<Batch, ModelError> {
    let fits = x.ndim() == sample.len() + 1 && x.shape()[0] > 0 && x.shape()[1..] == *sample;
    if !fits {
        let sample: Vec<String> = sample.iter().map(usize::to_string).collect();
        let expected = format!("[batch, {}]", sample.join(", "));
        return Err(ModelError::Shape {
            what,
            expected,
            actual: x.shape().to_vec(),
        });
    }
    Ok(tensor(values_in_order(x), internal(x.shape()[0], sample)))
}

/// The batch as an array `[batch, sample...]`, which must be finite: it may be on its way to another party, who could
/// not tell divergence from a malformed message.
pub fn array_from_batch(what: &'static str, batch: Batch, sample: &[usize]) -> Result<ArrayD<f32>, ModelError> {
    let shape: Vec<usize> = std::iter::once(batch.dims()[0]).chain(sample.iter().copied()).collect();
    let array = array(batch, &shape);
    match array.iter().all(|value| value.is_finite()) {
        true => Ok(array),
        false => Err(ModelError::Diverged { what }),
    }
}

/// The values of any tensor as an array of another shape with as many values.
pub fn array<const D: usize>(tensor: Tensor<D>, shape: &[usize]) -> ArrayD<f32> {
    let values = read(&tensor.into_data()).to_vec();
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("callers pass a shape of as many values")
}

/// A tensor of these values in row-major order.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The values of an array in row-major order, whatever its memory layout.
pub fn values_in_order(array: &ArrayD<f32>) -> Vec<f32> {
    match array.as_slice() {
        Some(values) => values.to_vec(),
        None => array.iter().copied().collect(),
    }
}

/// Combines two batches of one shape value by value. Without a second owner of `left`, it happens in place; burn's own
/// masked operations take about five times as long.
pub fn zip_map(left: Batch, right: Batch, combine: impl Fn(f32, f32) -> f32) -> Batch {
    let mut left = left.into_data();
    let right = right.into_data();
    for (l, r) in write(&mut left).iter_mut().zip(read(&right)) {
        *l = combine(*l, *r);
    }
    Tensor::from_data(left, &Device::flex())
}

/// The values of any tensor in row-major order, without a copy if nobody else holds them.
pub fn into_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("this crate makes f32 tensors only")
}

/// The values of a tensor that was just moved to the host.
pub fn read(data: &TensorData) -> &[f32] {
    data.as_slice().expect("this crate makes f32 tensors only")
}

/// As [`read`], to change them.
pub fn write(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect("this crate makes f32 tensors only")
}

/// Shape of a batch inside this crate.
fn internal(batch: usize, sample: &[usize]) -> [usize; 3] {
    match *sample {
        [features] => [batch, 1, features],
        [channels, ref positions @ ..] => [batch, channels, positions.iter().product()],
        [] => [batch, 1, 1],
    }
}
