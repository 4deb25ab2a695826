//! What a step of training costs the enclave, its workers and the lines between them: counted, not measured.
//!
//! A multiplication and addition inside a product counts as one, and so does every other operation on a number or a byte. For each element of an operand the enclave takes
//! [`masked::SHARE_OPERATIONS`] or, where it permutes, 2 (move, sign), for each of a result [`masked::DECODE_OPERATIONS`] or 2; for the check of a product
//! [`freivalds::operations`] or, of a convolution that workers unfold, [`check_operations`](cloven_accel::convolution::Window::check_operations), of floats
//! [`float_check_operations`](cloven_accel::convolution::Window::float_check_operations). What layers compute beside products is
//! [`cloven_nn::offload::training_cost`], less the windows of a convolution where workers unfold them. dX is taken to come back folded.

use cloven_accel::{Dimensions, Shape, freivalds, masked, sharding::Operand};
use cloven_nn::{
    InputGradient, ModelSpec, Network, OptimiserSpec,
    offload::{OffloadedNetwork, Product, training_cost},
};

use super::{
    Blinding, Terms,
    products::{cheapest, images, stays},
};
use crate::ProtocolError;

/// Operations and bytes of one training step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCount {
    /// Of products, in the clear: what is left to workers.
    pub products: u64,
    /// Of the enclave: what layers compute beside products, and the optimiser.
    pub layers: u64,
    /// Of the enclave: hiding operands and finding results.
    pub blinding: u64,
    /// Of the enclave: checking products.
    pub checks: u64,
    /// Exchanges with all workers, one after the other.
    pub exchanges: u64,
    /// Bytes of operands to all workers.
    pub sent: u64,
    /// Bytes of results from all workers.
    pub received: u64,
}

impl StepCount {
    /// The enclave's own operations over those of doing everything inside.
    pub fn share_of_enclave(&self) -> f64 {
        (self.layers + self.blinding + self.checks) as f64 / (self.layers + self.products).max(1) as f64
    }
}

/// Workers that compute at a time.
pub fn at_work(terms: &Terms) -> usize {
    match terms.blinding {
        Blinding::Masked => masked::WORKERS,
        Blinding::Permute { .. } | Blinding::None => terms.workers.len(),
    }
}

/// Bytes of an element, as f32 or as a word.
const BYTES: u64 = 4;

/// A step of training on `batch` samples.
///
/// # Errors
/// [`ProtocolError::Model`] for whatever is wrong with the model.
pub fn training_step(
    model: &ModelSpec,
    batch: usize,
    optimiser: &OptimiserSpec,
    terms: &Terms,
) -> Result<StepCount, ProtocolError> {
    let network = Network::new(model, 0..model.layers.len(), 0)?;
    let network = OffloadedNetwork::new(network, InputGradient::NotWanted);
    let mut step = StepCount {
        layers: training_cost(model, batch, optimiser)?.elements(),
        ..StepCount::default()
    };
    for product in network.products() {
        step.add(product, batch, terms, matches!(optimiser, OptimiserSpec::Sgd { .. }));
    }
    Ok(step)
}

impl StepCount {
    /// Another step's on top.
    pub fn and(self, other: &Self) -> Self {
        Self {
            products: self.products + other.products,
            layers: self.layers + other.layers,
            blinding: self.blinding + other.blinding,
            checks: self.checks + other.checks,
            exchanges: self.exchanges + other.exchanges,
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }

    fn add(&mut self, product: &Product, batch: usize, terms: &Terms, sgd: bool) {
        let [count, rows, inner, columns] = product.dims(batch);
        let elements = |left: usize, right: usize| (count * left * right) as u64;
        let (mut x, w, y) = (elements(rows, inner), elements(inner, columns), elements(rows, columns));
        let of = |rows, depth, columns| Dimensions {
            batch: count,
            rows,
            depth,
            columns,
        };
        let mut forms = vec![of(rows, inner, columns), of(inner, rows, columns)];
        forms.extend(product.input_gradient.then(|| of(rows, columns, inner)));
        self.products += forms.iter().map(Dimensions::multiply_accumulates).sum::<u64>();
        self.exchanges += 2;
        let window = product.windows.and_then(|windows| images(terms.blinding, windows));
        if let Some(window) = window {
            // Neither unfolded nor folded here.
            self.layers -= x * if product.input_gradient { 2 } else { 1 };
            x = (batch * window.channels * window.image[0] * window.image[1]) as u64;
        }
        self.checks += match (terms.blinding, window) {
            (Blinding::Masked, Some(window)) => window.check_operations(batch, columns),
            (Blinding::Permute { .. } | Blinding::None, Some(window)) => window.float_check_operations(batch, columns),
            (_, None) => forms.iter().map(freivalds::operations).sum(),
        };
        let dx = if product.input_gradient { x } else { 0 };
        let (operands, results) = (x + w + y, y + w + dx);
        let [hide, find] = match terms.blinding {
            Blinding::Masked => [masked::SHARE_OPERATIONS, masked::DECODE_OPERATIONS],
            Blinding::Permute { .. } => [2, 2],
            Blinding::None => [0, 0],
        };
        self.blinding += hide * operands + find * results;
        let workers = at_work(terms) as u64;
        let rekey_every = match terms.blinding {
            Blinding::Permute { rekey_every } => Some(rekey_every),
            Blinding::Masked | Blinding::None => None,
        };
        // Everybody's shares; or of what is cut a part each, and all of the rest.
        let (copies, stay) = match terms.blinding {
            Blinding::Masked => ([workers; 3], false),
            Blinding::Permute { .. } | Blinding::None => {
                let shape = |rows, columns| Shape {
                    batch: count,
                    rows,
                    columns,
                };
                let (images, w) = (window.and_then(|window| window.images(batch).ok()), shape(inner, columns));
                let stay = sgd && product.parameter && stays(rekey_every);
                let cut = cheapest(window, images.unwrap_or(shape(rows, inner)), w, workers as usize, stay);
                let copies = [Operand::X, Operand::W, Operand::G].map(|operand| if cut.cuts(operand) { 1 } else { workers });
                (copies, stay && copies[1] == 1)
            }
        };
        let [of_x, of_w, of_g] = copies;
        // Weights that stay are sent once for all steps until the next keys.
        let weights = if stay { 0 } else { of_w * w };
        let (sent, received) = (of_x * x + weights + of_g * y, of_x * dx + of_w * w + of_g * y);
        self.sent += BYTES * sent;
        self.received += BYTES * received;
    }
}
