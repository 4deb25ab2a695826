//! Training and use of a network whose matrix products are all computed elsewhere: by workers that are not trusted, under a blinding, or here
//! ([`LocalProducts`]). What is not a product (bias, normalisation, activations, softmax, pooling, sums of branches, the optimiser) is
//! computed by the network's own layers, as in [`Network`].
//!
//! A layer with a product has three in a training step, with X of the rows of the whole batch (a convolution's [`Windows`], which are left to whoever computes
//! the products to unfold; see [`Product`] and [`Job`]):
//! Y = X W forward, and dW = X^T dY and dX = dY W^T on the way back, which are asked for together. Attention has four products: its two
//! projections (queries, keys and values are one), and for each head of each sample Q K^T and P V, whose two gradients are asked for together
//! too.
//!
//! ```
//! use cloven_nn::offload::{LocalProducts, OffloadedNetwork};
//! use cloven_nn::{InputGradient, LearningRateSchedule, Network, OptimiserSpec, preset};
//! # use std::task::{Context, Poll, Waker};
//! # fn now<T>(future: impl Future<Output = T>) -> T {
//! #     match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(value) => value, Poll::Pending => unreachable!() }
//! # }
//!
//! # fn main() -> Result<(), cloven_nn::ModelError> {
//! let model = preset("m1")?.model;
//! let sgd = OptimiserSpec::Sgd { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0, schedule: LearningRateSchedule::default() };
//! let network = Network::new(&model, 0..model.layers.len(), 7)?.with_optimiser(sgd)?;
//! let mut network = OffloadedNetwork::new(network, InputGradient::NotWanted);
//! assert_eq!(network.products()[0].name, "0.weight");
//!
//! let x = ndarray::ArrayD::from_elem(vec![4, 1, 128], 0.5);
//! let mut products = LocalProducts;
//! let y = now(network.forward_train(&mut products, 0, &x))?;
//! now(network.backward(&mut products, &y))?; // as if dLoss/dOutput were y
//! network.update()?;
//! # Ok(())
//! # }
//! ```

mod attention;
mod cost;
mod linear;
mod local;
mod matrices;
mod products;
mod windows;

use std::sync::Arc;

use ndarray::ArrayD;

pub(crate) use self::attention::AttentionForm;
pub use self::cost::{ERROR_FUNCTION, EXPONENTIAL, LayerCost, StepCost, inference_cost, training_cost};
pub(crate) use self::linear::LinearForm;
pub use self::local::LocalProducts;
pub use self::matrices::Matrices;
pub use self::products::{Job, Product, ProductKind, Products};
pub use self::windows::Windows;
use super::batch::{Batch, array_from_batch, batch_from_array};
use super::program::{Branches, Gradients, Step};
use super::{InputGradient, Network, Stage};
use crate::{ModelError, SgdStep};

/// What a layer is to whoever has its products computed elsewhere.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Linear(LinearForm),
    Attention(AttentionForm),
}

/// A network that computes no product itself. A training step is [`forward_train`](OffloadedNetwork::forward_train),
/// [`backward`](OffloadedNetwork::backward), [`update`](OffloadedNetwork::update), as with [`Network`]. With [`LocalProducts`] its results are those of the
/// network alone up to the rounding of f32 sums.
///
/// After an error within a training step, start again from a checkpoint: batch normalisation may have moved its running statistics.
pub struct OffloadedNetwork {
    network: Network,
    wish: InputGradient,
    products: Vec<Product>,
    /// For each step of the network the number of its first product, if it has any, and what its backward pass needs.
    steps: Vec<Option<Offloaded>>,
}

/// A step with products.
struct Offloaded {
    first: usize,
    form: Form,
    kept: Kept,
}

/// Operands of a forward pass in training: of each of the step's products X and W.
type Kept = Vec<[Arc<Matrices>; 2]>;

impl OffloadedNetwork {
    /// The network with its parameters, buffers and optimiser. `wish`: whether [`OffloadedNetwork::backward`] shall give dLoss/dInput.
    pub fn new(network: Network, wish: InputGradient) -> Self {
        let (mut products, mut steps) = (Vec::new(), Vec::new());
        for (step, needed) in network.layers.steps().iter().zip(network.layers.needed(wish)) {
            let form = step.layer().and_then(|layer| Some((layer.form()?, layer)));
            steps.push(form.map(|(form, layer)| {
                let first = products.len();
                match &form {
                    Form::Linear(linear) => products.extend(linear.product(&layer.parameters(), needed)),
                    Form::Attention(attention) => products.extend(attention.products(layer.place())),
                }
                Offloaded {
                    first,
                    form,
                    kept: Vec::new(),
                }
            }));
        }
        Self {
            network,
            wish,
            products,
            steps,
        }
    }

