//! Packed bits over many instances of one circuit.

use crate::{Bits, MpcError};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rows of bits, one per wire; a column is one instance of the circuit. Bit `c` of a row is bit `c % 64` of word `c / 64`, and the bits of
/// the last word beyond the columns are zero. May hold secrets: wiped on drop, never printed.
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BitMatrix {
    rows: usize,
    columns: usize,
    words: Vec<u64>,
}

impl BitMatrix {
    /// The most bits of one matrix: 128 MiB of them.
    pub const MAX_BITS: usize = 1 << 30;

    /// All zero.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            words: vec![0; rows * columns.div_ceil(64)],
        }
    }

    /// Uniform bits.
    pub fn random(rows: usize, columns: usize, rng: &mut impl CryptoRng) -> Self {
        let mut bits = Self::zeros(rows, columns);
        rng.fill_bytes(bytemuck::cast_slice_mut(&mut bits.words));
        bits.words.iter_mut().for_each(|word| *word = u64::from_le(*word));
        bits.clear_padding();
        bits
    }

    /// Bit `r` of `values[c]` as row `r`, column `c`; bits from `width` (at most 64) on are dropped.
    pub fn from_values(width: usize, values: &[u64]) -> Self {
        assert!(width <= 64, "a value has 64 bits");
        let mut bits = Self::zeros(width, values.len());
        let stride = bits.stride();
        for (word, values) in values.chunks(64).enumerate() {
            let mut block = [0; 64];
            block[..values.len()].copy_from_slice(values);
            transpose(&mut block);
            (0..width).for_each(|row| bits.words[row * stride + word] = block[row]);
            block.zeroize();
        }
        bits
    }

    /// Rows that stand one after the other in `bits` from place `first` on.
    pub(crate) fn from_bits(rows: usize, columns: usize, bits: &Bits, first: usize) -> Self {
        let mut matrix = Self::zeros(rows, columns);
        let mask = matrix.last_mask();
        for row in 0..rows {
            let words = matrix.row_mut(row);
            for (word, out) in words.iter_mut().enumerate() {
                *out = bits.word_at(first + row * columns + 64 * word);
            }
            if let Some(last) = words.last_mut() {
                *last &= mask;
            }
        }
        matrix
    }

    /// The columns of a matrix of at most 64 rows as values: the inverse of [`Self::from_values`].
    pub fn to_values(&self) -> Vec<u64> {
        assert!(self.rows <= 64, "a value has 64 bits");
        let mut values = vec![0; self.columns];
        for (word, values) in values.chunks_mut(64).enumerate() {
            let mut block = [0; 64];
            (0..self.rows).for_each(|row| block[row] = self.row(row)[word]);
            transpose(&mut block);
            values.copy_from_slice(&block[..values.len()]);
            block.zeroize();
        }
        values
    }

    /// The matrices one below the other.
    pub fn stack(parts: &[&Self]) -> Result<Self, MpcError> {
        let columns = parts.first().map_or(0, |part| part.columns);
        let mut bits = Self::zeros(parts.iter().map(|part| part.rows).sum(), columns);
        let mut at = 0;
        for part in parts {
            expect("instances", columns, part.columns)?;
            bits.words[at..at + part.words.len()].copy_from_slice(&part.words);
            at += part.words.len();
        }
        Ok(bits)
    }

    /// `rows` rows from row `first` on, which the matrix must have.
    pub fn slice(&self, first: usize, rows: usize) -> Self {
        let stride = self.stride();
        Self {
            rows,
            columns: self.columns,
            words: self.words[first * stride..(first + rows) * stride].to_vec(),
        }
    }

    /// Some rows, in the order given.
    pub(crate) fn pick(&self, rows: &[usize]) -> Self {
        let mut picked = Self::zeros(rows.len(), self.columns);
        for (to, from) in rows.iter().enumerate() {
            picked.row_mut(to).copy_from_slice(self.row(*from));
        }
        picked
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The words of one row.
    pub fn row(&self, row: usize) -> &[u64] {
        let stride = self.stride();
        &self.words[row * stride..(row + 1) * stride]
    }

    /// One bit.
    pub fn get(&self, row: usize, column: usize) -> bool {
        self.row(row)[column / 64] >> (column % 64) & 1 == 1
    }

    /// `self ^= other`, of the same shape.
    pub fn xor_assign(&mut self, other: &Self) -> Result<(), MpcError> {
        expect("rows of bits", self.rows, other.rows)?;
        expect("instances", self.columns, other.columns)?;
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a ^= b);
        Ok(())
    }

    /// Bytes of [`Self::encode`] for a shape.
    pub fn encoded_len(rows: usize, columns: usize) -> usize {
        rows * columns.div_ceil(8)
    }

    /// Row after row, each in whole bytes, the first bit lowest.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::encoded_len(self.rows, self.columns));
        (0..self.rows).for_each(|row| encode_row(self.row(row), self.columns, &mut bytes));
        bytes
    }

    /// Reads what [`Self::encode`] wrote for this shape; fails on another length and on ones in the padding.
    pub fn decode(rows: usize, columns: usize, bytes: &[u8]) -> Result<Self, MpcError> {
        expect_bytes(Self::encoded_len(rows, columns), bytes)?;
        let mut bits = Self::zeros(rows, columns);
        let (stride, mask) = (bits.stride(), bits.last_mask());
        for (row, bytes) in bytes.chunks_exact(columns.div_ceil(8).max(1)).enumerate() {
            let words = &mut bits.words[row * stride..(row + 1) * stride];
            decode_row(bytes, words);
            if words[stride - 1] & !mask != 0 {
                return Err(MpcError::Padding { row });
            }
        }
        Ok(bits)
    }

    /// Clears the bits beyond the columns, which an inversion may have set.
    pub(crate) fn clear_padding(&mut self) {
        let (stride, mask) = (self.stride().max(1), self.last_mask());
        let rows = self.words.chunks_exact_mut(stride);
        rows.for_each(|row| row[stride - 1] &= mask);
    }

    pub(crate) fn stride(&self) -> usize {
        self.columns.div_ceil(64)
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [u64] {
        let stride = self.stride();
        &mut self.words[row * stride..(row + 1) * stride]
    }

    /// `row ^= words`.
    pub(crate) fn xor_row(&mut self, row: usize, words: &[u64]) {
        self.row_mut(row).iter_mut().zip(words).for_each(|(own, word)| *own ^= word);
    }

    /// Row `out` becomes the XOR of two others before it.
    pub(crate) fn xor_rows(&mut self, [left, right]: [usize; 2], out: usize) {
        let stride = self.stride();
        let (before, after) = self.words.split_at_mut(out * stride);
        let pairs = before[left * stride..][..stride]
            .iter()
            .zip(&before[right * stride..][..stride]);
        after[..stride]
            .iter_mut()
            .zip(pairs)
            .for_each(|(out, (left, right))| *out = left ^ right);
    }

    /// The bits of a row's last word that count.
    pub(crate) fn last_mask(&self) -> u64 {
        last_mask(self.columns)
    }

    /// Inverts one row.
    pub(crate) fn invert_row(&mut self, row: usize) {
        let mask = self.last_mask();
        let words = self.row_mut(row);
        words.iter_mut().for_each(|word| *word = !*word);
        if let Some(last) = words.last_mut() {
            *last &= mask;
        }
    }
}

