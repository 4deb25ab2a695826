use super::*;

fn evidence() -> Evidence {
    Evidence::new(Kind::Sgx, vec![7; 5], vec![8, 9]).unwrap()
}

#[test]
fn encoding_and_decoding_undo_each_other() {
    for kind in Kind::ALL {
        for endorsements in [vec![], vec![1; 300]] {
            let evidence = Evidence::new(kind, vec![2; 1000], endorsements).unwrap();
            assert_eq!(Evidence::decode(&evidence.encode()).unwrap(), evidence);
        }
    }
    assert_eq!(evidence().encode(), [1, 3, 5, 0, 0, 0, 7, 7, 7, 7, 7, 2, 0, 0, 0, 8, 9]);
}

#[test]
fn what_is_too_long_is_refused_before_it_is_copied() {
    let error = Evidence::new(Kind::Tdx, vec![0; MAX_QUOTE + 1], vec![]).unwrap_err();
    assert!(matches!(error, AttestError::TooLong { what: "quote", limit: MAX_QUOTE, got } if got == MAX_QUOTE + 1));
    let mut bytes = evidence().encode();
    bytes[2..6].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = Evidence::decode(&bytes).unwrap_err();
    assert!(matches!(error, AttestError::TooLong { what: "quote", .. }), "{error}");
    let error = evidence().with_endorsements(vec![0; MAX_ENDORSEMENTS + 1]).unwrap_err();
    assert!(matches!(
        error,
        AttestError::TooLong {
            what: "endorsements",
            ..
        }
    ));
    let longest = Evidence::new(Kind::Tdx, vec![1; MAX_QUOTE], vec![1; MAX_ENDORSEMENTS]).unwrap();
    assert_eq!(longest.encode().len(), Evidence::MAX_LEN);
}

#[test]
fn what_is_no_evidence_is_refused() {
    let valid = evidence().encode();
    for len in 0..valid.len() {
        assert!(
            matches!(Evidence::decode(&valid[..len]), Err(AttestError::Malformed { .. })),
            "{len}"
        );
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = valid.clone();
        bytes[at] = byte;
        Evidence::decode(&bytes).unwrap_err().to_string()
    };
    assert_eq!(with(0, 2), "evidence: expected version 1, got 2");
    assert_eq!(with(1, 4), "evidence: no kind of attestation has the byte 4");
    assert_eq!(
        Evidence::decode(&[&valid[..], &[0]].concat()).unwrap_err().to_string(),
        "evidence: 1 bytes too many"
    );
    let empty = Evidence::new(Kind::Tdx, vec![], vec![1]).unwrap_err();
    assert_eq!(empty.to_string(), "evidence: it holds no quote");
}
