//! Hostile bytes for every decoder: of the peer's evidence, of quotes and endorsements inside it, and of the customer's own policy.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cloven_attest::{AttestError, Evidence, Kind, Policy, inspect};
use cloven_wire::testing::{fuzz, fuzz_time};
use proptest::prelude::*;

/// Errors about a peer's bytes stay below this length.
const MAX_ERROR: usize = 2048;

fn assert_short(error: &AttestError) {
    let text = error.to_string();
    assert!(text.len() < MAX_ERROR, "{} bytes: {text}", text.len());
}

#[test]
fn hostile_evidence() {
    let valid: Vec<_> = common::all().iter().map(|recorded| recorded.evidence.encode()).collect();
    fuzz("evidence", fuzz_time(4), &valid, |bytes| match Evidence::decode(bytes) {
        Ok(evidence) => assert_eq!(evidence.encode(), bytes),
        Err(error) => assert_short(&error),
    });
}

#[test]
fn hostile_quotes() {
    for recorded in common::all() {
        let genuine = recorded.verify().unwrap();
        let valid = [recorded.evidence.quote().to_vec()];
        fuzz(recorded.name, fuzz_time(20), &valid, |bytes| {
            let Ok(evidence) = Evidence::new(
                recorded.evidence.kind(),
                bytes.to_vec(),
                recorded.evidence.endorsements().to_vec(),
            ) else {
                return;
            };
            if let Err(error) = inspect(&evidence) {
                assert_short(&error);
            }
            match recorded.verify_evidence(&evidence) {
                Ok(verified) => assert_eq!(verified, genuine),
                Err(error) => assert_short(&error),
            }
        });
    }
}

#[test]
fn hostile_endorsements() {
    for recorded in common::all() {
        let genuine = recorded.verify().unwrap();
        let valid = [recorded.evidence.endorsements().to_vec()];
        fuzz(recorded.name, fuzz_time(20), &valid, |bytes| {
            let Ok(evidence) = recorded.evidence.clone().with_endorsements(bytes.to_vec()) else {
                return;
            };
            match recorded.verify_evidence(&evidence) {
                Ok(verified) => assert_eq!(verified, genuine),
                Err(error) => assert_short(&error),
            }
        });
    }
}

#[test]
fn hostile_policies() {
    let valid: Vec<_> = common::all()
        .iter()
        .map(|recorded| recorded.policy.clone().into_bytes())
        .collect();
    fuzz("policy", fuzz_time(4), &valid, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(policy) = Policy::from_toml(text) {
            // What is read is used: no mutant turns a real kind into a simulated one, whose table none of these has.
            assert!(policy.kind().is_real());
        }
    });
}

proptest! {
    #[test]
    fn hostile_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000), tag in 0u8..4) {
        let kind = Kind::ALL[usize::from(tag)];
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes.clone());
        }
        if let Ok(evidence) = Evidence::new(kind, bytes.clone(), bytes) {
            if let Err(error) = inspect(&evidence) {
                prop_assert!(error.to_string().len() < MAX_ERROR);
            }
            for recorded in common::all() {
                prop_assert!(recorded.verify_evidence(&evidence).is_err());
            }
        }
    }
}
