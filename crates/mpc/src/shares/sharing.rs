//! Additive sharing.

use super::{Matrix, WordStream};
use crate::{
    MpcError,
    boolean::{MAX_PARTIES, Seed},
    wire::{expect_count, expect_length},
};
use rand::CryptoRng;
use zeroize::Zeroizing;

const SHARE: &str = "cloven mpc 2026 additive share";

/// Splits a matrix: the owner's own share, and for each of `peers` other parties the 32 secret bytes from which that party expands its share. The shares
/// add up to the matrix; all but any one of them are uniform. The seeds are fresh, and go to one party each.
///
/// # Errors
/// [`MpcError::Count`] for no peer or more than [`MAX_PARTIES`] parties.
pub fn share(secret: &Matrix, peers: usize, rng: &mut impl CryptoRng) -> Result<(Matrix, Vec<Seed>), MpcError> {
    expect_count("parties", peers.saturating_add(1), 2, MAX_PARTIES)?;
    let mut own = secret.clone();
    let mut seeds = Vec::with_capacity(peers);
    for _ in 0..peers {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        own.sub_assign(&expand(secret.rows(), secret.columns(), &*seed)?)?;
        seeds.push(seed);
    }
    Ok((own, seeds))
}

/// A share from its owner's 32 bytes.
///
/// # Errors
/// [`MpcError::Length`]; [`MpcError::Count`] beyond [`Matrix::MAX_WORDS`].
pub fn expand(rows: usize, columns: usize, seed: &[u8]) -> Result<Matrix, MpcError> {
    expect_length(seed, 32)?;
    WordStream::new(SHARE, seed, &[]).matrix(rows, columns)
}

/// The sum of one or more shares.
///
/// # Errors
/// [`MpcError::Count`] for none; [`MpcError::Mismatch`] for different shapes.
pub fn reconstruct(shares: &[Matrix]) -> Result<Matrix, MpcError> {
    expect_count("shares", shares.len(), 1, MAX_PARTIES)?;
    let mut sum = shares[0].clone();
    shares[1..].iter().try_for_each(|share| sum.add_assign(share))?;
    Ok(sum)
}