    /// The products in the order in which a forward pass comes to them.
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// The network: its parameters, buffers, files and checkpoints.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// As [`OffloadedNetwork::network`], to change it between training steps.
    pub fn network_mut(&mut self) -> &mut Network {
        self.forget();
        &mut self.network
    }

    /// The network, to go on without this.
    pub fn into_network(self) -> Network {
        self.network
    }

    /// As [`Network::forward`].
    ///
    /// # Errors
    /// As [`Network::forward`]; those of `products`; [`ModelError::Shape`] or [`ModelError::Diverged`] for a product of another shape or one that is
    /// not finite.
    pub async fn forward<P: Products>(&self, products: &mut P, x: &ArrayD<f32>) -> Result<ArrayD<f32>, P::Error> {
        let network = &self.network;
        let mut x = batch_from_array("input", x, &network.input)?;
        let branches = &mut Branches::default();
        for (step, offloaded) in network.layers.steps().iter().zip(&self.steps) {
            x = match offloaded {
                Some(offloaded) => offloaded.forward(step, x, products).await?.0,
                None => step.forward(x, branches),
            };
        }
        Ok(array_from_batch("an output", x, &network.output)?)
    }

    /// As [`Network::forward_train`].
    ///
    /// # Errors
    /// As [`Network::forward_train`] and [`OffloadedNetwork::forward`].
    pub async fn forward_train<P: Products>(
        &mut self,
        products: &mut P,
        number: u64,
        x: &ArrayD<f32>,
    ) -> Result<ArrayD<f32>, P::Error> {
        self.forget();
        let network = &mut self.network;
        let mut x = network.training_input(x)?;
        let batch = x.dims()[0];
        let branches = &mut Branches::default();
        for (step, offloaded) in network.layers.steps_mut().iter_mut().zip(&mut self.steps) {
            x = match offloaded {
                Some(offloaded) => {
                    let (y, kept) = offloaded.forward(step, x, products).await?;
                    offloaded.kept = kept;
                    y
                }
                None => step.forward_train(number, x, branches),
            };
        }
        network.stage = Stage::Forwarded { batch };
        Ok(array_from_batch("an output", x, &network.output)?)
    }

    /// As [`Network::backward`], with dLoss/dInput if it was wished for.
    ///
    /// # Errors
    /// As [`Network::backward`] and [`OffloadedNetwork::forward`].
    pub async fn backward<P: Products>(
        &mut self,
        products: &mut P,
        output_gradient: &ArrayD<f32>,
    ) -> Result<Option<ArrayD<f32>>, P::Error> {
        let network = &mut self.network;
        let mut dy = Some(network.output_gradient(output_gradient)?);
        network.stage = Stage::Idle;
        let (needed, branches) = (network.layers.needed(self.wish), &mut Gradients::default());
        let steps = network.layers.steps_mut().iter_mut().zip(&mut self.steps);
        for ((step, offloaded), needed) in steps.zip(needed).rev() {
            dy = match (offloaded, dy) {
                (Some(offloaded), Some(dy)) => offloaded.backward(step, dy, needed, products).await?,
                (Some(_), None) => None,
                (None, dy) => step.backward(dy, needed, branches),
            };
        }
        network.stage = Stage::Differentiated;
        let dx = dy.filter(|_| self.wish == InputGradient::Wanted);
        let dx = dx.map(|dx| array_from_batch("a gradient", dx, &network.input)).transpose();
        Ok(dx?)
    }

    /// The last update, if it was one of SGD; `None` before the first one.
    pub fn last_step(&self) -> Option<SgdStep> {
        let optimiser = self.network.optimiser.as_ref()?;
        let updates = self.network.updates();
        (updates > 0).then(|| optimiser.sgd_step(updates)).flatten()
    }

    /// The velocity of a product's weights after the last update, in the form of W; `None` of products without weights, and where the optimiser keeps none.
    pub fn velocity(&self, product: usize) -> Option<Matrices> {
        let steps = self.network.layers.steps().iter().zip(&self.steps);
        let mut found = steps.filter_map(|(step, offloaded)| Some((step, offloaded.as_ref()?)));
        let (step, offloaded) = found.find(|(_, offloaded)| offloaded.first == product)?;
        match offloaded.form {
            Form::Linear(linear) => linear.first_moment(step.layer()?.parameters().first()?),
            Form::Attention(_) => None,
        }
    }

    /// As [`Network::update`].
    ///
    /// # Errors
    /// As [`Network::update`].
    pub fn update(&mut self) -> Result<(), ModelError> {
        self.network.update()
    }

    /// Leaves an unfinished training step.
    fn forget(&mut self) {
        self.network.stage = Stage::Idle;
        self.steps.iter_mut().flatten().for_each(|step| step.kept.clear());
    }
}

