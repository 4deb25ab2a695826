//! What the protocols realise: a trusted dealer for each functionality, and the relation that its outputs obey. For tests of this and of upper layers.

use super::{Delta, ReceiverPads, SenderPads};
use crate::Bits;
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Words q for the sender and t for the receiver.
pub type Correlated = (Zeroizing<Vec<u128>>, Zeroizing<Vec<u128>>);

/// Correlated transfers as a trusted dealer hands them out.
pub fn correlated(delta: &Delta, choices: &Bits, rng: &mut impl CryptoRng) -> Correlated {
    let q = uniform(choices.len(), rng);
    let t = q
        .iter()
        .zip(choices.iter())
        .map(|(q, c)| if c { q ^ delta.expose() } else { *q })
        .collect();
    (q, Zeroizing::new(t))
}

/// Random transfers as a trusted dealer hands them out.
pub fn random(choices: &Bits, rng: &mut impl CryptoRng) -> (SenderPads, ReceiverPads) {
    let (zero, one) = (uniform(choices.len(), rng), uniform(choices.len(), rng));
    let chosen = zero
        .iter()
        .zip(&*one)
        .zip(choices.iter())
        .map(|((zero, one), c)| if c { *one } else { *zero });
    let chosen = Zeroizing::new(chosen.collect());
    (SenderPads::new(zero, one), ReceiverPads::new(chosen, choices.clone()))
}

/// Whether t = q ^ c delta at every place and the numbers agree.
pub fn is_correlated(delta: &Delta, q: &[u128], choices: &Bits, t: &[u128]) -> bool {
    let shifted = q
        .iter()
        .zip(choices.iter())
        .map(|(q, c)| if c { q ^ delta.expose() } else { *q });
    q.len() == choices.len() && t.len() == choices.len() && shifted.eq(t.iter().copied())
}

/// Whether the receiver has the pad of its choice at every place and no pair of pads is equal.
pub fn is_random_transfer(sender: &SenderPads, receiver: &ReceiverPads) -> bool {
    let pairs = sender.zero().iter().zip(sender.one());
    let chosen = pairs
        .clone()
        .zip(receiver.choices().iter())
        .map(|((zero, one), c)| if c { *one } else { *zero });
    let count = receiver.pads().len();
    sender.zero().len() == count && chosen.eq(receiver.pads().iter().copied()) && pairs.clone().all(|(zero, one)| zero != one)
}

fn uniform(count: usize, rng: &mut impl CryptoRng) -> Zeroizing<Vec<u128>> {
    let mut words = Zeroizing::new(vec![0u128; count]);
    rng.fill_bytes(bytemuck::cast_slice_mut(&mut words));
    words
}
