//! A small number of random transfers from public-key cryptography (Chou and Orlandi 2015).
//!
//! Sender: A = aG. Receiver, for choice c: B = bG + cA and the pad H(i, A, B, bA). Sender: the pads H(i, A, B, aB) and H(i, A, B, aB - aA). The hash
//! is keyed by the session, so pads of different sessions and places are independent.

use crate::{
    Bits, MpcError, Session,
    wire::{POINT, expect_count, expect_length, point},
};
use curve25519_dalek::{RistrettoPoint, Scalar, traits::Identity};
use rand::Rng;
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

/// The most transfers of one run.
const MAX: usize = 1024;

/// The sender after its announcement.
pub(crate) struct Sender {
    hash: Hash,
    secret: Zeroizing<Scalar>,
    square: Zeroizing<RistrettoPoint>,
}

impl Sender {
    /// Announces A.
    pub(crate) fn new(session: &Session) -> (Self, Vec<u8>) {
        let secret = Zeroizing::new(scalar(&mut session.stream("base transfer: sender")));
        let announced = RistrettoPoint::mul_base(&secret);
        let bytes = announced.compress().to_bytes();
        let sender = Self {
            hash: Hash::new(session, bytes),
            square: Zeroizing::new(announced * *secret),
            secret,
        };
        (sender, bytes.to_vec())
    }

    /// The pairs of pads for the receiver's `count` points.
    pub(crate) fn finish(self, count: usize, points: &[u8]) -> Result<Zeroizing<Vec<[u128; 2]>>, MpcError> {
        expect_count("base transfers", count, 1, MAX)?;
        expect_length(points, count * POINT)?;
        let pads = (0..count).into_par_iter().map(|i| {
            let shared = Zeroizing::new(point(points, i)? * *self.secret);
            let other = Zeroizing::new(*shared - *self.square);
            let sent = &points[i * POINT..(i + 1) * POINT];
            Ok([self.hash.pad(i, sent, &shared), self.hash.pad(i, sent, &other)])
        });
        pads.collect::<Result<_, _>>().map(Zeroizing::new)
    }
}

/// The receiver's pads of its choices, and its points.
pub(crate) fn receive(
    session: &Session,
    choices: &Bits,
    announcement: &[u8],
) -> Result<(Zeroizing<Vec<u128>>, Vec<u8>), MpcError> {
    expect_count("base transfers", choices.len(), 1, MAX)?;
    expect_length(announcement, POINT)?;
    let announced = point(announcement, 0)?;
    let hash = Hash::new(session, announced.compress().to_bytes());
    let mut stream = session.stream("base transfer: receiver");
    let secrets: Zeroizing<Vec<Scalar>> = Zeroizing::new((0..choices.len()).map(|_| scalar(&mut stream)).collect());
    let chosen: Zeroizing<Vec<u8>> = Zeroizing::new(choices.iter().map(u8::from).collect());
    let done: Vec<_> = (0..choices.len())
        .into_par_iter()
        .map(|i| {
            let added = RistrettoPoint::conditional_select(&RistrettoPoint::identity(), &announced, Choice::from(chosen[i]));
            let sent = (RistrettoPoint::mul_base(&secrets[i]) + added).compress().to_bytes();
            (hash.pad(i, &sent, &Zeroizing::new(announced * secrets[i])), sent)
        })
        .collect();
    let points = done.iter().flat_map(|(_, sent)| *sent).collect();
    Ok((Zeroizing::new(done.iter().map(|(pad, _)| *pad).collect()), points))
}

fn scalar(stream: &mut impl Rng) -> Scalar {
    let mut wide = Zeroizing::new([0; 64]);
    stream.fill_bytes(&mut *wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

struct Hash(blake3::Hasher);

impl Hash {
    fn new(session: &Session, announced: [u8; POINT]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&session.public_key("base transfer"));
        hasher.update(&announced);
        Self(hasher)
    }

    fn pad(&self, index: usize, sent: &[u8], shared: &RistrettoPoint) -> u128 {
        let mut hasher = self.0.clone();
        hasher.update(&(index as u64).to_le_bytes()).update(sent);
        hasher.update(Zeroizing::new(shared.compress().to_bytes()).as_slice());
        let mut pad = [0; 16];
        hasher.finalize_xof().fill(&mut pad);
        u128::from_le_bytes(pad)
    }
}
