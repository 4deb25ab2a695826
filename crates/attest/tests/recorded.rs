//! Verification of quotes that real hardware made.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cloven_attest::{AttestError, Digest, Evidence, Identity, Kind, Policy, ReportData, TcbStatus, inspect, verify};
use common::{Recorded, all, at, sgx, snp, tdx, tdx_outdated};

#[test]
fn genuine_quotes_are_accepted() {
    for recorded in all() {
        let verified = recorded.verify().unwrap_or_else(|error| panic!("{}: {error}", recorded.name));
        assert_eq!(verified.identity, inspect(&recorded.evidence).unwrap().identity);
        assert!(verified.expires.unwrap() > recorded.now, "{}", recorded.name);
    }
    let verified = tdx().verify().unwrap();
    let tcb = verified.tcb.clone().unwrap();
    assert_eq!((tcb.status, tcb.evaluation), (TcbStatus::UpToDate, 17));
    let Identity::Tdx { mrtd, rtmr } = verified.identity else {
        panic!("{verified:?}")
    };
    assert!(mrtd.to_string().starts_with("91eb2b44"));
    assert_eq!(rtmr[3], Digest([0; 48]));
    let Identity::SevSnp { vmpl, reported_tcb, .. } = snp().verify().unwrap().identity else {
        panic!("no report of SEV-SNP")
    };
    assert_eq!((vmpl, reported_tcb.bootloader, reported_tcb.microcode), (0, 3, 115));
}

/// Bits all over the quotes. What nobody signs (white space in certificates, padding) may change, but then nothing else does.
#[test]
fn no_flipped_bit_changes_what_is_verified() {
    for recorded in [sgx(), tdx(), snp()] {
        let genuine = recorded.verify().unwrap();
        let quote = recorded.evidence.quote();
        // After the signatures of a DCAP quote come three kilobytes of certificates.
        let places = (0..quote.len().min(1800)).step_by(3).chain((1800..quote.len()).step_by(17));
        for at in places {
            let mut tampered = quote.to_vec();
            tampered[at] ^= 1 << (at % 8);
            match recorded.verify_evidence(&recorded.with_quote(&tampered)) {
                Err(_) => {}
                Ok(verified) => {
                    assert!(at >= recorded.signed, "{}: byte {at} is signed", recorded.name);
                    assert_eq!(verified, genuine, "{}: byte {at}", recorded.name);
                }
            }
        }
    }
}

#[test]
fn a_changed_part_of_a_quote_is_an_error_of_its_signature() {
    let sgx_parts = [
        ("MRENCLAVE", 48 + 64),
        ("MRSIGNER", 48 + 128),
        ("report data", 48 + 320),
        ("signature", 436),
        ("attestation key", 436 + 64),
        ("report of the quoting enclave", 436 + 128 + 64),
        ("its signature", 436 + 128 + 384),
        ("authentication data", 436 + 128 + 384 + 64 + 2),
    ];
    parts_are_signed(&sgx(), &sgx_parts);
    let tdx_parts = [
        ("TCB SVN", 48),
        ("MRTD", 48 + 136),
        ("RTMR3", 48 + 472),
        ("report data", 48 + 520),
        ("signature", 636),
        ("attestation key", 636 + 64),
        ("report of the quoting enclave", 636 + 128 + 6 + 64),
        ("its signature", 636 + 128 + 6 + 384),
        ("authentication data", 636 + 128 + 6 + 384 + 64 + 2),
    ];
    parts_are_signed(&tdx(), &tdx_parts);
    let snp_parts = [
        ("guest SVN", 0x04),
        ("report data", 0x50),
        ("measurement", 0x90),
        ("host data", 0xc0),
        ("reported TCB", 0x180),
        ("chip id", 0x1a0),
        ("launch TCB", 0x1f0),
        ("r", 0x2a0),
        ("s", 0x2a0 + 72),
    ];
    parts_are_signed(&snp(), &snp_parts);
}

fn parts_are_signed(recorded: &Recorded, parts: &[(&str, usize)]) {
    for (part, offset) in parts {
        let mut tampered = recorded.evidence.quote().to_vec();
        tampered[*offset] ^= 0x10;
        let error = recorded.verify_evidence(&recorded.with_quote(&tampered)).unwrap_err();
        assert!(
            matches!(&error, AttestError::Signature { kind, .. } if *kind == recorded.evidence.kind()),
            "{part}: {error}"
        );
    }
}

