//! What is asked of whoever computes products.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Matrices, Windows};

/// Computes matrix products for a network: here ([`LocalProducts`](super::LocalProducts)) or at workers that are not trusted with the operands.
pub trait Products {
    /// What can go wrong.
    type Error: From<crate::ModelError>;

    /// The results of these jobs, in their order, each of [`Job::output_dims`]. The jobs do not depend on each other.
    fn multiply(&mut self, jobs: Vec<Job>) -> impl Future<Output = Result<Vec<Matrices>, Self::Error>>;
}

/// One of a network's products Y = X W; [`OffloadedNetwork::products`](super::OffloadedNetwork::products) lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The name of W where it is a parameter: "3.weight", "4.body.1.in_proj_weight". Of attention "4.body.1.scores" (queries times keys) and
    /// "4.body.1.values" (probabilities times values), whose operands are both activations.
    pub name: String,
    /// Whether W is a parameter: one matrix for all samples, which stays as it is until the next update.
    pub parameter: bool,
    /// Products for each sample where W is no parameter: the number of heads. Else 1.
    pub heads: usize,
    /// Rows of X for each sample: positions of a convolution, tokens.
    pub rows: usize,
    /// Columns of X and rows of W; of a convolution the values of a window, the channels of each place of the kernel side by side.
    pub inner: usize,
    /// Columns of W.
    pub columns: usize,
    /// Whether dX is needed: something before it learns.
    pub input_gradient: bool,
    /// Of a convolution, as in its jobs.
    pub windows: Option<Windows>,
}

/// Which of a product's three forms: matrices are never transposed before they are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProductKind {
    /// Y = X W; left X, right W.
    Forward,
    /// dW = X^T dY; left X, right dY.
    WeightGradient,
    /// dX = dY W^T; left dY, right W.
    InputGradient,
}

/// A product to compute. The X of a weight gradient and the W of an input gradient are those of the same product's last forward job: the same
/// [`Arc`]s, so that what was sent then need not be sent again.
#[derive(Clone)]
pub struct Job {
    /// Number in the list of products.
    pub product: usize,
    /// Which form.
    pub kind: ProductKind,
    /// `[count, rows, columns]` before the product sign.
    pub left: Arc<Matrices>,
    /// As many after it.
    pub right: Arc<Matrices>,
    /// Of a convolution. X is then images `[samples, height * width, channels]` and stands for their windows ([`Windows::unfold`]), and so is the result dX, for
    /// the sum of its windows ([`Windows::fold`]).
    pub windows: Option<Windows>,
}

impl Product {
    /// Of a batch: `[count, rows, inner, columns]`, where X is count matrices rows x inner, W inner x columns, Y rows x columns. The
    /// samples' rows are below each other in one matrix where W is a parameter.
    pub fn dims(&self, batch: usize) -> [usize; 4] {
        match self.parameter {
            true => [1, batch * self.rows, self.inner, self.columns],
            false => [batch * self.heads, self.rows, self.inner, self.columns],
        }
    }

    /// Multiplications and additions of one form of it.
    pub fn multiply_adds(&self, batch: usize) -> u64 {
        self.dims(batch).iter().map(|axis| *axis as u64).product()
    }
}

impl Job {
    /// `[count, rows, columns]` of the result.
    pub fn output_dims(&self) -> [usize; 3] {
        let ([count, rows, columns], [_, others, more]) = (self.left.dims(), self.right.dims());
        match (self.kind, self.windows) {
            (ProductKind::Forward, None) => [count, rows, more],
            (ProductKind::WeightGradient, None) => [count, columns, more],
            (ProductKind::InputGradient, None) => [count, rows, others],
            (ProductKind::Forward, Some(windows)) => [1, count * windows.positions(), more],
            (ProductKind::WeightGradient, Some(windows)) => [1, windows.values(), more],
            (ProductKind::InputGradient, Some(windows)) => [rows / windows.positions(), windows.places(), windows.channels],
        }
    }
}
