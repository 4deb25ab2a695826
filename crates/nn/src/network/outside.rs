//! Passes through a network in which somebody else computes the products of linear layers with their weights.

use std::ops::Range;

use ndarray::ArrayD;

use super::batch::{Batch, array_from_batch, batch_from_array};
use super::program::{Branches, Gradients, Step};
use super::{InputGradient, Network, Stage};
use crate::{LinearLayer, ModelError, ModelSpec};

/// The linear layers whose products are computed elsewhere, by their steps in the program.
#[derive(Default)]
pub(super) struct Outside {
    layers: Vec<LinearLayer>,
    steps: Vec<usize>,
}

impl Outside {
    /// The number among them of the layer at this step.
    fn number(&self, step: usize) -> Option<usize> {
        self.steps.binary_search(&step).ok()
    }
}

impl Network {
    /// The same network, which leaves the products of all linear layers among layers `range` of the model to others: those that
    /// [`ModelSpec::linear_layers`] lists for it, numbered from 0 in that order.
    ///
    /// # Errors
    /// As [`ModelSpec::linear_layers`]; [`ModelError::Range`] unless the layers are held here.
    pub fn with_products_outside(
        mut self,
        model: &ModelSpec,
        range: Range<usize>,
        wish: InputGradient,
    ) -> Result<Self, ModelError> {
        if range.start != self.range.start || range.end > self.range.end {
            let layers = model.layers.len();
            return Err(ModelError::Range { range, layers });
        }
        let layers = model.linear_layers(range, wish)?;
        let all = self.layers.steps().iter().enumerate();
        let named = all.filter(|(_, step)| weight_name(step).is_some_and(|name| layers.iter().any(|layer| layer.weight == name)));
        let steps = named.map(|(index, _)| index).collect();
        self.outside = Outside { layers, steps };
        Ok(self)
    }

    /// The layers whose products are computed elsewhere.
    pub fn outside(&self) -> &[LinearLayer] {
        &self.outside.layers
    }