#[test]
fn bytes_after_a_quote_are_refused() {
    for recorded in all() {
        let longer = [recorded.evidence.quote(), b"x"].concat();
        let error = recorded.verify_evidence(&recorded.with_quote(&longer)).unwrap_err();
        assert!(matches!(error, AttestError::Malformed { .. }), "{}: {error}", recorded.name);
    }
}

#[test]
fn a_quote_for_other_report_data_is_refused() {
    let other = ReportData::from_bytes([7; 64]);
    for recorded in all() {
        let error = verify(&recorded.policy(), &recorded.evidence, &other, at(recorded.now)).unwrap_err();
        match error {
            AttestError::ReportData { kind, expected, got } => {
                assert_eq!(kind, recorded.evidence.kind());
                assert_eq!((expected, got), (other.to_string(), recorded.report_data.to_string()));
            }
            other => panic!("{}: {other}", recorded.name),
        }
    }
}

#[test]
fn another_measurement_is_refused_with_its_name() {
    let cases = [
        (tdx(), "mrtd = \"91", "mrtd = \"92", "MRTD"),
        (tdx(), "rtmr0 = \"44", "rtmr0 = \"45", "RTMR0"),
        (tdx(), "rtmr3 = \"00", "rtmr3 = \"01", "RTMR3"),
        (sgx(), "mrenclave = \"33", "mrenclave = \"34", "MRENCLAVE"),
        (sgx(), "mrsigner = \"81", "mrsigner = \"82", "MRSIGNER"),
    ];
    for (recorded, part, by, name) in cases {
        match recorded.verify_with(part, by).unwrap_err() {
            AttestError::Measurement {
                register, expected, got, ..
            } => {
                assert_eq!(register, name);
                assert!(part.ends_with(&got[..2]) && by.ends_with(&expected[..2]), "{expected} {got}");
            }
            other => panic!("{name}: {other}"),
        }
    }
    let other = format!("measurement = \"{}\"\n#", "00".repeat(48));
    let error = snp().verify_with("measurement =", &other).unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::Measurement {
                register: "measurement",
                ..
            }
        ),
        "{error}"
    );
    let error = snp()
        .verify_with("allow_smt", &format!("host_data = \"{}\"\nallow_smt", "11".repeat(32)))
        .unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::Measurement {
                register: "host data",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn product_and_version_of_an_enclave_are_compared() {
    let error = sgx().verify_with("product_id = 0", "product_id = 7").unwrap_err();
    assert_eq!(error.to_string(), "sgx attests product id 0, expected 7");
    let error = sgx().verify_with("min_svn = 0", "min_svn = 3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "security version of the enclave: expected at least 3, got 0"
    );
}

#[test]
fn debug_mode_is_refused() {
    // Recorded quotes with the debug bit set; that their signatures then do not fit is found later.
    for (recorded, at, bit) in [(sgx(), 48 + 48, 1), (tdx(), 48 + 120, 0), (snp(), 0x0a, 3)] {
        let mut quote = recorded.evidence.quote().to_vec();
        quote[at] |= 1 << bit;
        let evidence = recorded.with_quote(&quote);
        assert!(inspect(&evidence).unwrap().debug, "{}", recorded.name);
        let error = recorded.verify_evidence(&evidence).unwrap_err();
        assert!(
            matches!(error, AttestError::Debug { kind } if kind == recorded.evidence.kind()),
            "{}: {error}",
            recorded.name
        );
    }
}

#[test]
fn endorsements_that_are_not_valid_at_the_time_are_refused() {
    for recorded in all() {
        let expires = recorded.verify().unwrap().expires.unwrap();
        let verify_at = |now| verify(&recorded.policy(), &recorded.evidence, &recorded.report_data, at(now));
        assert!(verify_at(expires - 1).is_ok(), "{}", recorded.name);
        for wrong in [0, 1_400_000_000, expires + 1, expires + 1_000_000_000] {
            let error = verify_at(wrong).unwrap_err();
            assert!(
                matches!(error, AttestError::Expired { now, .. } if now == wrong),
                "{}: {error}",
                recorded.name
            );
        }
    }
    let sgx = sgx();
    let error = verify(&sgx.policy(), &sgx.evidence, &sgx.report_data, at(1_752_919_278)).unwrap_err();
    let AttestError::Expired { what, until, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((what, until), ("Intel's QE identity", 1_752_919_278));
}

#[test]
fn a_platform_below_the_policy_is_refused() {
    let error = tdx_outdated().verify().unwrap_err();
    assert!(matches!(&error, AttestError::TcbUnlisted(_)), "{error}");
    let error = sgx().verify_with(", \"ConfigurationAndSWHardeningNeeded\"", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the platform's TCB status is ConfigurationAndSWHardeningNeeded, the policy accepts UpToDate"
    );
    let error = sgx().verify_with("\"INTEL-SA-00289\", ", "").unwrap_err();
    assert!(
        matches!(&error, AttestError::Advisories { got, .. } if got == &["INTEL-SA-00289"]),
        "{error}"
    );
    for recorded in [sgx(), tdx()] {
        let error = recorded
            .verify_with("min_evaluation = 17", "min_evaluation = 18")
            .unwrap_err();
        assert!(
            matches!(
                error,
                AttestError::TooOld {
                    expected: 18,
                    got: 17,
                    ..
                }
            ),
            "{error}"
        );
    }
    let error = snp().verify_with("snp = 8", "snp = 9").unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::TooOld {
                what: "version of the SNP firmware",
                expected: 9,
                got: 8
            }
        ),
        "{error}"
    );
    let error = snp().verify_with("allow_smt = true", "").unwrap_err();
    assert!(error.to_string().contains("allow_smt"), "{error}");
    let error = snp().verify_with("allow_smt", "vmpl = 1\nallow_smt").unwrap_err();
    assert_eq!(error.to_string(), "sev-snp attests privilege level (vmpl) 0, expected 1");
    let error = snp().verify_with("allow_smt", "single_socket = true\nallow_smt").unwrap_err();
    assert!(matches!(error, AttestError::Property { .. }), "{error}");
}

