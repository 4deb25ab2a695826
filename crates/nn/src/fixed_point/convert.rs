//! From real numbers to integer steps: scales, roundings, and where to truncate.

use ndarray::ArrayD;

use super::layers::{Kind, Linear, Plain, linear_before, read};
use super::{Ending, FixedModel, LinearWeights, Operation, Ring, Step, Structure, Window, quantised};
use crate::{ModelError, ModelSpec};

impl FixedModel {
    /// The model with these trained parameters and running statistics, named and laid out as [`crate::Network::parameters`] and
    /// [`crate::Network::buffers`] (both in one list, in any order), modulo 2^`ring_bits` with `fraction_bits` bits after the point.
    ///
    /// Layers: `dense`, `conv2d`, `avg-pool2d`, `max-pool2d`, `global-avg-pool2d`, `relu`, `batch-norm` (after a product), `flatten`, `dropout`
    /// (left out), `residual`; a `sigmoid` at the very end is left out: what comes out are scores. A division by the size of a window becomes
    /// bits of the next truncation where the size is a power of two; else it goes into the weights of the product before the pool, or becomes a
    /// public factor.
    ///
    /// # Errors
    /// [`ModelError::Layer`] for another layer, [`ModelError::Parameter`] for parameters that are not the model's, [`ModelError::FixedPoint`] for
    /// numbers of bits out of range or weights that do not fit them.
    pub fn convert(
        model: &ModelSpec,
        arrays: &[(String, ArrayD<f32>)],
        ring_bits: u32,
        fraction_bits: u32,
        ending: Ending,
    ) -> Result<Self, ModelError> {
        Plan::read(model, arrays, ring_bits, ending)?.at(fraction_bits)
    }
}

/// A model that has only to be told its number of fraction bits.
pub(super) struct Plan {
    input: Vec<usize>,
    /// Layers of the model, those that need no step among them.
    layers: usize,
    ring_bits: u32,
    ending: Ending,
    steps: Vec<Plain>,
}

impl Plan {
    pub fn read(model: &ModelSpec, arrays: &[(String, ArrayD<f32>)], ring_bits: u32, ending: Ending) -> Result<Self, ModelError> {
        Ring::new(ring_bits)?;
        Ok(Self {
            input: model.input.clone(),
            layers: model.layers.len(),
            ring_bits,
            ending,
            steps: divisions(read(model, arrays)?),
        })
    }

    pub fn at(&self, fraction_bits: u32) -> Result<FixedModel, ModelError> {
        let structure = Structure {
            input: self.input.clone(),
            input_scale: None,
            ring_bits: self.ring_bits,
            fraction_bits,
            steps: Vec::new(),
            layer_ends: Vec::new(),
            ending: self.ending,
        };
        // Impossible numbers of bits are refused before anything is computed with them.
        Structure {
            ending: Ending::Scores,
            ..structure.clone()
        }
        .check()?;
        let mut writing = Writing {
            scale: fraction_bits,
            waiting: Vec::new(),
            model: FixedModel {
                structure,
                weights: Vec::new(),
            },
        };
        for (number, step) in self.steps.iter().enumerate() {
            let begun = writing.model.structure.steps.len();
            writing.step(step, &self.steps[number + 1..])?;
            let Structure { steps, layer_ends, .. } = &mut writing.model.structure;
            // A residual block writes its end several times, the last of which counts.
            layer_ends.resize(step.number(), begun);
            layer_ends.push(steps.len());
        }
        let all = writing.model.structure.steps.len();
        writing.model.structure.layer_ends.resize(self.layers, all);
        writing.model.structure.check()?;
        Ok(writing.model)
    }
}

/// Takes the divisions of averages into the products before them, as far as bits cannot do it: what remains is a division by a power of two.
fn divisions(mut steps: Vec<Plain>) -> Vec<Plain> {
    for number in 0..steps.len() {
        let (before, here) = steps.split_at_mut(number);
        if let Kind::AvgPool(window) = here[0].kind
            && let Some(linear) = linear_before(before)
        {
            let size = window.values();
            linear.scale(|_| 2f64.powi(bits_for(size) as i32) / size as f64);
            // An average whose division the product has, but for bits.
            here[0].kind = Kind::SumPool(window);
        }
    }
    steps
}

/// The fewest bits that can count to `size`.
fn bits_for(size: usize) -> u32 {
    size.next_power_of_two().ilog2()
}

struct Writing {
    /// Of the current values.
    scale: u32,
    /// Of the branches that wait.
    waiting: Vec<u32>,
    model: FixedModel,
}

impl Writing {
    fn fraction(&self) -> u32 {
        self.model.structure.fraction_bits
    }

    fn push(&mut self, step: Step) {
        self.model.structure.steps.push(step);
    }

