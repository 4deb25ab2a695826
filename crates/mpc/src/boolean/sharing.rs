use crate::{BitMatrix, MpcError};
use rand::CryptoRng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

/// The secret from which another party expands its share.
pub type Seed = Zeroizing<[u8; 32]>;

/// Splits an owner's input bits: its own share, and for each of `peers` other parties the 32 secret bytes from which that party expands its share.
/// The seeds are fresh, and go to one party each.
pub fn share_input(bits: &BitMatrix, peers: usize, rng: &mut impl CryptoRng) -> Result<(BitMatrix, Vec<Seed>), MpcError> {
    let mut share = BitMatrix::stack(&[bits])?;
    let mut seeds = Vec::with_capacity(peers);
    for _ in 0..peers {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        share.xor_assign(&expand_share(bits.rows(), bits.columns(), &*seed)?)?;
        seeds.push(seed);
    }
    Ok((share, seeds))
}

/// A share from its owner's 32 bytes.
pub fn expand_share(rows: usize, columns: usize, seed: &[u8]) -> Result<BitMatrix, MpcError> {
    let (expected, actual) = (32, seed.len());
    let seed: [u8; 32] = seed.try_into().map_err(|_| MpcError::Length { expected, actual })?;
    let seed = Zeroizing::new(seed);
    Ok(BitMatrix::random(rows, columns, &mut ChaCha20Rng::from_seed(*seed)))
}