#[test]
fn forged_collateral_is_refused() {
    for recorded in [sgx(), tdx()] {
        let json = String::from_utf8(recorded.evidence.endorsements().to_vec()).unwrap();
        // Each changes what Intel signed: a level's status, a date, a revocation list.
        for (part, by) in [
            ("\\\"tcbStatus\\\":\\\"OutOfDate\\\"", "\\\"tcbStatus\\\":\\\"UpToDate\\\""),
            ("\\\"nextUpdate\\\":\\\"2025", "\\\"nextUpdate\\\":\\\"2035"),
        ] {
            assert!(json.contains(part), "{}", recorded.name);
            let forged = recorded
                .evidence
                .clone()
                .with_endorsements(json.replacen(part, by, 1).into_bytes())
                .unwrap();
            let error = recorded.verify_evidence(&forged).unwrap_err();
            assert!(matches!(error, AttestError::Signature { .. }), "{}: {error}", recorded.name);
        }
    }
    // Collateral of another platform.
    let foreign = tdx()
        .evidence
        .with_endorsements(sgx().evidence.endorsements().to_vec())
        .unwrap();
    let error = tdx().verify_evidence(&foreign).unwrap_err();
    assert!(matches!(error, AttestError::Signature { .. }), "{error}");
}

#[test]
fn the_customers_own_endorsements_replace_those_that_came() {
    for recorded in all() {
        let bare = recorded.evidence.clone().with_endorsements(vec![]).unwrap();
        let error = recorded.verify_evidence(&bare).unwrap_err();
        assert!(
            matches!(error, AttestError::Endorsements { .. }),
            "{}: {error}",
            recorded.name
        );
        let own = recorded
            .policy()
            .with_endorsements(recorded.evidence.endorsements().to_vec())
            .unwrap();
        assert!(
            verify(&own, &bare, &recorded.report_data, at(recorded.now)).is_ok(),
            "{}",
            recorded.name
        );
        let useless = recorded.policy().with_endorsements(b"{}".to_vec()).unwrap();
        assert!(verify(&useless, &recorded.evidence, &recorded.report_data, at(recorded.now)).is_err());
    }
}

#[test]
fn a_flipped_bit_of_a_vcek_is_refused_or_changes_nothing() {
    let snp = snp();
    let genuine = snp.verify().unwrap();
    for at in (0..snp.evidence.endorsements().len()).step_by(3) {
        let mut tampered = snp.evidence.endorsements().to_vec();
        tampered[at] ^= 1 << (at % 8);
        let evidence = snp.evidence.clone().with_endorsements(tampered).unwrap();
        if let Ok(verified) = snp.verify_evidence(&evidence) {
            assert_eq!(verified, genuine, "byte {at}");
        }
    }
}

