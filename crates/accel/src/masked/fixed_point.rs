//! Numbers in fixed point at power-of-two scales, and the bound that keeps a product from wrapping.
//!
//! A number x at scale 2^f is the integer round(x 2^f). By Cauchy and Schwarz an element of a product is at most the norm of a line of the left operand
//! times that of a line of the right one; rounding adds at most sqrt(depth)/2 to the norm of a line of integers. A product is decoded when that bound is at
//! most 2^[`PRODUCT_BITS`]: fx + fw + log2|y| <= 30 with |y| the bound, so that nothing wraps, whatever the operands.

use crate::{AccelError, Backend, Kind, Matrices, backend::vectorised, parallel};

/// Bits of the magnitude of a product in integers: half of the modulus has 30.65.
pub const PRODUCT_BITS: u32 = 30;

/// Largest magnitude of an operand in integers.
pub const MAX_OPERAND: i32 = 1 << 20;

/// A power of two by which numbers are multiplied before they are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scale(i32);

impl Scale {
    /// Largest magnitude of an exponent.
    pub const MAX: i32 = 100;

    /// 2^exponent.
    pub fn new(exponent: i32) -> Result<Self, AccelError> {
        match exponent.unsigned_abs() <= Self::MAX.unsigned_abs() {
            true => Ok(Self(exponent)),
            false => Err(AccelError::Exponent {
                max: Self::MAX,
                actual: exponent,
            }),
        }
    }

    /// The exponent.
    pub fn exponent(self) -> i32 {
        self.0
    }

    /// So many powers of two lower.
    pub fn lower(self, bits: u32) -> Result<Self, AccelError> {
        Self::new(self.0.saturating_sub_unsigned(bits))
    }

    /// The nearest scale to 2^exponent.
    fn clamped(exponent: f64) -> Self {
        Self(exponent.clamp(f64::from(-Self::MAX), f64::from(Self::MAX)) as i32)
    }

    fn factor(self) -> f64 {
        f64::from(self.0).exp2()
    }
}

/// Which factor of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// Sizes of the numbers of an operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norms {
    /// Largest magnitude.
    pub largest: f32,
    /// Largest Euclidean norm of a row.
    pub row: f64,
    /// Largest Euclidean norm of a column.
    pub column: f64,
}

/// What f32 sums of at most 2^17 squares can fall short by, twice over.
const SLACK: f64 = 1.01;

impl Norms {
    /// Of all matrices of a batch; fails on a number that is not finite.
    pub fn of(operand: &Matrices<f32>) -> Result<Self, AccelError> {
        let backend = Backend::best();
        let mut largest = 0f32;
        let (mut row, mut column) = (0f64, 0f64);
        for index in 0..operand.shape().batch {
            let (size, rows, columns) = squares(backend, operand.matrix(index), operand.shape().columns);
            largest = largest.max(size);
            row = max_or_nan(row, rows);
            column = max_or_nan(column, columns);
        }
        // A sum is not finite when a value is not, or when a square is beyond f32.
        if !row.is_finite() || !column.is_finite() {
            let finite = operand.values().iter().position(|value| !value.is_finite());
            if let Some(index) = finite {
                return Err(AccelError::NotFinite {
                    index,
                    actual: operand.values()[index],
                });
            }
            let bound = f64::from(largest) * (operand.shape().rows.max(operand.shape().columns) as f64).sqrt();
            return Ok(Self {
                largest,
                row: bound,
                column: bound,
            });
        }
        Ok(Self {
            largest,
            row: (row * SLACK).sqrt(),
            column: (column * SLACK).sqrt(),
        })
    }

    /// Of the lines that a product of this kind multiplies.
    fn of_lines(&self, kind: Kind, side: Side) -> f64 {
        match (kind, side) {
            (Kind::Forward, Side::Left) | (Kind::InputGradient, _) => self.row,
            (Kind::Forward, Side::Right) | (Kind::WeightGradient, _) => self.column,
        }
    }
}

vectorised! {
    /// Largest magnitude, and largest sum of squares of a row and of a column; columns longer than 2^16 in parts, which are added in f64.
    fn squares(values: &[f32], columns: usize) -> (f32, f64, f64) {
        const PART: usize = 1 << 16;
        let (mut largest, mut row) = (0f32, 0f64);
        let mut totals = vec![0f64; columns];
        let mut sums = vec![0f32; columns];
        for part in values.chunks((PART * columns).max(1)) {
            sums.fill(0.0);
            for line in part.chunks_exact(columns.max(1)) {
                let mut lanes = [0f32; 16];
                let mut sizes = [0f32; 16];
                let (groups, rest) = line.as_chunks::<16>();
                let (group_sums, rest_sums) = sums.as_chunks_mut::<16>();
                for (group, sums) in groups.iter().zip(group_sums) {
                    for lane in 0..16 {
                        let square = group[lane] * group[lane];
                        lanes[lane] += square;
                        sums[lane] += square;
                        sizes[lane] = sizes[lane].max(group[lane].abs());
                    }
                }
                for (value, sum) in rest.iter().zip(rest_sums) {
                    lanes[0] += value * value;
                    *sum += value * value;
                    sizes[0] = sizes[0].max(value.abs());
                }
                row = max_or_nan(row, lanes.iter().map(|lane| f64::from(*lane)).sum());
                largest = sizes.iter().fold(largest, |largest, size| largest.max(*size));
            }
            totals
                .iter_mut()
                .zip(&sums)
                .for_each(|(total, sum)| *total += f64::from(*sum));
        }
        (largest, row, totals.into_iter().fold(0.0, max_or_nan))
    }
}

