//! Boolean circuits of AND, XOR and NOT: written once, then run in the clear, garbled or on shares.
//!
//! A circuit is a Rust function on a [`Builder`]; [`Builder::finish`] turns what it recorded into a [`Circuit`], whose gates stand in layers of
//! equal AND depth. Every engine of this crate runs the same [`Circuit`] on many *instances* (columns of a [`BitMatrix`](crate::BitMatrix)) at once:
//! [`Circuit::evaluate`] in the clear, and the engines beside this module. XOR, NOT and constants cost nothing; only ANDs are counted.
//!
//! ANDs and depth of the blocks at k bits ([`Goal::FewAnds`]); `blocks_cost_what_the_table_says` holds them:
//!
//! | block | ANDs | depth |
//! |---|---|---|
//! | [`Builder::add`], [`Builder::subtract`] mod 2^k | k - 1 | k - 1 |
//! | [`Builder::less_unsigned`], [`Builder::less_signed`] | k | k |
//! | [`Builder::equal`] | k - 1 | log2 k |
//! | [`Builder::select`] | k | 1 |
//! | [`Builder::relu`] | k - 1 | 1 |
//! | [`Builder::max`] | 2k | k + 1 |
//! | [`Builder::argmax`] of m | 2k(m-1) and the choices of places | (k + 1) log2 m |
//! | [`Builder::truncate`] by f, floor / nearest | 0 / k - f | 0 / k - f |
//! | [`Builder::sum`] of n mod 2^k (reconstruction) | at most (n-1)(k-1) | k - 1 |
//! | [`Builder::subtract_modulo`] t | 2k - 1 | 2k - 1 |
//! | [`Builder::add_modulo`] t | at most 3k + 1 | at most 2k + 2 |
//! | [`Builder::relu_modulo`] t | at most 2k | at most k + 1 |
//! | [`Builder::centre_modulo`] t | at most 2k - 1 | at most 2k - 1 |
//!
//! With [`Goal::LowDepth`] the adders are Sklansky's (1960): depth 1 + log2(k-1) rounded up, for k = 32 six instead of 31, at 151 instead of
//! 31 ANDs; comparisons need 89 instead of 32. The non-linear layer of secret-shared inference, ReLU with truncation by 10 of 32-bit values in
//! three shares, needs 82 ANDs at depth 32, or 194 at depth 7.

mod arithmetic;
mod builder;
mod clear;
mod comparison;
mod modular;
mod netlist;
mod prefix;
mod selection;

#[cfg(test)]
mod tests;

pub use builder::{Bit, Builder, Goal, Word};
pub use netlist::{Circuit, Input, Party};
pub(crate) use netlist::{Gate, Group, Operand, has};
