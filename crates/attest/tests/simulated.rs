//! Simulated attestation: every refusal can be tried without hardware, and nothing real is ever satisfied by it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::SystemTime;

use cloven_attest::{AttestError, Attester, Digest, Evidence, Kind, Policy, ReportData, Simulated, verify};

fn policy() -> Policy {
    Policy::from_toml(&format!(
        "kind = \"simulated\"\n[simulated]\nmeasurement = \"{}\"",
        "ab".repeat(48)
    ))
    .unwrap()
}

fn evidence(measurement: u8, debug: bool) -> Evidence {
    let measurement = Digest([measurement; 48]);
    Attester::Simulated(Simulated { measurement, debug }).attest(&data()).unwrap()
}

fn data() -> ReportData {
    ReportData::from_bytes([9; 64])
}

fn decide(evidence: &Evidence) -> Result<(), AttestError> {
    verify(&policy(), evidence, &data(), SystemTime::now()).map(drop)
}

#[test]
fn what_is_pinned_is_accepted_and_the_rest_refused() {
    decide(&evidence(0xab, false)).unwrap();
    let error = decide(&evidence(0xac, false)).unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::Measurement {
                kind: Kind::Simulated,
                ..
            }
        ),
        "{error}"
    );
    let error = decide(&evidence(0xab, true)).unwrap_err();
    assert!(matches!(error, AttestError::Debug { kind: Kind::Simulated }), "{error}");
    let other = ReportData::from_bytes([8; 64]);
    let error = verify(&policy(), &evidence(0xab, false), &other, SystemTime::now()).unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::ReportData {
                kind: Kind::Simulated,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn every_flipped_bit_is_refused() {
    let genuine = evidence(0xab, false);
    for at in 0..genuine.quote().len() {
        for bit in 0..8 {
            let mut quote = genuine.quote().to_vec();
            quote[at] ^= 1 << bit;
            assert!(
                decide(&Evidence::new(Kind::Simulated, quote, vec![]).unwrap()).is_err(),
                "{at}, {bit}"
            );
        }
    }
}

#[test]
fn a_policy_for_hardware_refuses_it_under_any_name() {
    let simulated = evidence(0xab, false);
    for recorded in common::all() {
        let kind = recorded.evidence.kind();
        let error = recorded.verify_evidence(&simulated).unwrap_err();
        assert!(
            matches!(error, AttestError::Kind { expected, got: Kind::Simulated } if expected == kind),
            "{error}"
        );
        // The same bytes, said to be real, with genuine endorsements.
        let renamed = Evidence::new(kind, simulated.quote().to_vec(), recorded.evidence.endorsements().to_vec()).unwrap();
        let error = recorded.verify_evidence(&renamed).unwrap_err();
        assert!(matches!(error, AttestError::Malformed { .. }), "{error}");
        // And a customer that asked for a simulation gets nothing else.
        let error = decide(&recorded.evidence).unwrap_err();
        assert!(
            matches!(
                error,
                AttestError::Kind {
                    expected: Kind::Simulated,
                    ..
                }
            ),
            "{error}"
        );
    }
}
