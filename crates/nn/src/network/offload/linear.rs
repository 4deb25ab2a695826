//! What a dense layer and a convolution do beside their products: from a batch to rows of X and back, bias, and the sums for its gradient.

use burn::tensor::Tensor;

use super::matrices::transpose;
use super::{Matrices, Product, Windows};
use crate::network::batch::{Batch, read, tensor};
use crate::network::parameter::Parameter;

/// A layer that is one product with its first parameter.
#[derive(Clone, Copy)]
pub enum LinearForm {
    /// Of so many rows a sample.
    Dense { rows: usize },
    /// Of windows.
    Convolution(Windows),
}

impl LinearForm {
    /// The product with the first of these parameters.
    pub fn product(self, parameters: &[&Parameter], input_gradient: bool) -> Option<Product> {
        let weight = parameters.first()?;
        let [inner, columns] = match (self, weight.tensor().dims()) {
            (Self::Dense { .. }, dims) => dims,
            (Self::Convolution(_), [columns, inner]) => [inner, columns],
        };
        Some(Product {
            name: weight.name().to_owned(),
            parameter: true,
            heads: 1,
            rows: self.rows(),
            inner,
            columns,
            input_gradient,
        })
    }

    /// Rows of X for each sample.
    pub fn rows(self) -> usize {
        match self {
            Self::Dense { rows } => rows,
            Self::Convolution(windows) => windows.positions(),
        }
    }

    /// X.
    pub fn operand(self, x: Batch) -> Matrices {
        let (batch, data) = (x.dims()[0], x.into_data());
        let values = match self {
            Self::Dense { .. } => read(&data).to_vec(),
            Self::Convolution(windows) => windows.lay_out(read(&data)),
        };
        let rows = batch * self.rows();
        Matrices::of([1, rows, values.len() / rows], values)
    }

    /// W.
    pub fn weight(self, weight: &Parameter) -> Matrices {
        let ([rows, columns], data) = (weight.tensor().dims(), weight.tensor().into_data());
        let matrix = Matrices::of([1, rows, columns], read(&data).to_vec());
        match self {
            Self::Dense { .. } => matrix,
            Self::Convolution(_) => matrix.transposed(),
        }
    }

    /// The output from Y.
    pub fn output(self, y: Matrices, bias: Option<&Parameter>) -> Batch {
        let [_, rows, columns] = y.dims();
        let mut values = y.into_values();
        if let Some(bias) = bias {
            let data = bias.tensor().into_data();
            for row in values.chunks_exact_mut(columns) {
                row.iter_mut().zip(read(&data)).for_each(|(y, b)| *y += b);
            }
        }
        let batch = rows / self.rows();
        match self {
            Self::Dense { rows } => tensor(values, [batch, rows, columns]),
            Self::Convolution(windows) => {
                let (positions, mut planes) = (windows.positions(), vec![0.0; values.len()]);
                let samples = values.chunks_exact(positions * columns);
                for (sample, planes) in samples.zip(planes.chunks_exact_mut(positions * columns)) {
                    transpose(sample, planes, positions, columns);
                }
                tensor(planes, [batch, columns, positions])
            }
        }
    }

    /// dY.
    pub fn gradient(self, dy: Batch) -> Matrices {
        let ([batch, channels, positions], data) = (dy.dims(), dy.into_data());
        match self {
            Self::Dense { rows } => Matrices::of([1, batch * rows, positions], read(&data).to_vec()),
            Self::Convolution(_) => {
                let samples = Matrices::of([batch, channels, positions], read(&data).to_vec());
                Matrices::of([1, batch * positions, channels], samples.transposed().into_values())
            }
        }
    }

    /// Gives the layer's parameters their gradients.
    pub fn set_gradients(self, parameters: Vec<&mut Parameter>, dw: Matrices, dy: &Matrices) {
        let [_, inner, columns] = dw.dims();
        for (number, parameter) in parameters.into_iter().enumerate() {
            let gradient = match (number, self) {
                (0, Self::Dense { .. }) => tensor(dw.values().to_vec(), [inner, columns]),
                (0, Self::Convolution(_)) => tensor(dw.transposed().into_values(), [columns, inner]),
                _ => sums(dy, parameter.tensor().dims()),
            };
            parameter.set_gradient(gradient);
        }
    }

    /// dLoss/dInput from dX.
    pub fn input_gradient(self, dx: Matrices) -> Batch {
        let [_, all, inner] = dx.dims();
        let batch = all / self.rows();
        match self {
            Self::Dense { rows } => tensor(dx.into_values(), [batch, rows, inner]),
            Self::Convolution(windows) => {
                let positions = windows.sample() / windows.channels;
                tensor(windows.add_back(dx.values()), [batch, windows.channels, positions])
            }
        }
    }
}

/// The sum of the rows.
fn sums(dy: &Matrices, dims: [usize; 2]) -> Tensor<2> {
    let columns = dy.dims()[2];
    let mut sums = vec![0.0f64; columns];
    for row in dy.values().chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    tensor(sums.into_iter().map(|sum| sum as f32).collect(), dims)
}
