//! A slow evaluation in wide integers by definitions, reduced modulo 2^k after each step. It shares nothing with the fast one but the structure.

use super::*;

/// The number of the class of `value` that lies in -2^(k-1)..2^(k-1).
fn reduced(value: i128, bits: u32) -> i128 {
    let modulus = 1i128 << bits;
    let rest = value.rem_euclid(modulus);
    if rest >= modulus / 2 { rest - modulus } else { rest }
}

fn floor_of(value: i128, truncation: u32) -> i128 {
    value.div_euclid(1 << truncation)
}

/// The values of each window, in any order.
fn windows(window: Window, x: &[i128]) -> Vec<Vec<i128>> {
    let [channels, height, width] = window.image.map(|n| n as isize);
    let [down, across] = window.size.map(|n| n as isize);
    let (stride, padding) = (window.stride as isize, window.padding as isize);
    let mut found = Vec::new();
    for channel in 0..channels {
        let mut top = -padding;
        while top + down <= height + padding {
            let mut left = -padding;
            while left + across <= width + padding {
                let mut values = Vec::new();
                for row in top..top + down {
                    for column in left..left + across {
                        if (0..height).contains(&row) && (0..width).contains(&column) {
                            values.push(x[((channel * height + row) * width + column) as usize]);
                        }
                    }
                }
                found.push(values);
                left += stride;
            }
            top += stride;
        }
    }
    found
}

fn product(shape: LinearShape, weight: &[i64], bias: &[i64], x: &[i128]) -> Vec<i128> {
    match shape {
        LinearShape::Dense { inputs, outputs } => (0..outputs)
            .map(|o| (0..inputs).map(|i| i128::from(weight[o * inputs + i]) * x[i]).sum::<i128>() + i128::from(bias[o]))
            .collect(),
        LinearShape::Convolution {
            channels: [from, to],
            image: [height, width],
            kernel,
            stride,
            padding,
        } => {
            let mut output = Vec::new();
            for o in 0..to {
                for row in 0..(height + 2 * padding - kernel) / stride + 1 {
                    for column in 0..(width + 2 * padding - kernel) / stride + 1 {
                        let mut sum = i128::from(bias[o]);
                        for c in 0..from {
                            for down in 0..kernel {
                                for right in 0..kernel {
                                    let (y, z) = (row * stride + down, column * stride + right);
                                    if y >= padding && z >= padding && y - padding < height && z - padding < width {
                                        let weight = weight[((o * from + c) * kernel + down) * kernel + right];
                                        sum += i128::from(weight) * x[(c * height + y - padding) * width + z - padding];
                                    }
                                }
                            }
                        }
                        output.push(sum);
                    }
                }
            }
            output
        }
    }
}

pub fn evaluate(model: &FixedModel, sample: &[i64]) -> Vec<i64> {
    let structure = model.structure();
    let bits = structure.ring_bits;
    let mut x: Vec<i128> = sample.iter().map(|v| reduced(i128::from(*v), bits)).collect();
    let (mut linear, mut stack) = (0, Vec::new());
    for step in &structure.steps {
        x = match step {
            Step::Linear { shape, .. } => {
                let (weight, bias) = model.weights().nth(linear).unwrap();
                linear += 1;
                product(*shape, weight, bias, &x)
            }
            Step::SumPool { window, multiplier, .. } => windows(*window, &x)
                .into_iter()
                .map(|values| values.into_iter().sum::<i128>() * i128::from(*multiplier))
                .collect(),
            Step::Offset { value } => x.iter().map(|v| v + i128::from(*value)).collect(),
            Step::NonLinear {
                operation, truncation, ..
            } => {
                let y: Vec<i128> = match operation {
                    Operation::Truncate => x,
                    Operation::Relu => x.iter().map(|v| if *v > 0 { *v } else { 0 }).collect(),
                    Operation::MaxPool(window) => windows(*window, &x).iter().map(|w| *w.iter().max().unwrap()).collect(),
                    Operation::MaxPoolRelu(window) => windows(*window, &x)
                        .iter()
                        .map(|w| *w.iter().max().unwrap().max(&0))
                        .collect(),
                };
                y.iter().map(|v| floor_of(*v, *truncation)).collect()
            }
            Step::Fork => {
                stack.push(x.clone());
                x
            }
            Step::Turn => {
                let input = stack.pop().unwrap();
                stack.push(x);
                input
            }
            Step::Join {
                body_shift,
                shortcut_shift,
            } => {
                let body = stack.pop().unwrap();
                let both = body.iter().zip(&x);
                both.map(|(b, s)| b * (1 << body_shift) + s * (1 << shortcut_shift)).collect()
            }
        };
        x = x.into_iter().map(|v| reduced(v, bits)).collect();
    }
    match structure.ending {
        Ending::Scores => x.into_iter().map(|v| v as i64).collect(),
        Ending::ArgMax => {
            let largest = x.iter().max().unwrap();
            vec![x.iter().position(|v| v == largest).unwrap() as i64]
        }
    }
}
