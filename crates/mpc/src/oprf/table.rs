//! Key-value tables without visible keys: a random-band matrix (Bienstock et al. 2023), solved as a ribbon.
//!
//! A key stands for a band of 256 random bits at a random place; its value is the sum of the slots where the band has a one. With a tenth more slots than keys,
//! the published fit for this expansion (lambda = 0.2691 w - 15.2) gives failures below 2^-50 at w = 256.

use crate::{MpcError, ids::Id};
use rand::CryptoRng;

/// The words of one slot.
pub(crate) type Row<const L: usize> = [u128; L];

/// Bits of a band.
const BAND: usize = 256;

/// Where the bands of a table for a number of keys lie.
#[derive(Clone)]
pub(crate) struct Layout {
    slots: usize,
    key: [u8; 32],
}

struct Band {
    start: usize,
    bits: [u128; 2],
}

impl Layout {
    pub(crate) fn new(keys: usize, key: [u8; 32]) -> Self {
        let slots = keys + keys.div_ceil(10) + BAND;
        Self { slots, key }
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    fn band(&self, id: &Id) -> Band {
        let mut words = [0u128; 3];
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(id).finalize_xof().fill(bytemuck::cast_slice_mut(&mut words));
        let [low, high, place] = words.map(u128::from_le);
        let place = place & u128::from(u64::MAX);
        Band {
            start: ((place * (self.slots - BAND + 1) as u128) >> 64) as usize,
            bits: [low | 1, high],
        }
    }

    /// A table that decodes to the value at each key; slots that no key determines come from `rng`.
    pub(crate) fn encode<const L: usize>(
        &self,
        keys: &[Id],
        value: impl Fn(usize) -> Row<L>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Row<L>>, MpcError> {
        let mut order: Vec<(Band, u32)> = keys.iter().map(|id| self.band(id)).zip(0..).collect();
        order.sort_unstable_by_key(|(band, _)| band.start);
        let mut bands = vec![[0u128; 2]; self.slots];
        let mut rows = vec![[0; L]; self.slots];
        for (Band { mut start, mut bits }, key) in order {
            let mut row = value(key as usize);
            while bands[start] != [0; 2] {
                bits = [bits[0] ^ bands[start][0], bits[1] ^ bands[start][1]];
                add(&mut row, &rows[start]);
                if bits == [0; 2] {
                    return Err(MpcError::Table { keys: keys.len() });
                }
                start += shift_to_one(&mut bits);
            }
            bands[start] = bits;
            rows[start] = row;
        }
        for slot in (0..self.slots).rev() {
            let bits = bands[slot];
            if bits == [0; 2] {
                rng.fill_bytes(bytemuck::cast_slice_mut(&mut rows[slot]));
                continue;
            }
            let rest = sum(&rows, slot, [bits[0] & !1, bits[1]]);
            add(&mut rows[slot], &rest);
        }
        Ok(rows)
    }

    /// The value at a key.
    pub(crate) fn decode<const L: usize>(&self, rows: &[Row<L>], id: &Id) -> Row<L> {
        let band = self.band(id);
        sum(rows, band.start, band.bits)
    }
}

fn shift_to_one(bits: &mut [u128; 2]) -> usize {
    let mut by = 0;
    if bits[0] == 0 {
        *bits = [bits[1], 0];
        by = 128;
    }
    let zeros = bits[0].trailing_zeros();
    if zeros > 0 {
        *bits = [bits[0] >> zeros | bits[1] << (128 - zeros), bits[1] >> zeros];
    }
    by + zeros as usize
}

fn sum<const L: usize>(rows: &[Row<L>], start: usize, bits: [u128; 2]) -> Row<L> {
    let mut sum = [0; L];
    for (word, bits) in bits.into_iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            add(&mut sum, &rows[start + 128 * word + bits.trailing_zeros() as usize]);
            bits &= bits - 1;
        }
    }
    sum
}

fn add<const L: usize>(sum: &mut Row<L>, row: &Row<L>) {
    sum.iter_mut().zip(row).for_each(|(sum, row)| *sum ^= row);
}
