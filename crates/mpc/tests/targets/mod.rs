//! The decoders, by module.

mod circuits;
mod nonlinear;
mod sets;
mod shares;
mod two_party;

use super::{Form, Target};
use cloven_mpc::{PartySecret, Session};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

pub fn all() -> Vec<Target> {
    [
        sets::transfers(),
        sets::functions(),
        sets::intersections(),
        circuits::all(),
        nonlinear::all(),
        shares::all(),
        two_party::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn session(party: u8) -> Session {
    Session::new(&PartySecret::new([party; 32]), b"hostile bytes")
}

fn random() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}
