//! Folders that behave as the kernel's and Gramine's, with recorded quotes.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    thread::{self, JoinHandle},
};

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;

use super::*;
use crate::{AttestError, Claims, Digest, Identity};

const TDX: &[u8] = include_bytes!("../../tests/recorded/tdx_quote");
const SGX: &[u8] = include_bytes!("../../tests/recorded/sgx_quote");

fn report_data(kind: Kind, quote: &[u8]) -> ReportData {
    let Claims { report_data, .. } = inspect(&Evidence::new(kind, quote.to_vec(), vec![]).unwrap()).unwrap();
    report_data
}

fn snp_report() -> Vec<u8> {
    hex::decode(include_str!("../../tests/recorded/report_milan.hex").trim()).unwrap()
}

/// An entry of configfs-tsm. Its counter and `inblob` are pipes, so that what is read depends on what was written before.
struct FakeEntry {
    folder: TempDir,
    kernel: JoinHandle<Vec<u8>>,
}

impl FakeEntry {
    fn new(provider: &str, quote: &[u8], auxblob: Option<&[u8]>, generations: [&'static str; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("provider"), format!("{provider}\n")).unwrap();
        fs::write(file("outblob"), quote).unwrap();
        if let Some(auxblob) = auxblob {
            fs::write(file("auxblob"), auxblob).unwrap();
        }
        let (counter, inblob) = (file("generation"), file("inblob"));
        for pipe in [&counter, &inblob] {
            // No process is started for it: it would have ends of other tests' pipes for a moment, whose writers then do not wait for a reader.
            mkfifoat(CWD, pipe, Mode::RUSR | Mode::WUSR).unwrap();
        }
        let kernel = thread::spawn(move || {
            fs::write(&counter, generations[0]).unwrap();
            let asked = fs::read(&inblob).unwrap();
            fs::write(&counter, generations[1]).unwrap();
            asked
        });
        Self { folder, kernel }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

#[test]
fn a_quote_of_the_kernel_is_for_the_report_data_asked_for() {
    let entry = FakeEntry::new("tdx_guest", TDX, None, ["7\n", "8\n"]);
    let attester = Attester::ConfigfsTsm(ConfigfsTsm::tdx().in_entry(entry.path()));
    let data = report_data(Kind::Tdx, TDX);
    let evidence = attester.attest(&data).unwrap();
    assert_eq!((evidence.kind(), evidence.quote()), (Kind::Tdx, TDX));
    assert!(evidence.endorsements().is_empty());
    assert_eq!(entry.kernel.join().unwrap(), data.as_bytes());
    assert_eq!(attester.warning(), None);
}

#[test]
fn the_hosts_certificates_come_with_a_report_of_sev_snp() {
    let report = snp_report();
    for (auxblob, expected) in [(Some(&b"table"[..]), &b"table"[..]), (Some(&[0; 48][..]), b""), (None, b"")] {
        let entry = FakeEntry::new("sev_guest", &report, auxblob, ["0\n", "1\n"]);
        let attester = Attester::ConfigfsTsm(ConfigfsTsm::sev_snp().in_entry(entry.path()));
        let evidence = attester.attest(&report_data(Kind::SevSnp, &report)).unwrap();
        assert_eq!((evidence.kind(), evidence.endorsements()), (Kind::SevSnp, expected));
        entry.kernel.join().unwrap();
    }
}

#[test]
fn another_writer_is_noticed() {
    let entry = FakeEntry::new("tdx_guest", TDX, None, ["7\n", "9\n"]);
    let source = Attester::ConfigfsTsm(ConfigfsTsm::tdx().in_entry(entry.path()));
    let error = source.attest(&report_data(Kind::Tdx, TDX)).unwrap_err();
    assert!(
        matches!(error, AttestError::Generation { expected: 8, got: 9, .. }),
        "{error}"
    );
    entry.kernel.join().unwrap();
}

#[test]
fn a_quote_for_other_report_data_is_not_passed_on() {
    let entry = FakeEntry::new("tdx_guest", TDX, None, ["7\n", "8\n"]);
    let source = Attester::ConfigfsTsm(ConfigfsTsm::tdx().in_entry(entry.path()));
    let error = source.attest(&ReportData::from_bytes([1; 64])).unwrap_err();
    assert!(matches!(error, AttestError::ReportData { kind: Kind::Tdx, .. }), "{error}");
    entry.kernel.join().unwrap();
}

#[test]
fn another_provider_and_a_missing_interface_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("provider"), b"sev_guest\n").unwrap();
    let data = ReportData::from_bytes([1; 64]);
    let error = Attester::ConfigfsTsm(ConfigfsTsm::tdx().in_entry(folder.path()))
        .attest(&data)
        .unwrap_err();
    assert!(
        matches!(&error, AttestError::Provider { expected: "tdx_guest", got, .. } if got == "sev_guest"),
        "{error}"
    );
    let missing = folder.path().join("missing");
    let error = Attester::ConfigfsTsm(ConfigfsTsm::tdx().below(&missing))
        .attest(&data)
        .unwrap_err();
    assert!(
        matches!(&error, AttestError::File { path, .. } if path.starts_with(&missing)),
        "{error}"
    );
    // A folder that is no configfs: an entry gets no files, and is removed again.
    let error = Attester::ConfigfsTsm(ConfigfsTsm::tdx().below(folder.path()))
        .attest(&data)
        .unwrap_err();
    assert!(
        matches!(&error, AttestError::File { path, .. } if path.ends_with("provider")),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_quote_without_end_is_cut_off() {
    let entry = FakeEntry::new("tdx_guest", &vec![1; MAX + 9], None, ["7\n", "8\n"]);
    let error = Attester::ConfigfsTsm(ConfigfsTsm::tdx().in_entry(entry.path()))
        .attest(&ReportData::from_bytes([1; 64]))
        .unwrap_err();
    assert!(
        matches!(error, AttestError::TooLong { what: "quote", limit: MAX, got } if got == MAX + 1),
        "{error}"
    );
    // The fake kernel still waits for its second reader.
    fs::read(entry.path().join("generation")).unwrap();
    entry.kernel.join().unwrap();
}

const MAX: usize = crate::MAX_QUOTE;

fn gramine(kind: &str, quote: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("attestation_type"), kind).unwrap();
    fs::write(folder.path().join("quote"), quote).unwrap();
    fs::File::create(folder.path().join("user_report_data"))
        .unwrap()
        .write_all(&[0; 64])
        .unwrap();
    folder
}

#[test]
fn a_quote_of_gramine_is_for_the_report_data_asked_for() {
    let folder = gramine("dcap\n", SGX);
    let data = report_data(Kind::Sgx, SGX);
    let attester = Attester::Gramine(Gramine::at(folder.path()));
    let evidence = attester.attest(&data).unwrap();
    assert_eq!((evidence.kind(), evidence.quote()), (Kind::Sgx, SGX));
    assert_eq!(fs::read(folder.path().join("user_report_data")).unwrap(), data.as_bytes());
    let error = attester.attest(&ReportData::from_bytes([1; 64])).unwrap_err();
    assert!(matches!(error, AttestError::ReportData { kind: Kind::Sgx, .. }), "{error}");
}

#[test]
fn gramine_without_remote_attestation_is_named() {
    let folder = gramine("none", SGX);
    let error = Attester::Gramine(Gramine::at(folder.path()))
        .attest(&ReportData::from_bytes([1; 64]))
        .unwrap_err();
    assert!(
        matches!(&error, AttestError::Provider { expected: "dcap", got, .. } if got == "none"),
        "{error}"
    );
    fs::remove_file(folder.path().join("user_report_data")).unwrap();
    fs::write(folder.path().join("attestation_type"), "dcap").unwrap();
    let error = Attester::Gramine(Gramine::at(folder.path()))
        .attest(&ReportData::from_bytes([1; 64]))
        .unwrap_err();
    assert!(
        matches!(&error, AttestError::File { path, .. } if path.ends_with("user_report_data")),
        "{error}"
    );
}

#[test]
fn simulation_is_never_this_machines_and_always_warns() {
    assert!(Attester::of_this_machine(Kind::Simulated).is_none());
    for kind in [Kind::Tdx, Kind::SevSnp, Kind::Sgx] {
        let attester = Attester::of_this_machine(kind).unwrap();
        assert_eq!((attester.kind(), attester.warning()), (kind, None));
    }
    let measurement = Digest([3; 48]);
    let attester = Attester::Simulated(Simulated {
        measurement,
        debug: false,
    });
    assert!(attester.warning().unwrap().contains("proves nothing"));
    let evidence = attester.attest(&ReportData::from_bytes([1; 64])).unwrap();
    assert_eq!(inspect(&evidence).unwrap().identity, Identity::Simulated { measurement });
}
