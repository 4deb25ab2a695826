//! Reports that no hardware made, signed by a key of the test in place of a VCEK's: what a genuine report cannot show.

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::{Digest, SnpTcb};

const VCEK_MILAN: &[u8] = include_bytes!("../../tests/recorded/vcek_milan.der");
const VCEK_TURIN: &[u8] = include_bytes!("../../tests/recorded/vcek_turin.der");

fn recorded() -> Vec<u8> {
    hex::decode(include_str!("../../tests/recorded/report_milan.hex").trim()).unwrap()
}

fn policy() -> SnpPolicy {
    let mut measurement = [0; 48];
    measurement.copy_from_slice(&recorded()[0x90..0xc0]);
    SnpPolicy {
        measurement: Digest(measurement),
        min_tcb: SnpTcb {
            fmc: 0,
            bootloader: 3,
            tee: 0,
            snp: 8,
            microcode: 115,
        },
        vmpl: 0,
        allow_smt: true,
        single_socket: false,
        host_data: None,
    }
}

/// Everything after the chain, for the recorded report with `change`, signed anew by a key for which a certificate with `certify` stands.
fn decide(change: impl FnOnce(&mut [u8]), certify: impl FnOnce(&mut Vcek)) -> Result<(), AttestError> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let mut vcek = Vcek::parse(VCEK_MILAN).unwrap();
    vcek.key = key.public_key().as_ref().to_vec();
    certify(&mut vcek);
    let mut bytes = recorded();
    change(&mut bytes);
    let signature = key.sign(&random, &bytes[..0x2a0]).unwrap();
    for (number, at) in signature.as_ref().chunks(48).zip([0x2a0, 0x2a0 + 72]) {
        let reversed: Vec<_> = number.iter().rev().copied().collect();
        bytes[at..at + 48].copy_from_slice(&reversed);
    }
    let report = Report::parse(&bytes)?;
    no_debug(KIND, report.policy().debug())?;
    let claims = authenticate(&report, &vcek)?;
    check(&policy(), &report, &claims.identity)
}

fn unchanged(_: &mut Vcek) {}

#[test]
fn a_report_signed_anew_is_judged_like_a_genuine_one() {
    decide(|_| {}, unchanged).unwrap();
    let error = decide(|report| report[0x0a] |= 1 << 3, unchanged).unwrap_err();
    assert!(matches!(error, AttestError::Debug { kind: KIND }), "{error}");
    let error = decide(|report| report[0x0a] |= 1 << 2, unchanged).unwrap_err();
    assert!(error.to_string().contains("migration agent"), "{error}");
    let error = decide(|report| report[0x30] = 2, unchanged).unwrap_err();
    assert_eq!(error.to_string(), "sev-snp attests privilege level (vmpl) 2, expected 0");
    let error = decide(|report| report[0x90] ^= 1, unchanged).unwrap_err();
    assert!(matches!(error, AttestError::Measurement { .. }), "{error}");
}

#[test]
fn a_guest_launched_on_older_firmware_is_refused() {
    let error = decide(|report| report[0x1f0 + 6] = 7, unchanged).unwrap_err();
    assert!(matches!(error, AttestError::TooOld { expected: 8, got: 7, .. }), "{error}");
}

#[test]
fn the_certificate_must_be_of_the_same_chip_and_versions() {
    let error = decide(|report| report[0x1a0] ^= 1, unchanged).unwrap_err();
    assert!(error.to_string().contains("chip id"), "{error}");
    let error = decide(|report| report[0x180] = 4, unchanged).unwrap_err();
    assert!(error.to_string().contains("TCB version"), "{error}");
    let error = decide(|_| {}, |vcek| vcek.tcb.microcode += 1).unwrap_err();
    assert!(error.to_string().contains("TCB version"), "{error}");
    // A report of version 3 of another processor family.
    let other_family = |report: &mut [u8]| {
        report[0] = 3;
        report[0x188] = 0x1a;
    };
    let error = decide(other_family, unchanged).unwrap_err();
    assert!(error.to_string().contains("processor model"), "{error}");
}

#[test]
fn other_keys_and_algorithms_are_refused() {
    let error = decide(|report| report[0x48] = 1 << 2, unchanged).unwrap_err();
    assert!(error.to_string().contains("VLEK"), "{error}");
    let error = decide(|report| report[0x34] = 2, unchanged).unwrap_err();
    assert!(error.to_string().contains("signature algorithm"), "{error}");
    for version in [0, 1, 6] {
        let error = decide(|report| report[0] = version, unchanged).unwrap_err();
        assert!(matches!(error, AttestError::Malformed { .. }), "{error}");
    }
    for at in [0x2a0 + 48, 0x2a0 + 72 + 71, 0x2a0 + 144, 0x49f] {
        let error = decide(|report| report[at] = 1, unchanged).unwrap_err();
        assert!(matches!(error, AttestError::Malformed { .. }), "{error}");
    }
}

#[test]
fn turin_counts_its_versions_in_another_order() {
    let turin = |report: &mut [u8]| {
        report[0] = 3;
        report[0x188] = 0x1a;
        for at in [0x180, 0x1f0] {
            report[at..at + 8].copy_from_slice(&[1, 3, 0, 8, 0, 0, 0, 115]);
        }
        report[0x1a8..0x1e0].fill(0);
    };
    let certify = |vcek: &mut Vcek| {
        vcek.product = "Turin".to_owned();
        vcek.chip.truncate(8);
        vcek.tcb.fmc = 1;
    };
    decide(turin, certify).unwrap();
    let error = decide(
        |report| {
            turin(report);
            report[0x1f0 + 3] = 7;
        },
        certify,
    )
    .unwrap_err();
    assert!(matches!(error, AttestError::TooOld { expected: 8, got: 7, .. }), "{error}");
    let error = decide(
        |report| {
            turin(report);
            report[0x1df] = 1;
        },
        certify,
    )
    .unwrap_err();
    assert!(error.to_string().contains("chip id"), "{error}");
}

#[test]
fn genuine_certificates_lead_to_amds_roots() {
    for (der, turin) in [(VCEK_MILAN, false), (VCEK_TURIN, true)] {
        let vcek = Vcek::parse(der).unwrap();
        assert_eq!(vcek.is_turin(), turin);
        let not_after = vcek.verify_chain(1_792_454_400).unwrap();
        let error = vcek.verify_chain(not_after + 1).unwrap_err();
        assert!(matches!(error, AttestError::Expired { .. }), "{error}");
        // A byte inside what AMD signed.
        let mut forged = vcek;
        let mut bytes = forged.der.to_vec();
        bytes[300] ^= 1;
        forged.der = CertificateDer::from(bytes);
        let error = forged.verify_chain(1_792_454_400).unwrap_err();
        assert!(
            matches!(error, AttestError::Signature { .. } | AttestError::Endorsements { .. }),
            "{error}"
        );
    }
    assert_eq!(Vcek::parse(VCEK_TURIN).unwrap().tcb().microcode, 9);
}
