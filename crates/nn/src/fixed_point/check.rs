//! Whether a structure is possible: shapes, scales and sizes, whoever wrote it.

use super::window::product;
use super::{Ending, Operation, Ring, Step, Structure, fixed_error};
use crate::{LinearShape, MAX_LAYERS, MAX_NESTING, MAX_PARAMETERS, MAX_SAMPLE_VALUES, ModelError};

/// Most steps: a layer may need a product, a sum, an offset and a truncation.
const MAX_STEPS: usize = 4 * MAX_LAYERS;
/// Most bits of a fraction.
const MAX_FRACTION: u32 = 20;
/// Longest place of a layer.
const MAX_PLACE: usize = 100;

/// Where a computation stands: the number of values of a sample, and their scale.
#[derive(Clone, Copy, PartialEq, Eq)]
struct At {
    values: usize,
    scale: u32,
}

/// A residual block in which the computation stands.
#[derive(Clone, Copy)]
enum Open {
    /// In the body; the block's input.
    Body(At),
    /// In the shortcut; the body's output.
    Shortcut(At),
}

impl Structure {
    /// Number of values of a sample before each step, and last before the [`Ending`].
    ///
    /// # Errors
    /// As [`Structure::check`].
    pub fn sizes(&self) -> Result<Vec<usize>, ModelError> {
        Ok(self.along()?.into_iter().map(|at| at.values).collect())
    }

    /// Scale of the values before each step, and last before the [`Ending`].
    ///
    /// # Errors
    /// As [`Structure::check`].
    pub fn scales(&self) -> Result<Vec<u32>, ModelError> {
        Ok(self.along()?.into_iter().map(|at| at.scale).collect())
    }

    /// The last of [`Structure::scales`]: that of scores.
    ///
    /// # Errors
    /// As [`Structure::check`].
    pub fn output_scale(&self) -> Result<u32, ModelError> {
        Ok(self.scales()?.pop().unwrap_or(self.fraction_bits))
    }

    /// The last of [`Structure::sizes`]: the number of scores.
    ///
    /// # Errors
    /// As [`Structure::check`].
    pub fn outputs(&self) -> Result<usize, ModelError> {
        Ok(self.sizes()?.pop().unwrap_or(0))
    }

    /// Checks that the steps fit each other and are within the limits of this crate, so that an evaluation can neither fail nor need much more
    /// memory than the limits say.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] at the first thing that is not so.
    pub fn check(&self) -> Result<(), ModelError> {
        self.along().map(|_| ())
    }

    /// Where the computation stands before each step and at the end.
    fn along(&self) -> Result<Vec<At>, ModelError> {
        let mut at = self.start()?;
        self.check_layer_ends()?;
        let (mut places, mut open, mut parameters) = (vec![at], Vec::new(), 0usize);
        for (number, step) in self.steps.iter().enumerate() {
            let what = || format!("step {number}");
            at = self.after(step, at, &mut open).map_err(|error| within(what(), error))?;
            if at.scale >= self.ring_bits {
                return Err(fixed_error(what(), format!("a scale below {}", self.ring_bits), at.scale));
            }
            if let Step::Linear { shape, .. } = step {
                // Neither overflows: `after` has checked the shape.
                parameters += shape.weight().iter().product::<usize>() + shape.channels_out();
            }
            if parameters > MAX_PARAMETERS {
                return Err(fixed_error("weights", format!("at most {MAX_PARAMETERS} numbers"), "more"));
            }
            places.push(at);
        }
        match (open.len(), self.ending, at.values) {
            (0, Ending::ArgMax, 1) => Err(fixed_error("argmax", "at least 2 values", 1)),
            (0, ..) => Ok(places),
            (blocks, ..) => Err(fixed_error("residual blocks", "an end for each", format!("{blocks} without"))),
        }
    }

    /// Where the computation stands at the input.
    fn start(&self) -> Result<At, ModelError> {
        self.ring()?;
        if !(1..=MAX_FRACTION).contains(&self.fraction_bits) {
            let expected = format!("1 to {MAX_FRACTION}");
            return Err(fixed_error("fraction bits", expected, self.fraction_bits));
        }
        if self.steps.len() > MAX_STEPS {
            return Err(fixed_error("steps", format!("at most {MAX_STEPS}"), self.steps.len()));
        }
        let values = product(&self.input).filter(|values| (1..=MAX_SAMPLE_VALUES).contains(values));
        let (Some(values), 1..=3) = (values, self.input.len()) else {
            let expected = format!("1 to 3 axes and at most {MAX_SAMPLE_VALUES} values");
            return Err(fixed_error("input", expected, format!("{:?}", self.input)));
        };
        match self.input_scale {
            None => Ok(At {
                values,
                scale: self.fraction_bits,
            }),
            Some(scale) if scale < self.ring_bits => Ok(At { values, scale }),
            Some(scale) => Err(fixed_error("input", format!("a scale below {}", self.ring_bits), scale)),
        }
    }

    fn check_layer_ends(&self) -> Result<(), ModelError> {
        let ends = &self.layer_ends;
        let last = ends.last().is_none_or(|last| *last == self.steps.len());
        match ends.len() <= MAX_LAYERS && ends.is_sorted() && last {
            true => Ok(()),
            false => Err(fixed_error(
                "ends of layers",
                "rising numbers of steps, the last of all",
                "others",
            )),
        }
    }

