//! What attention does beside its products between tokens.

use super::{Matrices, Product};
use crate::network::attention::Heads;
use crate::network::batch::{Batch, read};

/// Sizes of an attention between its projections.
#[derive(Clone, Copy)]
pub struct AttentionForm {
    pub heads: usize,
    pub tokens: usize,
    /// Numbers of a token that belong to a head.
    pub size: usize,
}

impl AttentionForm {
    /// Queries times keys, and probabilities times values.
    pub fn products(self, place: &str) -> [Product; 2] {
        let Self { heads, tokens, size } = self;
        let product = |name, inner, columns| Product {
            name: format!("{place}.{name}"),
            parameter: false,
            heads,
            rows: tokens,
            inner,
            columns,
            input_gradient: true,
            windows: None,
        };
        [product("scores", size, tokens), product("values", tokens, size)]
    }

    /// Queries, keys and values.
    pub fn split(self, x: Batch) -> (Heads, [Matrices; 3]) {
        self.parts(x)
    }

    /// dLoss/dOutput of each head.
    pub fn split_output(self, dy: Batch) -> (Heads, Matrices) {
        let (heads, [dy]) = self.parts(dy);
        (heads, dy)
    }

    fn parts<const PARTS: usize>(self, x: Batch) -> (Heads, [Matrices; PARTS]) {
        let heads = Heads::of(&x, self.heads, PARTS);
        let data = x.into_data();
        (
            heads,
            heads.split(read(&data)).map(|values| Matrices::of(heads.dims(), values)),
        )
    }
}
