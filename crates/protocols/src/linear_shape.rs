//! The shape of a linear layer, as the network names it and as the encryption does.

use cloven_lattice::linear;
use cloven_nn::LinearShape;
use zeroize::Zeroizing;

/// The same shape for the encryption, whose kernels, strides and paddings may differ by axis.
pub(crate) fn encrypted_shape(shape: LinearShape) -> linear::LinearShape {
    match shape {
        LinearShape::Dense { inputs, outputs } => linear::LinearShape::Dense { inputs, outputs },
        LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        } => linear::LinearShape::Convolution {
            channels,
            image,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        },
    }
}

/// Weights in the order of the encryption: those of dense layers lie the other way round in a model.
pub(crate) fn laid_out(shape: LinearShape, weight: &[u64]) -> Zeroizing<Vec<u64>> {
    Zeroizing::new(match shape {
        LinearShape::Dense { inputs, outputs } => {
            let words = (0..inputs).flat_map(|input| (0..outputs).map(move |output| output * inputs + input));
            words.map(|at| weight[at]).collect()
        }
        LinearShape::Convolution { .. } => weight.to_vec(),
    })
}