#[test]
fn a_vcek_comes_in_three_forms_and_must_be_the_processors() {
    let snp = snp();
    let der = snp.evidence.endorsements();
    let verify = |endorsements: Vec<u8>| snp.verify_evidence(&snp.evidence.clone().with_endorsements(endorsements).unwrap());
    assert_eq!(verify(pem(der).into_bytes()).unwrap(), snp.verify().unwrap());
    assert_eq!(verify(table(der, 48)).unwrap(), snp.verify().unwrap());
    for offset in [u32::MAX, 49 + der.len() as u32] {
        let error = verify(table(der, offset)).unwrap_err();
        assert!(matches!(error, AttestError::Endorsements { .. }), "{error}");
    }
    // Genuine, of another processor.
    let error = verify(include_bytes!("recorded/vcek_turin.der").to_vec()).unwrap_err();
    assert!(matches!(error, AttestError::Signature { .. }), "{error}");
}

/// A table as the kernel's `auxblob`: one entry, the end, the certificate. A genuine one says 48.
fn table(der: &[u8], offset: u32) -> Vec<u8> {
    let mut table = hex::decode("63da758de6644564adc5f4b93be8accd").unwrap();
    table.extend_from_slice(&offset.to_le_bytes());
    table.extend_from_slice(&(der.len() as u32).to_le_bytes());
    table.extend_from_slice(&[0; 24]);
    table.extend_from_slice(der);
    table
}

fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let number = three
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0, |n, byte| n << 8 | u32::from(*byte));
        for place in 0..4 {
            match place <= three.len() {
                true => text.push(char::from(DIGITS[(number >> (18 - 6 * place) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

#[test]
fn evidence_of_another_kind_is_refused() {
    for recorded in all() {
        let policy = recorded.policy();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != policy.kind()) {
            // As another kind says it is.
            let other = Evidence::new(kind, recorded.evidence.quote().to_vec(), vec![]).unwrap();
            let error = verify(&policy, &other, &recorded.report_data, at(recorded.now)).unwrap_err();
            assert!(
                matches!(error, AttestError::Kind { expected, got } if expected == policy.kind() && got == kind),
                "{error}"
            );
            assert!(inspect(&other).is_err(), "{} as {kind}", recorded.name);
        }
    }
    // A genuine TDX quote said to be of SGX.
    let tdx = tdx();
    let relabelled = Evidence::new(Kind::Sgx, tdx.evidence.quote().to_vec(), vec![]).unwrap();
    let error = verify(&sgx().policy(), &relabelled, &tdx.report_data, at(tdx.now)).unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::Kind {
                expected: Kind::Sgx,
                got: Kind::Tdx
            }
        ),
        "{error}"
    );
}

#[test]
fn a_quote_says_by_what_endorsements_are_asked_for() {
    let platform = |recorded: Recorded| serde_json::to_value(inspect(&recorded.evidence).unwrap().platform).unwrap();
    // As the collateral that was recorded with it says.
    for recorded in [sgx(), tdx()] {
        let collateral: serde_json::Value = serde_json::from_slice(recorded.evidence.endorsements()).unwrap();
        let tcb_info: serde_json::Value = serde_json::from_str(collateral["tcb_info"].as_str().unwrap()).unwrap();
        let fmspc = tcb_info["fmspc"].as_str().unwrap().to_lowercase();
        assert_eq!(platform(recorded)["fmspc"], fmspc);
    }
    assert_eq!(
        (&platform(sgx())["ca"], &platform(tdx())["ca"]),
        (&"processor".into(), &"platform".into())
    );
    let chip = hex::encode(&snp().evidence.quote()[0x1a0..0x1e0]);
    assert_eq!(platform(snp())["chip_id"], chip);
}

#[test]
fn what_is_verified_can_be_written_as_json() {
    let json = serde_json::to_value(tdx().verify().unwrap()).unwrap();
    assert_eq!(json["identity"]["kind"], "tdx");
    assert!(json["identity"]["mrtd"].as_str().unwrap().starts_with("91eb"));
    assert_eq!(json["tcb"]["status"], "UpToDate");
    assert!(Policy::from_toml(&tdx().policy).unwrap().warnings()[0].contains("rtmr1"));
}