    fn step(&mut self, Plain { layer, kind }: &Plain, after: &[Plain]) -> Result<(), ModelError> {
        match kind {
            Kind::Linear(linear) => self.linear(layer, linear)?,
            Kind::SumPool(window) => self.sum_pool(*window, 1, bits_for(window.values())),
            Kind::AvgPool(window) => self.average(layer, *window),
            Kind::MaxPool(window) => self.non_linear(layer, Operation::MaxPool(*window)),
            Kind::MaxPoolRelu(window) => self.non_linear(layer, Operation::MaxPoolRelu(*window)),
            Kind::Relu => self.non_linear(layer, Operation::Relu),
            Kind::Fork => {
                if begins_linear(after) {
                    self.truncate(layer);
                }
                self.waiting.push(self.scale);
                self.push(Step::Fork);
            }
            Kind::Turn => {
                if let Some(waiting) = self.waiting.last_mut() {
                    std::mem::swap(waiting, &mut self.scale);
                }
                self.push(Step::Turn);
            }
            Kind::Join => {
                let (body, shortcut) = (self.waiting.pop().unwrap_or(self.scale), self.scale);
                self.scale = body.max(shortcut);
                self.push(Step::Join {
                    body_shift: self.scale - body,
                    shortcut_shift: self.scale - shortcut,
                });
            }
        }
        Ok(())
    }

    fn linear(&mut self, layer: &str, linear: &Linear) -> Result<(), ModelError> {
        self.truncate(layer);
        let (fraction, ring) = (self.fraction(), self.model.structure.ring_bits);
        self.scale = 2 * fraction;
        let integers = |name: &str, numbers: &[f64], scale: u32| -> Result<Vec<i64>, ModelError> {
            let what = format!("{layer}.{name}");
            numbers.iter().map(|x| quantised(&what, *x, scale, ring)).collect()
        };
        self.model.weights.push(LinearWeights {
            weight: integers("weight", &linear.weight, fraction)?,
            bias: integers("bias", &linear.bias, self.scale)?,
        });
        self.push(Step::Linear {
            layer: layer.to_owned(),
            shape: linear.shape,
        });
        Ok(())
    }

    fn sum_pool(&mut self, window: Window, multiplier: i64, scale_bits: u32) {
        self.scale += scale_bits;
        self.push(Step::SumPool {
            window,
            multiplier,
            scale_bits,
        });
    }

    fn average(&mut self, layer: &str, window: Window) {
        let (size, least) = (window.values(), bits_for(window.values()));
        if size.is_power_of_two() {
            return self.sum_pool(window, 1, least);
        }
        // The factor needs bits of its own: better on few than on top of a product's.
        self.truncate(layer);
        // The fewest bits that make the factor as exact as a value is; with as many as the fraction has beyond the size, it is.
        let factor = |bits: u32| (2f64.powi(bits as i32) / size as f64).round();
        let error = |bits: u32| (factor(bits) * size as f64 / 2f64.powi(bits as i32) - 1.0).abs();
        let (most, enough) = (least + self.fraction(), 0.5f64.powi(self.fraction() as i32));
        let bits = (least..most).find(|bits| error(*bits) <= enough).unwrap_or(most);
        self.sum_pool(window, factor(bits) as i64, bits);
    }

    fn truncate(&mut self, layer: &str) {
        if self.scale != self.fraction() {
            self.non_linear(layer, Operation::Truncate);
        }
    }

    fn non_linear(&mut self, layer: &str, operation: Operation) {
        let truncation = self.scale - self.fraction();
        self.scale = self.fraction();
        if truncation > 0 {
            self.add_half(1 << (truncation - 1));
        }
        self.push(Step::NonLinear {
            layer: layer.to_owned(),
            operation,
            truncation,
        });
    }

    /// Adds a number to all values: in the bias of the product before, where there is one that nobody else uses.
    fn add_half(&mut self, half: i64) {
        let steps = &self.model.structure.steps;
        let share = match steps.as_slice() {
            [.., Step::Linear { .. }] => Some(half),
            [
                ..,
                Step::Linear { .. },
                Step::SumPool {
                    window, multiplier: 1, ..
                },
            ] => {
                let size = window.values() as i64;
                (half % size == 0).then_some(half / size)
            }
            _ => None,
        };
        match (share, self.model.weights.last_mut()) {
            (Some(share), Some(linear)) => linear.bias.iter_mut().for_each(|bias| *bias += share),
            _ => self.push(Step::Offset { value: half }),
        }
    }
}

/// Whether the body or the shortcut of a block begins with a product; `steps` are those after the fork.
fn begins_linear(steps: &[Plain]) -> bool {
    let is_linear = |step: Option<&Plain>| step.is_some_and(|step| matches!(step.kind, Kind::Linear(_)));
    let mut depth = 0;
    let turn = steps.iter().position(|step| {
        depth += match step.kind {
            Kind::Fork => 1,
            Kind::Join => -1,
            _ => 0,
        };
        depth == 0 && matches!(step.kind, Kind::Turn)
    });
    is_linear(steps.first()) || turn.is_some_and(|turn| is_linear(steps.get(turn + 1)))
}
