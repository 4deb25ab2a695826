//! The matrix products of a network's linear layers, blinded, at workers.
//!
//! For a layer with operands x (rows x inner) and W (inner x columns), and the gradient g (rows x columns) at its product:
//!
//! - forward: blinded x and W → workers, who keep them; x W → enclave
//! - backward: blinded g → workers; x^T g, and where a layer before learns g W^T → enclave
//!
//! What comes back is checked before it is used. One exchange with every worker for a layer and direction; the two products of the backward pass share it.

mod floats;
mod masked;
mod pool;

use cloven_accel::{Matrices, Shape};
use cloven_nn::{LinearLayer, Network};
use cloven_wire::{Channel, Link};
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;

use self::{floats::Floats, masked::Masked, pool::Pool};
use super::{Blinding, Terms, windows::Windows};
use crate::ProtocolError;

/// The products of one network.
pub(super) struct Products<'l, C> {
    layers: Vec<Layer>,
    pool: Pool<'l, C>,
    hidden: Hidden,
    rng: ChaCha20Rng,
}

struct Layer {
    name: String,
    windows: Windows,
    input: Vec<usize>,
    output: Vec<usize>,
    weight: Vec<usize>,
    input_gradient: bool,
}

/// How operands are hidden.
enum Hidden {
    Masked(Masked),
    Floats(Floats),
}

/// x^T g, and where it is wanted g W^T.
type Gradients = (Matrices<f32>, Option<Matrices<f32>>);

impl<'l, C: Channel> Products<'l, C> {
    /// `workers` in the order of [`Terms::at_work`].
    ///
    /// # Errors
    /// [`ProtocolError::Structure`] for fewer workers than the blinding needs.
    pub(super) fn new(
        layers: &[LinearLayer],
        terms: &Terms,
        workers: Vec<&'l mut Link<C>>,
        mut rng: ChaCha20Rng,
    ) -> Result<Self, ProtocolError> {
        let layers: Vec<Layer> = layers.iter().map(Layer::new).collect();
        let hidden = match terms.blinding {
            Blinding::Masked => Hidden::Masked(Masked::new(layers.len(), &mut rng)),
            Blinding::Permute { rekey_every } => Hidden::Floats(Floats::new(&layers, Some(rekey_every), &mut rng)?),
            Blinding::None => Hidden::Floats(Floats::new(&layers, None, &mut rng)?),
        };
        Ok(Self {
            layers,
            pool: Pool::new(workers, terms)?,
            hidden,
            rng,
        })
    }

    /// The product of layer `number` of the network's outside ones with the input `[samples, ...]`. It is kept for the way back in a training step.
    pub(super) async fn forward(
        &mut self,
        network_weight: &ArrayD<f32>,
        number: usize,
        input: &ArrayD<f32>,
        keep: bool,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        let layer = &self.layers[number];
        let samples = input.shape()[0];
        let x = layer.matrix(
            layer.windows.rows(samples),
            layer.windows.inner(),
            layer.windows.spread(&values(input)),
        )?;
        let w = layer.weight(network_weight)?;
        let place = (number, layer.name.as_str());
        let product = match &mut self.hidden {
            Hidden::Masked(masked) => masked.forward(place, x, w, keep, &mut self.pool, &mut self.rng).await?,
            Hidden::Floats(floats) => floats.forward(place, x, w, keep, &mut self.pool, &mut self.rng).await?,
        };
        array(
            [&[samples], &layer.output[..]].concat(),
            layer.windows.outputs(product.values()),
        )
    }

    /// The gradients of layer `number` for that at its product: of the weight, in PyTorch's layout, and of its input where a layer before it learns.
    pub(super) async fn backward(
        &mut self,
        number: usize,
        gradient: &ArrayD<f32>,
    ) -> Result<(ArrayD<f32>, Option<ArrayD<f32>>), ProtocolError> {
        let layer = &self.layers[number];
        let (samples, windows) = (gradient.shape()[0], layer.windows);
        let rows = windows.gradient_rows(&values(gradient));
        let g = layer.matrix(windows.rows(samples), windows.columns(), rows)?;
        let (place, wanted) = ((number, layer.name.as_str()), layer.input_gradient);
        let (weight, input): Gradients = match &mut self.hidden {
            Hidden::Masked(masked) => masked.backward(place, g, wanted, &mut self.pool, &mut self.rng).await?,
            Hidden::Floats(floats) => floats.backward(place, g, wanted, &mut self.pool, &mut self.rng).await?,
        };
        let weight = array(layer.weight.clone(), windows.weight_gradient(weight.values()))?;
        let shape = [&[samples], &layer.input[..]].concat();
        let input = input.map(|rows| array(shape, windows.gather(rows.values()))).transpose()?;
        Ok((weight, input))
    }

    /// The network's outputs in evaluation.
    pub(super) async fn outputs(&mut self, network: &Network, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        let product =
            async |number, input: ArrayD<f32>| self.forward(&network.outside_weight(number), number, &input, false).await;
        network.forward_with(x, product).await
    }

    /// After a training step: the workers keep nothing of it.
    pub(super) fn end_step(&mut self) -> Result<(), ProtocolError> {
        match &mut self.hidden {
            Hidden::Masked(_) => Ok(()),
            Hidden::Floats(floats) => floats.end_step(&mut self.rng),
        }
    }

    /// Ends the workers' work.
    pub(super) async fn end(mut self) -> Result<(), ProtocolError> {
        self.pool.end().await
    }
}

impl Layer {
    fn new(layer: &LinearLayer) -> Self {
        Self {
            name: layer.weight.clone(),
            windows: Windows::new(layer.shape),
            input: layer.shape.input(),
            output: layer.shape.output(),
            weight: layer.shape.weight(),
            input_gradient: layer.input_gradient,
        }
    }

    fn matrix(&self, rows: usize, columns: usize, values: Vec<f32>) -> Result<Matrices<f32>, ProtocolError> {
        Ok(Matrices::new(Shape::matrix(rows, columns)?, values)?)
    }

    fn weight(&self, weight: &ArrayD<f32>) -> Result<Matrices<f32>, ProtocolError> {
        let windows = &self.windows;
        self.matrix(windows.inner(), windows.columns(), windows.weight(&values(weight)))
    }
}

/// Slots at a worker for x, W and g of a layer.
fn slots(number: usize) -> [u32; 3] {
    [0, 1, 2].map(|operand| 3 * number as u32 + operand)
}

fn values(array: &ArrayD<f32>) -> Vec<f32> {
    array.iter().copied().collect()
}

fn array(shape: Vec<usize>, values: Vec<f32>) -> Result<ArrayD<f32>, ProtocolError> {
    let size = values.len();
    ArrayD::from_shape_vec(shape.clone(), values)
        .map_err(|_| ProtocolError::Structure(format!("expected a product of shape {shape:?}, got {size} numbers")))
}
