//! Reading the results of a batch from its responses.

use super::{compression::Compression, layout::Layout};
use crate::{LatticeError, SecretKey, wire::check_len};

/// How results stand in responses.
pub(super) struct Outputs<'a> {
    pub(super) layout: &'a Layout,
    pub(super) compression: &'a Compression,
    /// One integer of the plaintext in units of the results.
    pub(super) step: f64,
    /// The largest result that is surely read right.
    pub(super) bound: f64,
}

impl Outputs<'_> {
    /// Bytes of the responses for `rows` rows.
    pub(super) fn len(&self, rows: usize) -> usize {
        let one = |g, r| self.compression.len(self.layout.samples_in(g, rows) * self.layout.width(r));
        self.layout.responses(rows).map(|(g, r)| one(g, r)).sum()
    }

    /// `rows` x outputs, row-major. A result beyond the bound is an error.
    pub(super) fn read(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        check_len(self.len(rows), response)?;
        let layout = self.layout;
        let mut y = vec![0.0; rows * layout.outputs];
        let mut rest = response;
        for (g, r) in layout.responses(rows) {
            let wanted: Vec<usize> = layout.wanted(g, r, rows).collect();
            let (packed, tail) = rest.split_at(self.compression.len(wanted.len()));
            rest = tail;
            let steps = self.compression.read(packed, wanted.into_iter(), secret)?;
            for (index, step) in steps.into_iter().enumerate() {
                let (i, j) = (index / layout.width(r), index % layout.width(r));
                let position = (g * layout.samples + i) * layout.outputs + r * layout.block_outputs + j;
                y[position] = self.result(step, position)?;
            }
        }
        Ok(y)
    }

    fn result(&self, step: i64, position: usize) -> Result<f32, LatticeError> {
        let (value, bound) = (step as f64 * self.compression.unit() * self.step, self.bound);
        match value.abs() < bound {
            true => Ok(value as f32),
            false => Err(LatticeError::Range {
                what: "output",
                position,
                value,
                bound,
            }),
        }
    }
}
