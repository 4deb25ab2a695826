//! Punctured pseudorandom functions: binary trees of seeds whose owner knows all leaves and whose other party all but one (Goldreich, Goldwasser, Micali;
//! the transfer of the sums of each level as in Boyle et al., CCS 2019).
//!
//! A tree of `depth` levels takes `depth` base transfers. For each level the owner offers the sum of its even and of its odd nodes; the other
//! party chooses the parity that its missing leaf's path does *not* take, and so learns the one node of the level that it cannot expand to.

use crate::{Session, cipher::Cipher, hash::public_permutation};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// The two fixed-key permutations that make a node's children: pi_b(x) ^ x.
pub(crate) struct Expansion([Cipher; 2]);

impl Expansion {
    pub(crate) fn new(session: &Session) -> Self {
        Self(["seed tree: left", "seed tree: right"].map(|purpose| public_permutation(session, purpose)))
    }

    fn children(&self, nodes: &[u128]) -> Zeroizing<Vec<u128>> {
        let mut children = Zeroizing::new(vec![0; 2 * nodes.len()]);
        let mut outputs = Zeroizing::new(nodes.to_vec());
        for (side, permutation) in self.0.iter().enumerate() {
            outputs.copy_from_slice(nodes);
            permutation.encrypt(&mut outputs);
            for ((child, output), node) in children[side..].iter_mut().step_by(2).zip(&*outputs).zip(nodes) {
                *child = output ^ node;
            }
        }
        children
    }
}

/// The owner's leaves and its message: for each level from the root the sums of even and odd nodes under the pads of that level.
pub(crate) fn grow(expansion: &Expansion, root: u128, pads: &[[u128; 2]]) -> (Zeroizing<Vec<u128>>, Vec<u128>) {
    let mut nodes = Zeroizing::new(vec![root]);
    let mut message = Vec::with_capacity(2 * pads.len());
    for pads in pads {
        nodes = expansion.children(&nodes);
        let sums = parity_sums(&nodes);
        message.extend([sums[0] ^ pads[0], sums[1] ^ pads[1]]);
    }
    (nodes, message)
}

/// The other party's leaves: leaf `y` is the owner's leaf `y ^ missing`, and leaf 0 is no leaf at all. `pads` are those of the choices [`choice`].
///
/// Neither the order of memory accesses nor the instructions depend on `missing`.
pub(crate) fn regrow(expansion: &Expansion, missing: u32, pads: &[u128], message: &[u128]) -> Zeroizing<Vec<u128>> {
    let depth = pads.len();
    let mut nodes = Zeroizing::new(vec![0]);
    let mut path = 0u32;
    for (level, (pad, sums)) in pads.iter().zip(message.as_chunks::<2>().0).enumerate() {
        let mut children = expansion.children(&nodes);
        let turn = missing >> (depth - 1 - level) & 1;
        for (child, at) in children.iter_mut().zip(0u32..) {
            child.conditional_assign(&0, (at >> 1).ct_eq(&path));
        }
        let other = Choice::from((turn ^ 1) as u8);
        let known = parity_sums(&children);
        let sibling =
            u128::conditional_select(&sums[0], &sums[1], other) ^ pad ^ u128::conditional_select(&known[0], &known[1], other);
        for (child, at) in children.iter_mut().zip(0u32..) {
            child.conditional_assign(&sibling, at.ct_eq(&(2 * path + (turn ^ 1))));
        }
        path = 2 * path + turn;
        nodes = children;
    }
    turn_to_zero(&mut nodes, missing);
    nodes
}

/// Whether the other party chooses the odd sum at `level` of a tree of `depth` levels.
pub(crate) fn choice(missing: u32, depth: usize, level: usize) -> bool {
    missing >> (depth - 1 - level) & 1 == 0
}

fn parity_sums(nodes: &[u128]) -> [u128; 2] {
    nodes
        .as_chunks::<2>()
        .0
        .iter()
        .fold([0; 2], |sums, pair| [sums[0] ^ pair[0], sums[1] ^ pair[1]])
}

fn turn_to_zero(nodes: &mut [u128], missing: u32) {
    for bit in 0..nodes.len().ilog2() {
        let set = Choice::from((missing >> bit & 1) as u8);
        for block in nodes.chunks_exact_mut(2 << bit) {
            let (low, high) = block.split_at_mut(1 << bit);
            low.iter_mut()
                .zip(high)
                .for_each(|(low, high)| u128::conditional_swap(low, high, set));
        }
    }
}
