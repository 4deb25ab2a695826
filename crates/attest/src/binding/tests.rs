use ring::digest::{SHA512, digest};

use super::*;

fn parts() -> ([u8; 91], [u8; 32], [u8; 32]) {
    ([1; 91], [2; 32], [3; 32])
}

#[test]
fn report_data_are_the_digest_of_all_fields_with_their_lengths() {
    let (spki, nonce, exported) = parts();
    let key = digest(&ring::digest::SHA256, &spki);
    let mut bytes = Vec::new();
    for field in [DOMAIN, key.as_ref(), &nonce, &exported] {
        bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field);
    }
    let data = ReportData::bind(
        &KeyHash::of_spki(&spki),
        &Nonce::from_bytes(nonce),
        &Exporter::from_bytes(exported),
    );
    assert_eq!(data.as_bytes()[..], *digest(&SHA512, &bytes).as_ref());
    // Both ends of a connection must agree on these bytes, in every version of the program.
    assert_eq!(data.to_string(), include_str!("known_answer.txt").trim());
}

#[test]
fn every_part_changes_the_report_data() {
    let (spki, nonce, exported) = parts();
    let bind = |spki: &[u8], nonce, exported| {
        ReportData::bind(
            &KeyHash::of_spki(spki),
            &Nonce::from_bytes(nonce),
            &Exporter::from_bytes(exported),
        )
    };
    let data = bind(&spki, nonce, exported);
    assert_eq!(data, bind(&spki, nonce, exported));
    assert_ne!(data, bind(&spki[1..], nonce, exported));
    assert_ne!(data, bind(&spki, exported, nonce));
    for at in 0..32 {
        let (mut other_nonce, mut other_exported) = (nonce, exported);
        other_nonce[at] ^= 1;
        other_exported[at] ^= 0x80;
        assert_ne!(data, bind(&spki, other_nonce, exported));
        assert_ne!(data, bind(&spki, nonce, other_exported));
    }
}

#[test]
fn nonces_differ() {
    assert_ne!(Nonce::fresh().unwrap(), Nonce::fresh().unwrap());
}

#[test]
fn the_key_of_a_certificate_is_its_spki() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["enclave".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    assert_eq!(KeyHash::of_certificate(certificate.der()).unwrap(), KeyHash::of_spki(&spki));
    assert!(matches!(
        KeyHash::of_certificate(b"none"),
        Err(AttestError::Malformed {
            what: "TLS certificate",
            ..
        })
    ));
}
