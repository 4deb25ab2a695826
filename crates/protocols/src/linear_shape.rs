//! The shape of a linear layer, as the network names it and as the encryption does.

use cloven_lattice::linear;
use cloven_nn::LinearShape;

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
