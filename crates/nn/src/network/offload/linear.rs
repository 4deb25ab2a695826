//! What a dense layer and a convolution do beside their products: from a batch to rows of X and back, bias, and the sums for its gradient.

use burn::tensor::Tensor;

use super::{Matrices, Product, Windows};
use crate::network::batch::{Batch, into_values, read, tensor};
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
            windows: self.windows(),
        })
    }

    /// Rows of X for each sample.
    pub fn rows(self) -> usize {
        match self {
            Self::Dense { rows } => rows,
            Self::Convolution(windows) => windows.positions(),
        }
    }

    /// The geometry of a convolution.
    pub fn windows(self) -> Option<Windows> {
        match self {
            Self::Dense { .. } => None,
            Self::Convolution(windows) => Some(windows),
        }
    }

    /// X, of a convolution its images.
    pub fn operand(self, x: Batch) -> Matrices {
        let samples = x.dims()[0];
        let values = into_values(x);
        match self {
            Self::Dense { rows } => Matrices::of([1, samples * rows, values.len() / (samples * rows)], values),
            Self::Convolution(windows) => Matrices::of([samples, windows.channels, windows.places()], values).transposed(),
        }
    }

    /// W.
    pub fn weight(self, weight: &Parameter) -> Matrices {
        self.in_order(weight.tensor().dims(), into_values(weight.tensor()))
    }

    /// The first moment of W, in the form of W.
    pub fn first_moment(self, weight: &Parameter) -> Option<Matrices> {
        let values = weight.first_moment();
        (!values.is_empty()).then(|| self.in_order(weight.tensor().dims(), values.to_vec()))
    }

    /// The form of W of what has the parameter's.
    fn in_order(self, [rows, columns]: [usize; 2], values: Vec<f32>) -> Matrices {
        let matrix = Matrices::of([1, rows, columns], values);
        match self {
            Self::Dense { .. } => matrix,
            Self::Convolution(windows) => windows.weight(matrix),
        }
    }

    /// The output from Y.
    pub fn output(self, y: Matrices, bias: Option<&Parameter>) -> Batch {
        let [_, all, columns] = y.dims();
        let batch = all / self.rows();
        let mut y = y;
        if let Some(bias) = bias {
            let data = bias.tensor().into_data();
            for row in y.values_mut().chunks_exact_mut(columns) {
                row.iter_mut().zip(read(&data)).for_each(|(y, b)| *y += b);
            }
        }
        let samples = y.reshaped([batch, self.rows(), columns]);
        let samples = match self {
            Self::Dense { .. } => samples,
            Self::Convolution(_) => samples.transposed(),
        };
        let dims = samples.dims();
        tensor(samples.into_values(), dims)
    }

    /// dY.
    pub fn gradient(self, dy: Batch) -> Matrices {
        let dims = dy.dims();
        let samples = Matrices::of(dims, into_values(dy));
        let samples = match self {
            Self::Dense { .. } => samples,
            Self::Convolution(_) => samples.transposed(),
        };
        let [batch, rows, columns] = samples.dims();
        samples.reshaped([1, batch * rows, columns])
    }

    /// Gives the layer's parameters their gradients.
    pub fn set_gradients(self, parameters: Vec<&mut Parameter>, dw: Matrices, dy: &Matrices) {
        let mut parameters = parameters.into_iter();
        if let Some(weight) = parameters.next() {
            let gradient = match self {
                Self::Dense { .. } => dw,
                Self::Convolution(windows) => windows.weight_gradient(dw),
            };
            let [_, rows, columns] = gradient.dims();
            weight.set_gradient(tensor(gradient.into_values(), [rows, columns]));
        }
        if let Some(bias) = parameters.next() {
            let dims = bias.tensor().dims();
            bias.set_gradient(sums(dy, dims));
        }
    }

    /// dLoss/dInput from dX, of a convolution one of images.
    pub fn input_gradient(self, dx: Matrices) -> Batch {
        let dx = match self {
            Self::Dense { rows } => {
                let [_, all, inner] = dx.dims();
                dx.reshaped([all / rows, rows, inner])
            }
            Self::Convolution(_) => dx.transposed(),
        };
        let dims = dx.dims();
        tensor(dx.into_values(), dims)
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
