//! Garbling by several parties, of whom all but one may collude: constant rounds, tables from correlated transfers.
//!
//! *Beaver, Micali, Rogaway, STOC 1990, with the free XOR and the transfers of Ben-Efraim, Lindell, Omri, CCS 2016; the rows follow the half gates
//! of Zahur, Rosulek, Evans 2015.* Semi-honest. Parties 0..m (m >= 2) garble; whoever evaluates learns no more than they. The evaluator is
//! party m, which has no key of its own, or every garbler is one too, who then keeps the tables and labels that all of them send.
//!
//! | party | learns |
//! |---|---|
//! | garbler | external values (masked bits) of the garblers' inputs; XOR shares of the outputs |
//! | evaluator | external values of all wires; XOR shares of the outputs |
//!
//! Wire w carries the external value e_w = x_w ^ lambda_w, whose mask is the XOR of one bit of each garbler (an input's is its owner's alone, none for
//! the evaluator's inputs), and for each garbler j the label k_(w,j) ^ e_w Delta_j. An AND u v = w has for each j three words, of which every
//! garbler i sends its share:
//!
//! | word | the sum over i |
//! |---|---|
//! | G_u | H(k_(u,i)) ^ H(k_(u,i) ^ Delta_i), and lambda_v Delta_j |
//! | G_v | H(k_(v,i)) ^ H(k_(v,i) ^ Delta_i), and lambda_u Delta_j ^ k_(u,j) |
//! | G_w | H(k_(u,i)) ^ H(k_(v,i)), and (lambda_u lambda_v ^ lambda_w) Delta_j ^ k_(w,j) |
//!
//! and the evaluator has k_(w,j) ^ e_w Delta_j as the sum of the active labels' H, e_u G_u, e_v (G_v ^ active label of u) and G_w. An honest garbler's
//! inactive H hides G_u and G_v; G_w follows from them and the active label of w, its single shares being masked by the fresh shares of
//! lambda_w Delta_j. Garblers who all collude know every mask, but of the evaluator only choices hidden by transfers: so m >= 2 garblers and an
//! evaluator withstand any m of their m + 1 colluding.
//!
//! Shares of a product with Delta_j are a correlated transfer; the bit products lambda_u lambda_v hash the transfers of lambda_v again, at one bit each. Bytes
//! per AND and instance, of all parties, with transfers of c bytes:
//!
//! | | bytes | two garblers and an evaluator, IKNP (c = 16) | c = 4 |
//! |---|---|---|---|
//! | transfers | 2 m(m-1) c | 64 | 16 |
//! | choices and products | m(m-1) 3/8 | 0.75 | 0.75 |
//! | tables to one evaluator | 48 m^2 | 192 | 192 |
//! | sum | | 257 | 209 |
//!
//! Where every one of three garblers evaluates it is 192 + 2.25 + 864 with IKNP.
//!
//! Steps of a garbler: [`Masks::start`], [`Masks::products`], [`Products::shares`], [`Shares::finish`] (three messages to each other garbler, before
//! inputs are known), then [`Garbler::tables`] to the evaluator, and for the inputs [`InputKeys::open`] and [`OpenedInputs::labels`], before or after
//! the tables. Steps of the evaluator: [`Choosing::start`], [`Choosing::labels`], [`Evaluator::consume`]. Non-goals: malicious parties.

mod evaluator;
mod garbler;
mod inputs;
mod masks;

#[cfg(test)]
mod tests;

pub(crate) use evaluator::sum_rows;
pub use evaluator::{Choosing, Evaluator};
pub use garbler::Garbler;
pub use inputs::{InputKeys, OpenedInputs};
pub(crate) use masks::{Common, Receiving};
pub use masks::{Masks, Products, Shares};

use crate::{MpcError, circuit::Circuit};

/// The most garblers.
pub const MAX_GARBLERS: usize = 32;

/// Bytes that one garbler sends per AND and instance.
pub fn and_bytes(garblers: usize) -> usize {
    48 * garblers
}

/// Checks the number of garblers, and that every input is a garbler's or the evaluator's.
fn check(circuit: &Circuit, garblers: usize) -> Result<(), MpcError> {
    let owner = circuit
        .inputs()
        .iter()
        .map(|input| usize::from(input.owner.0))
        .max()
        .unwrap_or(0);
    for (what, min, max, actual) in [
        ("garblers", 2, MAX_GARBLERS, garblers),
        ("as the owner of an input", 0, garblers, owner),
    ] {
        if !(min..=max).contains(&actual) {
            return Err(MpcError::Count { what, min, max, actual });
        }
    }
    Ok(())
}

fn tweak_of(gate: usize, half: usize, garbler: usize) -> u64 {
    (2 * gate + half) as u64 * 256 + garbler as u64
}