/// The larger one; not a number stays so.
#[inline(always)]
fn max_or_nan(left: f64, right: f64) -> f64 {
    match left >= right || left.is_nan() {
        true => left,
        false => right,
    }
}

/// Bits of the largest element that a product can have in integers.
pub fn product_bits(kind: Kind, depth: usize, left: (&Norms, Scale), right: (&Norms, Scale)) -> f64 {
    let bits = |(norms, scale): (&Norms, Scale), side| {
        let norm = norms.of_lines(kind, side) * scale.factor();
        // Zeros are rounded to zeros.
        if norm == 0.0 {
            0.0
        } else {
            (norm + (depth as f64).sqrt() / 2.0).log2()
        }
    };
    bits(left, Side::Left) + bits(right, Side::Right)
}

/// Scales for both operands that give their lines about the same number of bits, all that the product leaves room for.
pub fn balanced_scales(kind: Kind, depth: usize, left: &Norms, right: &Norms) -> Result<(Scale, Scale), AccelError> {
    let half = f64::from(PRODUCT_BITS) / 2.0;
    let wanted = half - left.of_lines(kind, Side::Left).log2();
    let first = Scale::clamped(wanted.min(widest(left)).floor());
    Ok((first, fitting_scale(kind, depth, (left, first, Side::Left), right)?))
}

/// The largest scale of an operand beside another one, which is the factor named with it and whose scale is given.
pub fn fitting_scale(kind: Kind, depth: usize, given: (&Norms, Scale, Side), operand: &Norms) -> Result<Scale, AccelError> {
    let (norms, scale, side) = given;
    let ordered = |own: Scale| match side {
        Side::Left => ((norms, scale), (operand, own)),
        Side::Right => ((operand, own), (norms, scale)),
    };
    let mut own = Scale::clamped(widest(operand).floor());
    loop {
        let (left, right) = ordered(own);
        let bits = product_bits(kind, depth, left, right);
        if bits <= f64::from(PRODUCT_BITS) {
            return Ok(own);
        }
        if own.0 == -Scale::MAX {
            return Err(overflow(left.1, right.1, bits));
        }
        own.0 -= 1;
    }
}

/// log2 of the largest factor that keeps every number of an operand within [`MAX_OPERAND`].
fn widest(norms: &Norms) -> f64 {
    f64::from(MAX_OPERAND).log2() - f64::from(norms.largest).log2()
}

pub(crate) fn overflow(left: Scale, right: Scale, actual: f64) -> AccelError {
    AccelError::Scale {
        left: left.0,
        right: right.0,
        max: PRODUCT_BITS,
        actual,
    }
}

/// An operand in integers.
pub struct Quantised {
    integers: Matrices<i32>,
    scale: Scale,
    norms: Norms,
}

/// Elements of one task.
const PART: usize = 1 << 15;

impl Quantised {
    /// Every number times the scale, rounded to the nearest integer, ties to even; fails where one is beyond [`MAX_OPERAND`]. The norms are those of
    /// `operand` ([`Norms::of`]).
    pub fn new(operand: &Matrices<f32>, norms: Norms, scale: Scale) -> Result<Self, AccelError> {
        let (backend, factor) = (Backend::best(), scale.factor() as f32);
        let mut integers = vec![0; operand.shape().elements()];
        let parts = integers.chunks_mut(PART).zip(operand.values().chunks(PART)).collect();
        let beyond = std::sync::atomic::AtomicBool::new(false);
        parallel::for_each(parts, PART / 8, |(out, values)| {
            if round(backend, values, factor, out) {
                beyond.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        if beyond.into_inner() {
            let fits = |value: &f32| (value * factor).abs() <= MAX_OPERAND as f32;
            let index = operand.values().iter().position(|value| !fits(value)).unwrap_or_default();
            return Err(match operand.values()[index] {
                actual if !actual.is_finite() => AccelError::NotFinite { index, actual },
                value => AccelError::Overflow {
                    index,
                    max: MAX_OPERAND,
                    actual: value * factor,
                },
            });
        }
        let integers = Matrices::new(operand.shape(), integers)?;
        Ok(Self { integers, scale, norms })
    }

    /// The integers.
    pub fn integers(&self) -> &Matrices<i32> {
        &self.integers
    }

    /// Their scale.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// The sizes of the numbers before they were rounded.
    pub fn norms(&self) -> &Norms {
        &self.norms
    }
}

/// The exponent of a product of two operands (the sum of theirs); fails where their product could wrap.
pub fn product_exponent(kind: Kind, left: &Quantised, right: &Quantised) -> Result<i32, AccelError> {
    let dimensions = kind.dimensions(left.integers.shape(), right.integers.shape())?;
    let bits = product_bits(kind, dimensions.depth, (&left.norms, left.scale), (&right.norms, right.scale));
    match bits <= f64::from(PRODUCT_BITS) {
        true => Ok(left.scale.0 + right.scale.0),
        false => Err(overflow(left.scale, right.scale, bits)),
    }
}

vectorised! {
    /// Whether a number was beyond the range, or not one.
    fn round(values: &[f32], factor: f32, out: &mut [i32]) -> bool {
        // Adding it to a number below 2^22 in magnitude leaves the nearest integer in the low bits.
        const ROUNDING: f32 = 12_582_912.0;
        let mut within = true;
        for (out, value) in out.iter_mut().zip(values) {
            let scaled = value * factor;
            // Not a number is not within any bound.
            within &= scaled.abs() <= MAX_OPERAND as f32;
            *out = ((scaled + ROUNDING).to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
        }
        !within
    }
}
