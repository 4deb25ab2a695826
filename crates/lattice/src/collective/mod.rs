//! n-of-n threshold encryption with exact arithmetic modulo 2^k: nobody has the secret key, all n parties together decrypt.
//!
//! Multiparty RLWE over a common reference string (Mouchet et al., PoPETs 2021). Every party j has a ternary secret s_j; the collective
//! secret is s = s_1 + ... + s_n. All steps are local and pure, bytes in and bytes out: every party makes its *share*, somebody (anybody: no secret is
//! needed) adds them up, and where there is a result, its owner finishes.
//!
//! | step | shares | result |
//! |---|---|---|
//! | `public_key` | b_j = -a s_j + e_j, with a from the [`CommonReference`] | [`crate::PublicKey`] (b, a) |
//! | `encryption` | -a s_j + e_j + encode(m_j), a new a for every ciphertext | Enc(m), m = sum m_j modulo 2^k |
//! | `decryption` | c1 s_j + smudge_j | m at the aggregator |
//! | `to_shares` | c1 s_j + smudge_j - encode(m_j), m_j random | additive shares of m: the m_j, and the rest at the aggregator |
//! | `switching` | c1 s_j + smudge_j, encrypted under a receiver's public key | an encryption that the receiver reads |
//! | [`SecretLinear`] | Enc(F), then Enc(F) r_j | additive shares of F r for a linear layer F that nobody knows |
//!
//! **Who learns what.** All follow the protocol; any n - 1 of them, together with whoever aggregates, learn their results and nothing else.
//! Everything under the collective key is RLWE for them, since they lack one s_j. What a decryption share says of s_j and of the ciphertext's noise (which is a
//! function of masks r_j and of errors) is hidden by the *smudge*, a wide noise that one honest party suffices to add: over the whole job, its
//! [`CollectiveSettings::revealed`] coefficients are within statistical distance 2^-[`CollectiveSettings::statistical_bits`] of what follows from
//! the results. An encrypted product, (c0, c1) = r_j Enc(F), is re-randomised by its maker with a fresh encryption of zero under the collective key; it needs
//! no flooding of its own, because no n - 1 parties can decrypt it: its noise shows only in a decryption of the sum, which the smudges cover.
//!
//! **Encoding** is scale-invariant: m stands as round(q m / 2^k), so that m + 2^k is the same as m modulo q. The sum of the parties' encodings differs
//! from the encoding of the sum by their roundings, at most n/2 (`noise`), and by multiples of q, which vanish.
//!
//! **Compression.** Before it is decrypted a ciphertext leaves q: coefficients become fractions of the modulus ([`Compressed`]). c1 keeps
//! [`Collective::whole_bits`] bits, since its rounding is multiplied by s, and the smudge must cover that too. c0, whose rounding meets no secret, keeps
//! [`Collective::wanted_bits`], and only where there is a result; so do decryption shares. What remains sums up modulo one without further rounding.
//!
//! Whoever receives c0 or a share could round it too, so that sending fewer bits says nothing. The rounding of c1 is known as well, but its product with s_j is not:
//! hence the precision.
//!
//! **Randomness** is a function of the party's own key, the context and all data: a step that is repeated on the same data repeats its bytes, and shares of
//! another ciphertext are smudged and masked independently. The exception is the public a: it is common, so no party can bind it to its own data.
//! [`CommonReference`] says how a mask is kept from serving twice.
//!
//! ```
//! use cloven_lattice::{collective::*, linear::LinearShape};
//!
//! # fn main() -> Result<(), cloven_lattice::LatticeError> {
//! // Everybody: what is agreed on.
//! let shape = LinearShape::Dense { inputs: 2, outputs: 1 };
//! let collective = Collective::new(CollectiveSettings::new(3, 32), &[shape])?;
//! let (linear, reference) = (collective.linear(shape)?, CommonReference::new([7; 32]));
//! // Each party: its secret. All: the collective key.
//! let secrets = [1, 2, 3].map(|seed| PartySecret::new(&collective, &[seed; 32]));
//! let shares: Result<Vec<_>, _> = secrets.iter().map(|s| collective.public_key_share(s, &reference, b"job 1")).collect();
//! let key = collective.public_key(&reference, b"job 1", &shares?)?;
//! // Once: the weights (5, 7), as shares modulo 2^32; one ciphertext.
//! let weights = [[5, u64::from(u32::MAX)], [0, 1], [0, 7]];
//! let shares: Result<Vec<_>, _> =
//!     (0..3).map(|j| linear.share(0, &weights[j], &secrets[j], &reference, b"job 1, layer 1")).collect();
//! let mut loader = linear.loader(&reference, b"job 1, layer 1");
//! loader.push(&linear.aggregate(&shares?)?)?;
//! let layer = loader.finish()?;
//! // For every inference: r = (10, 1), in shares.
//! let inputs = [[4, 0], [3, 1], [3, 0]];
//! let responses: Result<Vec<_>, _> =
//!     (0..3).map(|j| linear.respond(&layer, &inputs[j], &key, &secrets[j], b"inference 1")).collect();
//! let sums = linear.sum(&responses?)?;
//! let query = linear.query(&sums)?;
//! let others = [linear.to_shares(&query, &secrets[1], b"inference 1")?, linear.to_shares(&query, &secrets[2], b"inference 1")?];
//! let mine = linear.last_share(&sums, &secrets[0], &others.each_ref().map(|other| &other.message))?;
//! assert_eq!((mine[0] + others[0].share[0] + others[1].share[0]) % (1 << 32), 5 * 10 + 7);
//! # Ok(())
//! # }
//! ```

mod compressed;
mod decryption;
mod encryption;
mod linear;
mod noise;
mod parameters;
mod party;
mod public_key;
mod reference;
mod smudging;
mod switching;
#[cfg(test)]
mod tests;
mod to_shares;

pub use compressed::Compressed;
pub use linear::{EncryptedLayer, LayerLoader, SecretLinear};
pub use parameters::{Collective, CollectiveSettings};
pub use party::PartySecret;
pub use reference::CommonReference;
pub use to_shares::ToShares;

use crate::LatticeError;

/// Refuses another number of shares than `expected`.
fn check_count(what: &'static str, expected: usize, actual: usize) -> Result<(), LatticeError> {
    crate::linear::fixed::check_size(what, expected, actual)
}
