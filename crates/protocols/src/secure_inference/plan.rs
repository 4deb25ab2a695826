//! The steps of a model as the servers take them: which value each step reads, and which values are opened under a mask.

use cloven_mpc::nonlinear::{self, Layer, Ring};
use cloven_nn::LinearShape;
use cloven_nn::fixed_point::{Ending, Operation, Step, Structure, Window};

use super::{Engine, Output, Terms};
use crate::ProtocolError;

/// A model's steps with what belongs to them. "Opened" values are known to all servers less a mask that is shared: the input and what leaves an activation.
pub(super) struct Plan {
    /// Length of each opened value; the input is the first.
    pub(super) opened: Vec<usize>,
    /// The products, in order.
    pub(super) products: Vec<Product>,
    /// The activations, in order.
    pub(super) activations: Vec<Evaluated>,
    pub(super) steps: Vec<Planned>,
    /// Whether the input is opened at all: where a product takes it.
    pub(super) opens_input: bool,
    /// For an output that is the number of the largest: of the scores.
    pub(super) largest: Option<Layer>,
    /// Layers of the model with messages between servers, in order; `arg-max` last, if it is there.
    pub(super) layers: Vec<String>,
}

/// A product with a shared weight.
pub(super) struct Product {
    pub(super) shape: LinearShape,
    /// The opened value that it multiplies.
    pub(super) input: usize,
    /// By the number of the layer.
    pub(super) of: usize,
}

/// An activation among servers.
pub(super) struct Evaluated {
    pub(super) activation: Activation,
    /// The opened value that comes out.
    pub(super) opened: usize,
    /// By the number of the layer.
    pub(super) of: usize,
}

/// What is evaluated by circuits.
pub(super) struct Activation<L = Layer> {
    pub(super) layer: L,
    /// Where the windows are, for a pooling.
    pub(super) window: Option<Window>,
    /// Values that come out.
    pub(super) outputs: usize,
}

pub(super) enum Planned {
    /// By the number of the product.
    Product(usize),
    /// By the number of the activation.
    Activation(usize),
    SumPool {
        window: Window,
        multiplier: i64,
    },
    Offset(i64),
    Fork,
    Turn,
    Join {
        body_shift: u32,
        shortcut_shift: u32,
    },
}

impl Plan {
    /// # Errors
    /// [`ProtocolError::Structure`] for a model that does not fit the terms, or a product of what is not opened.
    pub(super) fn new(structure: &Structure, terms: &Terms) -> Result<Self, ProtocolError> {
        terms.check_structure(structure)?;
        terms.check_outputs(structure)?;
        let inputs = structure.input.iter().product();
        if terms.gateway_layers == 0 {
            misfit("number of inputs", terms.inputs, inputs)?;
        }
        let mut walk = Walk {
            terms,
            plan: Self {
                opened: vec![inputs],
                products: Vec::new(),
                activations: Vec::new(),
                steps: Vec::new(),
                opens_input: false,
                largest: None,
                layers: Vec::new(),
            },
            current: (Some(0), inputs),
            waiting: Vec::new(),
        };
        structure.steps.iter().try_for_each(|step| walk.take(step))?;
        let mut plan = walk.plan;
        plan.opens_input = plan.products.iter().any(|product| product.input == 0);
        plan.largest = match (terms.output, structure.ending) {
            (Output::Scores, _) => None,
            (Output::ArgMax, Ending::Scores | Ending::ArgMax) => {
                let operation = nonlinear::Operation::ArgMax { classes: terms.outputs };
                plan.layers.push("arg-max".into());
                Some(terms.layer(operation, 0)?)
            }
        };
        Ok(plan)
    }
}

impl Plan {
    /// Numbers that are decrypted for an inference: the products' outputs.
    pub(super) fn revealed(&self) -> u64 {
        let outputs = |product: &Product| product.shape.output().iter().product::<usize>() as u64;
        self.products.iter().map(outputs).sum()
    }
}

/// Refuses a model that is not the job's.
pub(super) fn misfit(what: &str, expected: usize, got: usize) -> Result<(), ProtocolError> {
    match expected == got {
        true => Ok(()),
        false => Err(ProtocolError::Structure(format!(
            "the model's {what} is {got}, the job's {expected}"
        ))),
    }
}

impl Terms {
    /// Whether a model's numbers are as the job says.
    pub(super) fn check_structure(&self, structure: &Structure) -> Result<(), ProtocolError> {
        misfit("ring_bits", self.ring_bits as usize, structure.ring_bits as usize)?;
        misfit("fraction_bits", self.fraction_bits as usize, structure.fraction_bits as usize)
    }

    /// Whether what comes out of a model is what the job says.
    pub(super) fn check_outputs(&self, structure: &Structure) -> Result<(), ProtocolError> {
        misfit("number of outputs", self.outputs, structure.outputs()?)?;
        misfit(
            "number of bits after the point of outputs",
            self.score_bits as usize,
            structure.output_scale()? as usize,
        )
    }

