//! Numbers to fixed-point integers, and integers to plaintexts.

use cloven_ring::{Coefficients, Poly};

use crate::{LatticeError, Parameters};

/// Bits below which data are rounded; a larger scale is reached by an exact multiplication, since f32 data hold no more.
pub(super) const ROUNDED: u32 = 44;

/// Integers that stand for numbers at one scale, at no more than [`ROUNDED`] bits.
pub(super) struct Integers {
    pub(super) values: Vec<i64>,
    /// By how many bits they are still to be multiplied.
    pub(super) lift: u32,
}

impl Integers {
    /// Rounds at scale 2^`scale`; the integers must stay below a quarter of the modulus.
    pub(super) fn new(what: &'static str, numbers: &[f32], scale: u32, parameters: &Parameters) -> Result<Self, LatticeError> {
        let lift = scale.saturating_sub(ROUNDED);
        let log2_bound = parameters.log2_modulus() as i32 - 2 - lift as i32;
        let values = fixed(what, numbers, scale - lift, log2_bound)?;
        Ok(Self { values, lift })
    }
}

/// The plaintext with the given coefficients times 2^`lift`.
pub(super) fn lifted(parameters: &Parameters, coefficients: &[i64], lift: u32) -> Result<Poly<Coefficients>, LatticeError> {
    let basis = parameters.basis();
    let mut plaintext = Poly::from_signed(basis, coefficients)?;
    if lift > 0 {
        let factors: Vec<u64> = basis.moduli().iter().map(|m| m.pow(2, lift.into())).collect();
        plaintext.scale_assign(&factors)?;
    }
    Ok(plaintext)
}

/// Rounds numbers to integers at scale 2^`scale`, which must stay below 2^`log2_bound` and 2^62.
pub(super) fn fixed(what: &'static str, values: &[f32], scale: u32, log2_bound: i32) -> Result<Vec<i64>, LatticeError> {
    let factor = 2f64.powi(scale as i32);
    let bound = 2f64.powi(log2_bound.min(62));
    // Added and taken away again, it leaves a number below 2^51 rounded to an integer; larger ones, from f32, are integers already.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let round = |(position, &value): (usize, &f32)| {
        let scaled = f64::from(value) * factor;
        match scaled.abs() < bound {
            true => Ok((scaled + MAGIC - MAGIC) as i64),
            false => Err(LatticeError::Range {
                what,
                position,
                value: value.into(),
                bound: bound / factor,
            }),
        }
    };
    values.iter().enumerate().map(round).collect()
}

/// Rows of `width` numbers in `values`: at least one, all whole.
pub(super) fn rows_of(what: &'static str, values: &[f32], width: usize) -> Result<usize, LatticeError> {
    let rows = values.len().div_ceil(width).max(1);
    check_size(what, rows * width, values.len())?;
    Ok(rows)
}

/// Refuses another number of numbers.
pub(crate) fn check_size(what: &'static str, expected: usize, actual: usize) -> Result<(), LatticeError> {
    match expected == actual {
        true => Ok(()),
        false => Err(LatticeError::Size { what, expected, actual }),
    }
}
