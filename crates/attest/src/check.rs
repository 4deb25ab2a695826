//! Comparisons that every kind makes.

use crate::{AttestError, Digest, Kind};

/// A pinned measurement; one that is not pinned may be anything.
pub(crate) fn pinned<const N: usize>(
    kind: Kind,
    register: &'static str,
    expected: Option<Digest<N>>,
    got: Digest<N>,
) -> Result<(), AttestError> {
    match expected {
        Some(expected) if expected != got => Err(AttestError::Measurement {
            kind,
            register,
            expected: expected.to_string(),
            got: got.to_string(),
        }),
        _ => Ok(()),
    }
}

pub(crate) fn at_least(what: &'static str, expected: u64, got: u64) -> Result<(), AttestError> {
    match got < expected {
        true => Err(AttestError::TooOld { what, expected, got }),
        false => Ok(()),
    }
}

/// What a host may never have switched on.
pub(crate) fn no_debug(kind: Kind, debug: bool) -> Result<(), AttestError> {
    match debug {
        true => Err(AttestError::Debug { kind }),
        false => Ok(()),
    }
}