    fn layer(&self, operation: nonlinear::Operation, truncation: u32) -> Result<Layer, ProtocolError> {
        let ring = Ring {
            bits: self.ring_bits as usize,
            truncation: truncation as usize,
        };
        let engine = match self.engine {
            Engine::Boolean => nonlinear::Engine::Boolean(cloven_mpc::circuit::Goal::FewAnds),
            Engine::BooleanLowDepth => nonlinear::Engine::Boolean(cloven_mpc::circuit::Goal::LowDepth),
            Engine::Garbled => nonlinear::Engine::Garbled,
        };
        Ok(Layer::new(operation, ring, engine, self.remotes.len() + 1)?)
    }
}

/// The opened value that the current one is, if it is one, and the length of the current one; the same of those that wait.
struct Walk<'a> {
    terms: &'a Terms,
    plan: Plan,
    current: (Option<usize>, usize),
    waiting: Vec<(Option<usize>, usize)>,
}

impl Walk<'_> {
    fn take(&mut self, step: &Step) -> Result<(), ProtocolError> {
        let unmatched = || ProtocolError::Structure("the model's residual blocks do not match".into());
        let planned = match step {
            Step::Linear { layer, shape } => {
                let input = self.current.0.ok_or_else(|| {
                    ProtocolError::Structure(format!("layer {layer} multiplies what no activation or truncation gave"))
                })?;
                self.current = (None, shape.output().iter().product());
                let of = self.number(layer);
                self.plan.products.push(Product {
                    shape: *shape,
                    input,
                    of,
                });
                Planned::Product(self.plan.products.len() - 1)
            }
            Step::SumPool { window, multiplier, .. } => {
                self.current = (None, window.outputs());
                Planned::SumPool {
                    window: *window,
                    multiplier: *multiplier,
                }
            }
            Step::Offset { value } => {
                self.current.0 = None;
                Planned::Offset(*value)
            }
            Step::NonLinear {
                layer,
                operation,
                truncation,
            } => self.activation(layer, *operation, *truncation)?,
            Step::Fork => {
                self.waiting.push(self.current);
                Planned::Fork
            }
            Step::Turn => {
                let top = self.waiting.last_mut().ok_or_else(unmatched)?;
                std::mem::swap(top, &mut self.current);
                Planned::Turn
            }
            Step::Join {
                body_shift,
                shortcut_shift,
            } => {
                let (_, length) = self.waiting.pop().ok_or_else(unmatched)?;
                self.current = (None, length);
                Planned::Join {
                    body_shift: *body_shift,
                    shortcut_shift: *shortcut_shift,
                }
            }
        };
        self.plan.steps.push(planned);
        Ok(())
    }

    /// The number of a layer of the model.
    fn number(&mut self, layer: &str) -> usize {
        let layers = &mut self.plan.layers;
        layers.iter().position(|known| known == layer).unwrap_or_else(|| {
            layers.push(layer.to_owned());
            layers.len() - 1
        })
    }

    fn activation(&mut self, name: &str, operation: Operation, truncation: u32) -> Result<Planned, ProtocolError> {
        let outputs = operation.outputs(self.current.1);
        let (operation, window) = circuit(operation);
        self.plan.opened.push(outputs);
        let opened = self.plan.opened.len() - 1;
        self.current = (Some(opened), outputs);
        let layer = self.terms.layer(operation, truncation)?;
        let of = self.number(name);
        self.plan.activations.push(Evaluated {
            activation: Activation { layer, window, outputs },
            opened,
            of,
        });
        Ok(Planned::Activation(self.plan.activations.len() - 1))
    }
}

/// An operation as the circuits know it, and where its windows are.
pub(super) fn circuit(operation: Operation) -> (nonlinear::Operation, Option<Window>) {
    match operation {
        Operation::Truncate => (nonlinear::Operation::Truncate, None),
        Operation::Relu => (nonlinear::Operation::Relu, None),
        Operation::MaxPool(window) => (nonlinear::Operation::MaxPool { window: window.values() }, Some(window)),
        Operation::MaxPoolRelu(window) => (nonlinear::Operation::MaxPoolRelu { window: window.values() }, Some(window)),
    }
}

impl<L> Activation<L> {
    /// The words of each output's window, one output after the other. A window that reaches beyond the plane has its first word again instead: that changes
    /// no maximum.
    pub(super) fn words(&self, values: &[u64]) -> Vec<u64> {
        let Some(window) = self.window else { return values.to_vec() };
        let mut words = Vec::with_capacity(window.outputs() * window.values());
        for places in window.places() {
            let end = words.len() + window.values();
            words.extend(places.map(|place| values[place]));
            let first = words[end - window.values()];
            words.resize(end, first);
        }
        words
    }
}