    /// The weight of layer `number` of [`Network::outside`], in PyTorch's layout.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn outside_weight(&self, number: usize) -> ArrayD<f32> {
        let name = &self.outside.layers[number].weight;
        let found = self.parameter_refs().find(|parameter| parameter.name() == name);
        found.expect("its step was found by this name").array()
    }

    /// As [`Network::forward`]; `product` gives the product of a layer's weight with its input `[batch, sample...]`, without bias.
    ///
    /// # Errors
    /// As [`Network::forward`], [`ModelError::Shape`] for a product of another shape, and those of `product`.
    pub async fn forward_with<E: From<ModelError>>(
        &self,
        x: &ArrayD<f32>,
        mut product: impl AsyncFnMut(usize, ArrayD<f32>) -> Result<ArrayD<f32>, E>,
    ) -> Result<ArrayD<f32>, E> {
        let mut x = batch_from_array("input", x, &self.input)?;
        let branches = &mut Branches::default();
        for (index, step) in self.layers.steps().iter().enumerate() {
            x = match self.outside.number(index) {
                Some(number) => {
                    let (input, output) = self.outside_shapes(number);
                    let y = product(number, array_from_batch("an activation", x, &input)?).await?;
                    add_bias(step, batch_from_array("product", &y, &output)?)
                }
                None => step.forward(x, branches),
            }
        }
        Ok(array_from_batch("an output", x, &self.output)?)
    }

    /// As [`Network::forward_train`], with products as in [`Network::forward_with`].
    ///
    /// # Errors
    /// As [`Network::forward_train`] and [`Network::forward_with`].
    pub async fn forward_train_with<E: From<ModelError>>(
        &mut self,
        number: u64,
        x: &ArrayD<f32>,
        mut product: impl AsyncFnMut(usize, ArrayD<f32>) -> Result<ArrayD<f32>, E>,
    ) -> Result<ArrayD<f32>, E> {
        let mut x = self.training_input(x)?;
        let batch = x.dims()[0];
        let branches = &mut Branches::default();
        for index in 0..self.layers.steps().len() {
            x = match self.outside.number(index) {
                Some(number) => {
                    let (input, output) = self.outside_shapes(number);
                    let y = product(number, array_from_batch("an activation", x, &input)?).await?;
                    add_bias(&self.layers.steps()[index], batch_from_array("product", &y, &output)?)
                }
                None => self.layers.steps_mut()[index].forward_train(number, x, branches),
            }
        }
        self.stage = Stage::Forwarded { batch };
        Ok(array_from_batch("an output", x, &self.output)?)
    }

    /// As [`Network::backward`]; `products` is told dLoss/dOutput of a layer, and gives dLoss/dInput where
    /// [`LinearLayer::input_gradient`] says that it is needed. Weights outside have no gradient until [`Network::set_outside_gradient`].
    ///
    /// # Errors
    /// As [`Network::backward`], [`ModelError::Shape`] for an array of another shape, and those of `products`.
    pub async fn backward_with<E: From<ModelError>>(
        &mut self,
        output_gradient: &ArrayD<f32>,
        wish: InputGradient,
        mut products: impl AsyncFnMut(usize, ArrayD<f32>) -> Result<Option<ArrayD<f32>>, E>,
    ) -> Result<Option<ArrayD<f32>>, E> {
        let mut dy = Some(self.output_gradient(output_gradient)?);
        let (needed, branches) = (self.layers.needed(wish), &mut Gradients::default());
        for (index, needed) in needed.into_iter().enumerate().rev() {
            let (Some(number), Some(gradient)) = (self.outside.number(index), &dy) else {
                dy = self.layers.steps_mut()[index].backward(dy, needed, branches);
                continue;
            };
            let (input, output) = self.outside_shapes(number);
            let array = array_from_batch("a gradient", gradient.clone(), &output)?;
            set_bias_gradient(&mut self.layers.steps_mut()[index], gradient);
            let dx = products(number, array).await?;
            dy = dx.map(|dx| batch_from_array("input gradient", &dx, &input)).transpose()?;
        }
        self.stage = Stage::Differentiated;
        let dx = dy.filter(|_| wish == InputGradient::Wanted);
        let dx = dx.map(|dx| array_from_batch("a gradient", dx, &self.input)).transpose();
        Ok(dx?)
    }

    /// Gives the weight of layer `number` of [`Network::outside`] its gradient, in PyTorch's layout, after [`Network::backward_with`].
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for another shape or numbers that are not finite.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn set_outside_gradient(&mut self, number: usize, gradient: &ArrayD<f32>) -> Result<(), ModelError> {
        let name = self.outside.layers[number].weight.clone();
        let found = self.parameters_mut().find(|parameter| parameter.name() == name);
        let parameter = found.expect("its step was found by this name");
        parameter.check(gradient)?;
        parameter.set_gradient_array(gradient);
        Ok(())
    }

    /// Shapes of a sample at the input and at the output of layer `number` outside.
    fn outside_shapes(&self, number: usize) -> (Vec<usize>, Vec<usize>) {
        let shape = self.outside.layers[number].shape;
        (shape.input(), shape.output())
    }
}

/// The name of the weight, if the step is a linear layer.
fn weight_name(step: &Step) -> Option<&str> {
    let layer = step.layer()?;
    layer.linear()?;
    layer.parameters().first().map(|weight| weight.name())
}

fn add_bias(step: &Step, product: Batch) -> Batch {
    match step.layer().and_then(|layer| layer.linear()) {
        Some(linear) => linear.add_bias(product),
        None => product,
    }
}

fn set_bias_gradient(step: &mut Step, dy: &Batch) {
    if let Some(linear) = step.layer_mut().and_then(|layer| layer.linear_mut()) {
        linear.set_bias_gradient(dy);
    }
}