    /// Where the computation stands after a step.
    fn after(&self, step: &Step, at: At, open: &mut Vec<Open>) -> Result<At, ModelError> {
        match *step {
            Step::Linear { ref layer, shape } => {
                check_place(layer)?;
                check_shape(shape)?;
                takes(shape.input().iter().product(), at)?;
                Ok(At {
                    values: shape.output().iter().product(),
                    scale: at.scale + self.fraction_bits,
                })
            }
            Step::SumPool {
                window,
                multiplier,
                scale_bits,
            } => {
                window.check()?;
                takes(window.inputs(), at)?;
                if window.padding != 0 || !(1..1 << Ring::MIN_BITS).contains(&multiplier) || scale_bits >= self.ring_bits {
                    let actual = format!("padding {}, {multiplier}, {scale_bits}", window.padding);
                    return Err(fixed_error("sum", "no padding, a positive multiplier, few bits", actual));
                }
                Ok(At {
                    values: window.outputs(),
                    scale: at.scale + scale_bits,
                })
            }
            Step::Offset { value } if value.unsigned_abs() >> (self.ring_bits - 1) != 0 => Err(fixed_error(
                "offset",
                format!("a number below 2^{}", self.ring_bits - 1),
                value,
            )),
            Step::Offset { .. } => Ok(at),
            Step::NonLinear {
                ref layer,
                operation,
                truncation,
            } => {
                check_place(layer)?;
                self.after_non_linear(operation, truncation, at)
            }
            Step::Fork if open.len() == MAX_NESTING => {
                let expected = format!("at most {MAX_NESTING} inside each other");
                Err(fixed_error("residual blocks", expected, "more"))
            }
            Step::Fork => {
                open.push(Open::Body(at));
                Ok(at)
            }
            Step::Turn => match open.pop() {
                Some(Open::Body(input)) => {
                    open.push(Open::Shortcut(at));
                    Ok(input)
                }
                _ => Err(fixed_error("turn", "a body before it", "none")),
            },
            Step::Join {
                body_shift,
                shortcut_shift,
            } => joined(open.pop(), body_shift, at, shortcut_shift),
        }
    }

    fn after_non_linear(&self, operation: Operation, truncation: u32, at: At) -> Result<At, ModelError> {
        if let Operation::MaxPool(window) | Operation::MaxPoolRelu(window) = operation {
            window.check()?;
            takes(window.inputs(), at)?;
        }
        if truncation.checked_add(self.fraction_bits) != Some(at.scale) {
            let expected = format!("{} less the fraction's {}", at.scale, self.fraction_bits);
            return Err(fixed_error("truncation", expected, truncation));
        }
        Ok(At {
            values: operation.outputs(at.values),
            scale: self.fraction_bits,
        })
    }
}

/// After a block whose body has ended and whose shortcut has come to `shortcut`.
fn joined(open: Option<Open>, body_shift: u32, shortcut: At, shortcut_shift: u32) -> Result<At, ModelError> {
    let Some(Open::Shortcut(body)) = open else {
        return Err(fixed_error("join", "a shortcut before it", "none"));
    };
    let shifted = |at: At, shift: u32| At {
        scale: at.scale.saturating_add(shift),
        ..at
    };
    let (body, shortcut) = (shifted(body, body_shift), shifted(shortcut, shortcut_shift));
    match body == shortcut {
        true => Ok(body),
        false => Err(fixed_error("join", "as many values at the same scale", "others")),
    }
}

fn takes(values: usize, at: At) -> Result<(), ModelError> {
    match values == at.values {
        true => Ok(()),
        false => Err(fixed_error("input", format!("{values} values"), at.values)),
    }
}

fn check_place(layer: &str) -> Result<(), ModelError> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    match layer.len() <= MAX_PLACE && layer.chars().all(known) {
        true => Ok(()),
        false => Err(fixed_error("layer", "a place such as 3.body.0", "another text")),
    }
}

fn check_shape(shape: LinearShape) -> Result<(), ModelError> {
    let most = MAX_SAMPLE_VALUES;
    let small = |numbers: &[usize]| numbers.iter().all(|number| (1..=most).contains(number));
    let possible = match shape {
        LinearShape::Dense { inputs, outputs } => small(&[inputs, outputs]),
        LinearShape::Convolution {
            channels,
            image,
            kernel,
            stride,
            padding,
        } => {
            let fits = small(&[channels[0], channels[1], image[0], image[1], kernel, stride])
                && padding < kernel
                && image.iter().all(|length| kernel <= length + 2 * padding);
            // Windows laid out side by side are the largest thing that a product makes.
            fits && product(&shape.output()[1..])
                .and_then(|positions| product(&[positions, channels[0], kernel, kernel]))
                .is_some_and(|values| values <= MAX_PARAMETERS)
        }
    };
    let within = |shape: &[usize], most: usize| product(shape).is_some_and(|values| values <= most);
    match possible && within(&shape.input(), most) && within(&shape.output(), most) && within(&shape.weight(), MAX_PARAMETERS) {
        true => Ok(()),
        false => Err(fixed_error("product", "possible sizes", format!("{shape:?}"))),
    }
}

/// The same error, which also says where.
fn within(place: String, error: ModelError) -> ModelError {
    match error {
        ModelError::FixedPoint { what, expected, actual } => ModelError::FixedPoint {
            what: format!("{place}, {what}"),
            expected,
            actual,
        },
        other => other,
    }
}
