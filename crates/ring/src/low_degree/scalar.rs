//! The reference kernel: one butterfly at a time, 128-bit sums.

use super::{Argument, Chunk, Lanes};
use crate::Modulus;

/// Evaluates the factors of a chunk and adds their products to the partial sums, each two words.
pub(super) fn run(chunk: &Chunk<'_>, roots: &[u64], evaluated: &mut [Lanes], partial: &mut [Lanes]) {
    let factors = chunk.factors.chunks_exact(chunk.coefficients);
    for (factor, values) in factors.zip(evaluated.chunks_exact_mut(chunk.stride())) {
        for (block, values) in values.chunks_exact_mut(chunk.coefficients).enumerate() {
            values.copy_from_slice(factor);
            transform(chunk, roots, chunk.first_slot + block * chunk.coefficients, values);
        }
    }
    let terms = evaluated
        .chunks_exact(chunk.stride())
        .zip(chunk.panel.chunks_exact(2 * chunk.tile));
    for (values, panel) in terms {
        for (index, sum) in partial.as_chunks_mut::<2>().0[..2 * chunk.tile].iter_mut().enumerate() {
            let (slot, half) = (index / 2, index % 2);
            let at = match chunk.argument {
                Argument::Plain => slot,
                Argument::Inverse => chunk.tile - 1 - slot,
            };
            let (value, input) = (&values[at % values.len()], panel[half * chunk.tile + slot]);
            add(sum, value, input);
        }
    }
}

/// A product is below 2^100 and there are at most 2^10: a sum stays below 2^110.
fn add([low, high]: &mut [Lanes; 2], value: &Lanes, input: u64) {
    for ((low, high), value) in low.0.iter_mut().zip(&mut high.0).zip(value.0) {
        let sum = (u128::from(*high) << 64 | u128::from(*low)) + u128::from(value) * u128::from(input);
        (*low, *high) = (sum as u64, (sum >> 64) as u64);
    }
}

/// The last stages of a transform on the block of slots from `first` on.
fn transform(chunk: &Chunk<'_>, roots: &[u64], first: usize, values: &mut [Lanes]) {
    let mut half = values.len() / 2;
    while half > 0 {
        let roots = &roots[(chunk.degree + first) / (2 * half)..];
        for (group, &root) in values.chunks_exact_mut(2 * half).zip(roots) {
            let (left, right) = group.split_at_mut(half);
            let pairs = left.iter_mut().zip(right).flat_map(|(x, y)| x.0.iter_mut().zip(&mut y.0));
            for (x, y) in pairs {
                let product = chunk.modulus.mul(root, *y);
                (*x, *y) = (chunk.modulus.add(*x, product), chunk.modulus.sub(*x, product));
            }
        }
        half /= 2;
    }
}

pub(super) fn reduce(modulus: &Modulus, partial: &[Lanes], sums: &mut [Lanes]) {
    for ([low, high], sum) in partial.as_chunks::<2>().0.iter().zip(sums) {
        for ((low, high), sum) in low.0.iter().zip(&high.0).zip(&mut sum.0) {
            let wide = u128::from(*high) << 64 | u128::from(*low);
            *sum = (wide % u128::from(modulus.value())) as u64;
        }
    }
}

/// Adds reduced sums, `[slot][half]`, to the slots of one half of the outputs from `start` on.
pub(super) fn add_to(modulus: &Modulus, sums: &[Lanes], half: usize, start: usize, outputs: &mut [[&mut [u64]; 2]]) {
    for (lane, output) in outputs.iter_mut().enumerate() {
        let slots = output[half][start..].iter_mut().zip(sums.as_chunks::<2>().0);
        slots.for_each(|(slot, sums)| *slot = modulus.add(*slot, sums[half].0[lane]));
    }
}
