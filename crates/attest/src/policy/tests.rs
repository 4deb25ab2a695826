use std::fs;

use super::*;

fn digest(n: usize) -> String {
    "5a".repeat(n)
}

fn refused(text: &str) -> String {
    match Policy::from_toml(text) {
        Err(AttestError::Policy(cause)) => cause,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_policy_of_every_kind_is_read() {
    let tdx = format!(
        "kind = \"tdx\"\n[tdx]\nmrtd = \"{0}\"\nrtmr1 = \"{0}\"\n[tdx.tcb]\naccept = [\"UpToDate\", \"SWHardeningNeeded\"]\nmin_evaluation = 17",
        digest(48)
    );
    let policy = Policy::from_toml(&tdx).unwrap();
    let Requirement::Tdx(read) = policy.requirement() else {
        panic!("{policy:?}")
    };
    assert_eq!(policy.kind(), Kind::Tdx);
    assert_eq!(read.rtmr(), [None, Some(Digest([0x5a; 48])), None, None]);
    assert_eq!(read.tcb.accept, [TcbStatus::UpToDate, TcbStatus::SWHardeningNeeded]);
    assert_eq!(policy.warnings().len(), 2, "{:?}", policy.warnings());

    let snp = format!(
        "kind = \"sev-snp\"\n[sev-snp]\nmeasurement = \"{}\"\nmin_tcb = {{ bootloader = 3, tee = 0, snp = 8, microcode = 115 }}",
        digest(48)
    );
    let policy = Policy::from_toml(&snp).unwrap();
    let Requirement::SevSnp(read) = policy.requirement() else {
        panic!("{policy:?}")
    };
    assert_eq!((read.vmpl, read.allow_smt, read.min_tcb.fmc), (0, false, 0));
    assert!(policy.warnings().is_empty());

    let sgx = format!(
        "kind = \"sgx\"\n[sgx]\nmrsigner = \"{}\"\nproduct_id = 1\nmin_svn = 2",
        digest(32)
    );
    let policy = Policy::from_toml(&sgx).unwrap();
    assert!(policy.warnings()[0].contains("signing key"));

    let simulated = format!("kind = \"simulated\"\n[simulated]\nmeasurement = \"{}\"", digest(48));
    assert_eq!(Policy::from_toml(&simulated).unwrap().warnings(), [crate::SIMULATED_WARNING]);
}

#[test]
fn what_is_unknown_missing_or_not_in_force_is_refused() {
    let tdx = format!("kind = \"tdx\"\n[tdx]\nmrtd = \"{}\"\n", digest(48));
    assert!(Policy::from_toml(&tdx).is_ok());
    assert!(refused(&format!("{tdx}mrdt = 1")).contains("mrdt"));
    assert!(refused(&format!("any = true\n{tdx}")).contains("any"));
    assert!(refused(&format!("{tdx}[tdx.tcb]\naccept = [\"Revoked\"]")).contains("Revoked"));
    assert!(refused("kind = \"any\"").contains("any"));
    assert_eq!(refused("kind = \"tdx\""), "kind is \"tdx\", but there is no table [tdx]");
    let both = format!("{tdx}[simulated]\nmeasurement = \"{}\"", digest(48));
    assert_eq!(refused(&both), "kind is \"tdx\", but there is a table [simulated]: remove it");
    let short = refused(&tdx.replacen("5a", "", 1));
    assert!(short.contains("expected 96 hexadecimal digits, got 94"), "{short}");
    assert!(refused(&tdx.replacen("5a", "zz", 1)).contains("hexadecimal"));
}

#[test]
fn an_enclave_must_be_pinned() {
    assert!(refused("kind = \"sgx\"\n[sgx]").contains("pins no code"));
    let signer = format!("kind = \"sgx\"\n[sgx]\nmrsigner = \"{}\"", digest(32));
    assert!(refused(&signer).contains("belong together"));
    let enclave = format!("kind = \"sgx\"\n[sgx]\nmrenclave = \"{}\"", digest(32));
    assert!(Policy::from_toml(&enclave).is_ok());
    assert!(refused(&format!("{enclave}\nmin_svn = 3")).contains("belong together"));
}

#[test]
fn a_file_names_its_endorsements_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let text = format!(
        "kind = \"tdx\"\nendorsements = \"own.json\"\n[tdx]\nmrtd = \"{}\"",
        digest(48)
    );
    fs::write(&path, text).unwrap();
    let error = Policy::load(&path).unwrap_err();
    assert!(
        matches!(&error, AttestError::File { path, .. } if path.ends_with("own.json")),
        "{error}"
    );
    fs::write(folder.path().join("own.json"), b"{}").unwrap();
    assert_eq!(Policy::load(&path).unwrap().endorsements(), Some(&b"{}"[..]));
    fs::write(folder.path().join("own.json"), vec![b' '; crate::MAX_ENDORSEMENTS + 1]).unwrap();
    let error = Policy::load(&path).unwrap_err();
    assert!(
        matches!(
            error,
            AttestError::TooLong {
                what: "endorsements",
                ..
            }
        ),
        "{error}"
    );
    fs::write(&path, b"kind = ").unwrap();
    assert!(Policy::load(&path).unwrap_err().to_string().contains("policy.toml"));
}

#[test]
fn the_recipes_policies_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    for kind in Kind::ALL {
        let policy = Policy::load(&folder.join(format!("policy-{kind}.toml"))).unwrap();
        assert_eq!(policy.kind(), kind);
        assert_eq!(policy.warnings().is_empty(), kind.is_real(), "{kind}");
    }
}