/// The lowest bits of `words`, packed.
pub(crate) fn lowest_bits(words: &[u128]) -> impl Iterator<Item = u64> + '_ {
    words.chunks(64).map(|words| {
        let bits = words.iter().enumerate();
        bits.fold(0, |bits, (at, word)| bits | (*word as u64 & 1) << at)
    })
}

/// The bits of the last of the words that hold `columns` bits.
pub(crate) fn last_mask(columns: usize) -> u64 {
    match columns % 64 {
        0 => u64::MAX,
        used => (1 << used) - 1,
    }
}

pub(crate) fn encode_row(words: &[u64], columns: usize, bytes: &mut Vec<u8>) {
    let end = bytes.len() + columns.div_ceil(8);
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.truncate(end);
}

fn decode_row(bytes: &[u8], words: &mut [u64]) {
    for (bytes, word) in bytes.chunks(8).zip(words) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
}

pub(crate) fn expect(what: &'static str, expected: usize, actual: usize) -> Result<(), MpcError> {
    if expected == actual {
        return Ok(());
    }
    Err(MpcError::Mismatch { what, expected, actual })
}

pub(crate) fn expect_bytes(expected: usize, bytes: &[u8]) -> Result<(), MpcError> {
    if expected == bytes.len() {
        return Ok(());
    }
    let actual = bytes.len();
    Err(MpcError::Length { expected, actual })
}

