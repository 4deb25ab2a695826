//! The layers of a network as a straight line of steps over a current batch and a stack of branches, so that a pass can stop anywhere, inside a
//! residual block too: y = body(x) + shortcut(x), dx = both branches' dx.

use super::batch::Batch;
use super::buffer::Buffer;
use super::layer::{InputGradient, Layer};
use super::parameter::Parameter;

/// The steps, first to last; without any, what comes in goes out.
pub struct Program(Vec<Step>);

/// One step.
pub enum Step {
    Layer(Box<dyn Layer>),
    /// A residual block begins: its input is kept for the shortcut, and the body goes on with it.
    Fork,
    /// The body has ended: its output is kept, and the shortcut goes on with the block's input.
    Turn,
    /// The shortcut has ended: the two are added.
    Join,
}

/// What waits while the other branch of a residual block is gone through.
#[derive(Default)]
pub struct Branches(Vec<Batch>);

/// As [`Branches`], on the way back, where a gradient may not be needed.
#[derive(Default)]
pub struct Gradients(Vec<Option<Batch>>);

const FORKED: &str = "every turn and join comes after a fork";

impl Step {
    /// As [`Layer::forward`].
    pub fn forward(&self, x: Batch, branches: &mut Branches) -> Batch {
        match self {
            Self::Layer(layer) => layer.forward(x),
            _ => self.lead(x, branches),
        }
    }

    /// As [`Layer::forward_train`].
    pub fn forward_train(&mut self, step: u64, x: Batch, branches: &mut Branches) -> Batch {
        match self {
            Self::Layer(layer) => layer.forward_train(step, x),
            _ => self.lead(x, branches),
        }
    }

    fn lead(&self, x: Batch, Branches(waiting): &mut Branches) -> Batch {
        match self {
            Self::Layer(_) => x,
            Self::Fork => {
                waiting.push(x.clone());
                x
            }
            Self::Turn => std::mem::replace(waiting.last_mut().expect(FORKED), x),
            Self::Join => waiting.pop().expect(FORKED) + x,
        }
    }

    /// As [`Layer::backward`], where `needed` says whether anybody has a use for dLoss/dInput of this step.
    pub fn backward(&mut self, dy: Option<Batch>, needed: bool, Gradients(waiting): &mut Gradients) -> Option<Batch> {
        match self {
            Self::Layer(layer) if needed => layer.backward(dy?, InputGradient::Wanted),
            Self::Layer(layer) if !layer.parameters().is_empty() => layer.backward(dy?, InputGradient::NotWanted),
            Self::Layer(_) => None,
            Self::Join => {
                waiting.push(dy.clone());
                dy
            }
            Self::Turn => std::mem::replace(waiting.last_mut().expect(FORKED), dy),
            Self::Fork => {
                let shortcut = waiting.pop().expect(FORKED);
                Some(dy? + shortcut?)
            }
        }
    }

    /// The layer, if the step is one.
    pub fn layer(&self) -> Option<&dyn Layer> {
        match self {
            Self::Layer(layer) => Some(&**layer),
            _ => None,
        }
    }

    /// As [`Step::layer`], to change it.
    pub fn layer_mut(&mut self) -> Option<&mut Box<dyn Layer>> {
        match self {
            Self::Layer(layer) => Some(layer),
            _ => None,
        }
    }
}

impl Program {
    pub fn new(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// As [`Layer::forward`].
    pub fn forward(&self, x: Batch) -> Batch {
        let branches = &mut Branches::default();
        self.0.iter().fold(x, |x, step| step.forward(x, branches))
    }

    /// As [`Layer::forward_train`].
    pub fn forward_train(&mut self, number: u64, x: Batch) -> Batch {
        let branches = &mut Branches::default();
        self.0.iter_mut().fold(x, |x, step| step.forward_train(number, x, branches))
    }

    /// As [`Layer::backward`]: goes back through the layers, no further than somebody needs.
    pub fn backward(&mut self, gradient: Batch, input_gradient: InputGradient) -> Option<Batch> {
        let (needed, branches) = (self.needed(input_gradient), &mut Gradients::default());
        let mut dy = Some(gradient);
        // None is no end: the other branch of a residual block may still have a gradient.
        for (step, needed) in self.0.iter_mut().zip(needed).rev() {
            dy = step.backward(dy, needed, branches);
        }
        dy.filter(|_| input_gradient == InputGradient::Wanted)
    }

    /// For each step, whether dLoss/dInput of it is needed: wanted at the input, or by a layer before it that learns.
    pub fn needed(&self, input_gradient: InputGradient) -> Vec<bool> {
        let (mut above, mut waiting) = (input_gradient == InputGradient::Wanted, Vec::new());
        let needed = self.0.iter().map(|step| {
            let needed = above;
            match step {
                Step::Layer(layer) => above |= !layer.parameters().is_empty(),
                Step::Fork => waiting.push(above),
                Step::Turn => std::mem::swap(waiting.last_mut().expect(FORKED), &mut above),
                Step::Join => above |= waiting.pop().expect(FORKED),
            }
            needed
        });
        needed.collect()
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    pub fn steps_mut(&mut self) -> &mut [Step] {
        &mut self.0
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.layers().flat_map(|layer| layer.parameters())
    }

    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.layers_mut().flat_map(|layer| layer.parameters_mut())
    }

    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.layers().flat_map(|layer| layer.buffers())
    }

    pub fn buffers_mut(&mut self) -> impl Iterator<Item = &mut Buffer> {
        self.layers_mut().flat_map(|layer| layer.buffers_mut())
    }

    /// The first [`Layer::needs_rows`].
    pub fn needs_rows(&self) -> Option<&str> {
        self.layers().find_map(|layer| layer.needs_rows())
    }

    fn layers(&self) -> impl Iterator<Item = &dyn Layer> {
        self.0.iter().filter_map(Step::layer)
    }

    fn layers_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Layer>> {
        self.0.iter_mut().filter_map(Step::layer_mut)
    }
}
