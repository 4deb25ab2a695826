//! ReLU on additive shares, revealed to a third party only.
//!
//! P >= 2 holders have additive shares modulo 2^64 of a batch of values v, at any scale. The server receives relu(v) = max(0, v), exactly, as words of
//! the same scale; the circuit adds the shares up, takes the sign and keeps or drops the low 63 bits.
//!
//! | party | learns |
//! |---|---|
//! | holder | nothing |
//! | server | relu(v) of each value; of a v that is not positive, nothing but that |
//!
//! Secure against P - 1 holders that put together what they saw; semi-honest. If the server is one of those who put together, they learn relu(v) besides
//! their shares. Two engines run the one circuit:
//!
//! * **Shared bits** ([`Relu::start`], any P): GMW ([`crate::boolean`]) over triples from oblivious transfers, prepared ahead
//!   ([`Transfers`](crate::boolean::Transfers)). Each input word is its owner's alone, so the owner's share of its bits is the word and the others' are zero; no
//!   message is needed. Every output bit comes out of an AND of its own, so the output shares are as fresh as that AND's triple.
//! * **Garbled** ([`Relu::evaluate`] at party 1, [`Relu::garble`] at party 0; P = 2): half gates ([`crate::garbling::half_gates`]), constant rounds: one
//!   message to party 0, then pieces of 256 values to party 1 ([`Garbling::next_piece`] -> [`Evaluating::accept`]). Colours are as good as shares of bits:
//!   each sends its own to the server.
//!
//! Both begin with a set-up of transfers, once ([`TransferSetup`](crate::boolean::TransferSetup), three exchanges, 8 KiB each to each), and the server adds up what
//! the holders send it ([`Relu::reveal`]).
//!
//! Costs for one value; rounds are exchanges between the holders, then one message to the server. P parties send P (P - 1) messages each round:
//!
//! | P | goal | ANDs | rounds | opened, each to each | prepared, each to each, at width 4 | to the server, from each |
//! |---|---|---|---|---|---|---|
//! | 2 | `FewAnds` | 126 | 64 | 32 B | 536 B | 8 B |
//! | 2 | `LowDepth` | 436 | 8 | 109 B | 1853 B | 8 B |
//! | 3 | `FewAnds` | 188 | 64 | 47 B | 799 B | 8 B |
//! | 3 | `LowDepth` | 497 | 8 | 124 B | 2112 B | 8 B |
//! | 5 | `FewAnds` | 312 | 64 | 78 B | 1326 B | 8 B |
//! | 5 | `LowDepth` | 618 | 9 | 154 B | 2626 B | 8 B |
//! | 2 | garbled, `FewAnds` | 126 | 2 | 264 B to party 0, 5,056 B to party 1 | none | 8 B |
//!
//! [`Goal::LowDepth`](crate::circuit::Goal) for links with long round trips, [`Goal::FewAnds`](crate::circuit::Goal) for slow ones and for garbling.
//! Non-goals: malicious parties; hiding the number of values.

mod cost;
mod garbled;
mod holder;
mod server;
#[cfg(test)]
mod tests;

pub use cost::MessageBytes;
pub use garbled::{Evaluating, Garbling};
pub use holder::{Step, Waiting};

use crate::{
    MpcError,
    boolean::MAX_PARTIES,
    circuit::{Builder, Circuit, Goal, Party, Word},
    transfer::MAX_CHUNK,
    wire::expect_count,
};

/// Bits of a share.
const WIDTH: usize = 64;
/// The most values of one evaluation.
pub const MAX_VALUES: usize = 1 << 20;

/// The circuit for one number of holders.
pub struct Relu {
    circuit: Circuit,
    parties: usize,
}

impl Relu {
    /// The circuit for `parties` holders, 2 to [`MAX_PARTIES`].
    ///
    /// # Errors
    /// [`MpcError::Count`] outside of that.
    pub fn new(parties: usize, goal: Goal) -> Result<Self, MpcError> {
        expect_count("parties", parties, 2, MAX_PARTIES)?;
        let mut builder = Builder::new(goal);
        let shares: Vec<Word> = (0..parties as u8).map(|party| builder.input(Party(party), WIDTH)).collect();
        let value = builder.sum(&shares);
        let mut relu = builder.relu(&value);
        // The sign of what is not negative is known.
        relu.truncate(WIDTH - 1);
        let circuit = builder.finish(&[relu]);
        Ok(Self { circuit, parties })
    }

    /// The circuit: an input word of each holder, an output word of 63 bits.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// The number of holders.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Exchanges between the holders.
    pub fn rounds(&self) -> usize {
        self.circuit.depth()
    }

    /// How many values share a preparation: the pieces in which `values` are evaluated and for which triples are made, in order.
    ///
    /// # Errors
    /// [`MpcError::Count`] for none or more than [`MAX_VALUES`].
    pub fn chunks(&self, values: usize) -> Result<Vec<usize>, MpcError> {
        expect_count("values", values, 1, MAX_VALUES)?;
        // Whole words of shared bits.
        let most = (MAX_CHUNK / self.circuit.ands())
            .next_multiple_of(64)
            .saturating_sub(64)
            .max(1);
        Ok((0..values).step_by(most).map(|first| most.min(values - first)).collect())
    }
}
