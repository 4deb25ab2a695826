//! Recorded quotes (`recorded/README.md` says whose), each with a policy that accepts it and a time at which its collateral is valid.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloven_attest::{AttestError, Evidence, Kind, Policy, ReportData, Verified, inspect, verify};

pub struct Recorded {
    pub name: &'static str,
    pub evidence: Evidence,
    pub policy: String,
    /// What the quote was made for.
    pub report_data: ReportData,
    /// Seconds since 1970.
    pub now: u64,
    /// How much of the quote a key signs.
    pub signed: usize,
}

impl Recorded {
    pub fn verify(&self) -> Result<Verified, AttestError> {
        self.verify_evidence(&self.evidence)
    }

    pub fn verify_evidence(&self, evidence: &Evidence) -> Result<Verified, AttestError> {
        verify(&self.policy(), evidence, &self.report_data, at(self.now))
    }

    /// The same quote under a policy with this part in place of that.
    pub fn verify_with(&self, part: &str, by: &str) -> Result<Verified, AttestError> {
        assert!(self.policy.contains(part), "{part} is not in {}", self.policy);
        let policy = Policy::from_toml(&self.policy.replacen(part, by, 1)).unwrap();
        verify(&policy, &self.evidence, &self.report_data, at(self.now))
    }

    pub fn policy(&self) -> Policy {
        Policy::from_toml(&self.policy).unwrap()
    }

    /// The same with other bytes of quote.
    pub fn with_quote(&self, quote: &[u8]) -> Evidence {
        let endorsements = self.evidence.endorsements().to_vec();
        Evidence::new(self.evidence.kind(), quote.to_vec(), endorsements).unwrap()
    }
}

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Those that a customer may accept.
pub fn all() -> [Recorded; 4] {
    [sgx(), tdx(), tdx_with_service_td_fields(), snp()]
}

/// Intel says of this platform that it wants configuration and software hardening.
pub fn sgx() -> Recorded {
    let policy = r#"
        kind = "sgx"
        [sgx]
        mrenclave = "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
        mrsigner = "815f42f11cf64430c30bab7816ba596a1da0130c3b028b673133a66cf9a3e0e6"
        product_id = 0
        min_svn = 0
        [sgx.tcb]
        accept = ["UpToDate", "ConfigurationAndSWHardeningNeeded"]
        advisories = ["INTEL-SA-00289", "INTEL-SA-00615"]
        min_evaluation = 17"#;
    recorded(
        "SGX",
        Kind::Sgx,
        include_bytes!("../recorded/sgx_quote"),
        include_bytes!("../recorded/sgx_quote_collateral.json"),
        policy,
        1_752_000_000,
        432,
    )
}

/// Quote version 4, a platform that is up to date.
pub fn tdx() -> Recorded {
    let policy = r#"
        kind = "tdx"
        [tdx]
        mrtd = "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7"
        rtmr0 = "44c0197b39157fdd7a4dcc44767f9d6b0bb3977c7a8e347b8492f827fe9d9e5c48aca29b220b80b6a540cf994b9bc9c0"
        rtmr3 = "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        [tdx.tcb]
        min_evaluation = 17"#;
    recorded(
        "TDX, version 4",
        Kind::Tdx,
        include_bytes!("../recorded/tdx_quote"),
        include_bytes!("../recorded/tdx_quote_collateral.json"),
        policy,
        1_752_000_000,
        632,
    )
}

/// Quote version 5, a platform with lower versions than Intel lists at all: no policy accepts it.
pub fn tdx_outdated() -> Recorded {
    let policy = r#"
        kind = "tdx"
        [tdx]
        mrtd = "273828c46252fcbdd8ad2dd907130222b03466d52a2911d70c1a5950895d6bd1ae451d382d5a9b1b4c0ed0e5ae9a3dbd"
        [tdx.tcb]
        accept = ["UpToDate", "OutOfDate", "OutOfDateConfigurationNeeded"]"#;
    recorded(
        "TDX, version 5, outdated",
        Kind::Tdx,
        include_bytes!("../recorded/tdx_quote_outdated"),
        include_bytes!("../recorded/tdx_quote_outdated_collateral.json"),
        policy,
        1_772_323_200,
        702,
    )
}

/// Quote version 5 with the longest report there is.
pub fn tdx_with_service_td_fields() -> Recorded {
    let policy = r#"
        kind = "tdx"
        [tdx]
        mrtd = "2a674327c50218dba880066b349b8d559d749ed68dce33fd651c184a877d084b07a9e583767a7ad5da13ed91deec2b70"
        rtmr0 = "0345d2a146eec673fb3861a4d88c5093ef0934b142884294377628cf09fb21bfa979acec61e79f925f5fccaad0827165""#;
    recorded(
        "TDX, version 5, 1.5ex",
        Kind::Tdx,
        include_bytes!("../recorded/tdx_quote_td15ex"),
        include_bytes!("../recorded/tdx_quote_td15ex_collateral.json"),
        policy,
        1_792_454_400,
        939,
    )
}

pub fn snp() -> Recorded {
    let policy = r#"
        kind = "sev-snp"
        [sev-snp]
        measurement = "MEASUREMENT"
        min_tcb = { bootloader = 3, tee = 0, snp = 8, microcode = 115 }
        allow_smt = true"#;
    let report = hex::decode(include_str!("../recorded/report_milan.hex").trim()).unwrap();
    recorded(
        "SEV-SNP, Milan",
        Kind::SevSnp,
        &report,
        include_bytes!("../recorded/vcek_milan.der"),
        &policy.replace("MEASUREMENT", &hex::encode(&report[0x90..0x90 + 48])),
        1_752_000_000,
        0x2a0,
    )
}

fn recorded(
    name: &'static str,
    kind: Kind,
    quote: &[u8],
    endorsements: &[u8],
    policy: &str,
    now: u64,
    signed: usize,
) -> Recorded {
    let evidence = Evidence::new(kind, quote.to_vec(), endorsements.to_vec()).unwrap();
    Recorded {
        name,
        report_data: inspect(&evidence).unwrap().report_data,
        evidence,
        policy: policy.to_owned(),
        now,
        signed,
    }
}