/// Exchanges bit `c` of word `r` and bit `r` of word `c` (Warren, Hacker's Delight, section 7-3).
fn transpose(block: &mut [u64; 64]) {
    let mut mask = 0x0000_0000_ffff_ffff;
    let mut half = 32;
    while half != 0 {
        let mut row = 0;
        while row < 64 {
            let swap = (block[row] >> half ^ block[row + half]) & mask;
            block[row] ^= swap << half;
            block[row + half] ^= swap;
            row = (row + half + 1) & !half;
        }
        half >>= 1;
        mask ^= mask << half;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    proptest! {
        #[test]
        fn values_and_bytes_come_back(width in 0usize..=64, values in prop::collection::vec(any::<u64>(), 0..150)) {
            let bits = BitMatrix::from_values(width, &values);
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let low: Vec<u64> = values.iter().map(|value| value & mask).collect();
            prop_assert_eq!(&bits.to_values(), &low);
            let again = BitMatrix::decode(width, values.len(), &bits.encode()).unwrap();
            prop_assert!(bits == again);
            for (column, value) in low.iter().enumerate() {
                for row in 0..width {
                    prop_assert_eq!(bits.get(row, column), value >> row & 1 == 1);
                }
            }
        }
    }

    #[test]
    fn rows_come_out_of_packed_bits() {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        for columns in [1, 63, 64, 65, 130, 200] {
            let bits = Bits::random(7 + 5 * columns, rng);
            let all: Vec<bool> = bits.iter().collect();
            let matrix = BitMatrix::from_bits(5, columns, &bits, 7);
            for (row, column) in (0..5).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                assert_eq!(matrix.get(row, column), all[7 + row * columns + column]);
            }
            assert!(BitMatrix::decode(5, columns, &matrix.encode()).unwrap() == matrix);
        }
    }

    #[test]
    fn wrong_lengths_and_padding_are_refused() {
        let bits = BitMatrix::random(3, 11, &mut ChaCha20Rng::seed_from_u64(1));
        let mut bytes = bits.encode();
        assert_eq!(bytes.len(), 6);
        let refused = |bytes: &[u8]| BitMatrix::decode(3, 11, bytes).err();
        assert_eq!(refused(&bytes[1..]), Some(MpcError::Length { expected: 6, actual: 5 }));
        bytes[3] |= 0x80;
        assert_eq!(refused(&bytes), Some(MpcError::Padding { row: 1 }));
    }

    #[test]
    fn shapes_must_agree() {
        let mut bits = BitMatrix::zeros(2, 5);
        assert!(bits.xor_assign(&BitMatrix::zeros(2, 6)).is_err());
        assert!(BitMatrix::stack(&[&bits, &BitMatrix::zeros(1, 4)]).is_err());
        bits.invert_row(1);
        assert_eq!(bits.to_values(), [2; 5]);
        assert_eq!(bits.slice(1, 1).to_values(), [1; 5]);
    }
}