impl Offloaded {
    /// The output, and the operands.
    async fn forward<P: Products>(&self, step: &Step, x: Batch, products: &mut P) -> Result<(Batch, Kept), P::Error> {
        match self.form {
            Form::Linear(linear) => {
                let parameters = step.layer().map(|layer| layer.parameters()).unwrap_or_default();
                let operands = [linear.operand(x), linear.weight(parameters[0])].map(Arc::new);
                let [y] = ask(products, [self.job(0, ProductKind::Forward, &operands)]).await?;
                Ok((linear.output(y, parameters.get(1).copied()), vec![operands]))
            }
            Form::Attention(attention) => {
                let (heads, [query, key, value]) = attention.split(x);
                let scores = [query, key.transposed()].map(Arc::new);
                let [mut products_of_tokens] = ask(products, [self.job(0, ProductKind::Forward, &scores)]).await?;
                heads.softmax(products_of_tokens.values_mut());
                let values = [products_of_tokens, value].map(Arc::new);
                let [y] = ask(products, [self.job(1, ProductKind::Forward, &values)]).await?;
                Ok((heads.join([y.values()]), vec![scores, values]))
            }
        }
    }

    /// The gradient at the input if it is needed; those of the parameters stay with them.
    async fn backward<P: Products>(
        &mut self,
        step: &mut Step,
        dy: Batch,
        needed: bool,
        products: &mut P,
    ) -> Result<Option<Batch>, P::Error> {
        let kept = std::mem::take(&mut self.kept);
        match (self.form, &kept[..]) {
            (Form::Linear(linear), [operands]) => {
                let dy = Arc::new(linear.gradient(dy));
                let [dw, dx] = match needed {
                    true => self.gradients(0, operands, &dy, products).await?.map(Some),
                    false => {
                        let job = self.job(0, ProductKind::WeightGradient, &[operands[0].clone(), dy.clone()]);
                        let [dw] = ask(products, [job]).await?;
                        [Some(dw), None]
                    }
                };
                if let (Some(layer), Some(dw)) = (step.layer_mut(), dw) {
                    linear.set_gradients(layer.parameters_mut(), dw, &dy);
                }
                Ok(dx.map(|dx| linear.input_gradient(dx)))
            }
            (Form::Attention(attention), [scores, values]) => {
                let (heads, dy) = attention.split_output(dy);
                let [of_value, mut of_scores] = self.gradients(1, values, &Arc::new(dy), products).await?;
                heads.softmax_gradient(of_scores.values_mut(), values[0].values());
                let [of_key, of_query] = self.gradients(0, scores, &Arc::new(of_scores), products).await?;
                let of_key = of_key.transposed();
                Ok(Some(heads.join([of_query.values(), of_key.values(), of_value.values()])))
            }
            _ => Err(P::Error::from(ModelError::Order {
                call: "backward",
                missing: "forward_train",
            })),
        }
    }

    /// dW and dX of a product.
    async fn gradients<P: Products>(
        &self,
        number: usize,
        [x, w]: &[Arc<Matrices>; 2],
        dy: &Arc<Matrices>,
        products: &mut P,
    ) -> Result<[Matrices; 2], P::Error> {
        let weight = self.job(number, ProductKind::WeightGradient, &[x.clone(), dy.clone()]);
        let input = self.job(number, ProductKind::InputGradient, &[dy.clone(), w.clone()]);
        ask(products, [weight, input]).await
    }

    fn job(&self, number: usize, kind: ProductKind, [left, right]: &[Arc<Matrices>; 2]) -> Job {
        Job {
            product: self.first + number,
            kind,
            left: left.clone(),
            right: right.clone(),
            windows: match self.form {
                Form::Linear(linear) => linear.windows(),
                Form::Attention(_) => None,
            },
        }
    }
}

/// The results of jobs, as many, of their shapes and finite.
async fn ask<P: Products, const COUNT: usize>(products: &mut P, jobs: [Job; COUNT]) -> Result<[Matrices; COUNT], P::Error> {
    let expected = jobs.each_ref().map(Job::output_dims);
    let results = products.multiply(jobs.into()).await?;
    let wrong = |actual: Vec<usize>, expected: String| ModelError::Shape {
        what: "products",
        expected,
        actual,
    };
    let results = <[Matrices; COUNT]>::try_from(results);
    let results = results.map_err(|results| wrong(vec![results.len()], format!("{COUNT} results")))?;
    for (result, expected) in results.iter().zip(expected) {
        if result.dims() != expected {
            return Err(wrong(result.dims().to_vec(), format!("{expected:?}")).into());
        }
        if !result.are_finite() {
            return Err(ModelError::Diverged { what: "a product" }.into());
        }
    }
    Ok(results)
}
