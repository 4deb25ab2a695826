//! What the customer pins.
//!
//! ```toml
//! kind = "tdx"                                 # or "sev-snp", "sgx", "simulated": then the table of that name
//! endorsements = "collateral.json"             # the customer's own; without it those that come with the quote
//!
//! [tdx]
//! mrtd = "91eb2b44…"                           # 96 hexadecimal digits each
//! rtmr1 = "…"                                  # rtmr0 to rtmr3 are optional: what is not pinned may be anything
//! rtmr2 = "…"
//! [tdx.tcb]
//! accept = ["UpToDate"]                        # the default
//! advisories = []                              # open advisories that are accepted; the default is none
//! min_evaluation = 17                          # of Intel's collateral; not checked without it
//!
//! [sev-snp]
//! measurement = "…"
//! min_tcb = { bootloader = 3, tee = 0, snp = 8, microcode = 115 }
//! vmpl = 0                                     # the default
//! allow_smt = true                             # default false: guests that may share a core with a stranger's thread are refused
//! single_socket = false                        # the default
//! host_data = "…"                              # optional
//!
//! [sgx]
//! mrenclave = "…"                              # and, or instead, all three of the following
//! mrsigner = "…"
//! product_id = 1
//! min_svn = 2
//! [sgx.tcb]                                    # as [tdx.tcb]
//!
//! [simulated]
//! measurement = "…"
//! ```

mod file;

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use crate::{AttestError, Digest, Kind, SnpTcb};

/// What a customer asks of the environment that it sends data to. A real kind never accepts `simulated`, and `simulated` nothing real.
#[derive(Debug, Clone)]
pub struct Policy {
    requirement: Requirement,
    endorsements: Option<Vec<u8>>,
}

/// What is pinned, for the one kind that is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// `[tdx]`
    Tdx(TdxPolicy),
    /// `[sev-snp]`
    SevSnp(SnpPolicy),
    /// `[sgx]`
    Sgx(SgxPolicy),
    /// `[simulated]`
    Simulated(SimulatedPolicy),
}

/// `[tdx]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxPolicy {
    /// The virtual firmware.
    pub mrtd: Digest<48>,
    /// Firmware configuration.
    pub rtmr0: Option<Digest<48>>,
    /// Boot loader and kernel.
    pub rtmr1: Option<Digest<48>>,
    /// Kernel command line and first file system.
    pub rtmr2: Option<Digest<48>>,
    /// What the system extended itself.
    pub rtmr3: Option<Digest<48>>,
    /// What Intel must say of the platform.
    #[serde(default)]
    pub tcb: DcapTcb,
}

/// `[sev-snp]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpPolicy {
    /// The memory at launch.
    pub measurement: Digest<48>,
    /// The least versions, now and at launch.
    pub min_tcb: SnpTcb,
    /// The privilege level of the attesting software, exactly.
    #[serde(default)]
    pub vmpl: u32,
    /// Whether the host may run the guest on cores with simultaneous multithreading.
    #[serde(default)]
    pub allow_smt: bool,
    /// Whether the guest must be bound to one socket.
    #[serde(default)]
    pub single_socket: bool,
    /// What the host must have set at launch.
    pub host_data: Option<Digest<32>>,
}

/// `[sgx]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgxPolicy {
    /// The enclave.
    pub mrenclave: Option<Digest<32>>,
    /// The key that signed it: whoever holds that key decides what runs.
    pub mrsigner: Option<Digest<32>>,
    /// The signer's number for the product, exactly.
    pub product_id: Option<u16>,
    /// The least of the signer's numbers for the version.
    pub min_svn: Option<u16>,
    /// What Intel must say of the platform.
    #[serde(default)]
    pub tcb: DcapTcb,
}

/// `[simulated]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedPolicy {
    /// What the simulation must claim.
    pub measurement: Digest<48>,
}

/// `[tdx.tcb]` and `[sgx.tcb]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DcapTcb {
    /// The statuses that are accepted.
    pub accept: Vec<TcbStatus>,
    /// The advisories that may be open for the platform (Intel's names, as `INTEL-SA-00615`).
    pub advisories: Vec<String>,
    /// The least `tcbEvaluationDataNumber` of the collateral: newer rules than these.
    pub min_evaluation: Option<u32>,
}

impl Default for DcapTcb {
    fn default() -> Self {
        Self {
            accept: vec![TcbStatus::UpToDate],
            advisories: Vec::new(),
            min_evaluation: None,
        }
    }
}

/// Intel's verdict on a platform, by Intel's names. A revoked platform is never accepted and so has no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "Intel's names and meanings")]
pub enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    TDRelaunchAdvised,
    TDRelaunchAdvisedConfigurationNeeded,
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Policy {
    /// A policy without a file.
    ///
    /// # Errors
    /// [`AttestError::Policy`] when the requirement pins too little.
    pub fn new(requirement: Requirement) -> Result<Self, AttestError> {
        requirement.validate()?;
        Ok(Self {
            requirement,
            endorsements: None,
        })
    }

    /// Reads a policy from TOML. A file that it names as `endorsements` is not read: [`load`](Self::load) does that.
    ///
    /// # Errors
    /// [`AttestError::Policy`] with the place in the text.
    pub fn from_toml(text: &str) -> Result<Self, AttestError> {
        Self::new(file::parse(text)?.0)
    }

    /// Reads a policy's file, and the file of endorsements that it names, relative to its own folder.
    ///
    /// # Errors
    /// [`AttestError::File`], [`AttestError::TooLong`] and [`AttestError::Policy`].
    pub fn load(path: &Path) -> Result<Self, AttestError> {
        file::load(path)
    }

    /// The customer's own endorsements ([`Evidence::new`](crate::Evidence::new) says which), used in place of those that come with the quote.
    ///
    /// # Errors
    /// [`AttestError::TooLong`].
    pub fn with_endorsements(mut self, endorsements: Vec<u8>) -> Result<Self, AttestError> {
        let (limit, got) = (crate::MAX_ENDORSEMENTS, endorsements.len());
        if got > limit {
            let what = "endorsements";
            return Err(AttestError::TooLong { what, limit, got });
        }
        self.endorsements = Some(endorsements);
        Ok(self)
    }

    /// What is pinned.
    pub fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// The customer's own endorsements.
    pub fn endorsements(&self) -> Option<&[u8]> {
        self.endorsements.as_deref()
    }

    /// The one kind that is accepted.
    pub fn kind(&self) -> Kind {
        match self.requirement {
            Requirement::Tdx(_) => Kind::Tdx,
            Requirement::SevSnp(_) => Kind::SevSnp,
            Requirement::Sgx(_) => Kind::Sgx,
            Requirement::Simulated(_) => Kind::Simulated,
        }
    }

    /// What this policy leaves open, a sentence each: the caller must show them at every start.
    pub fn warnings(&self) -> Vec<String> {
        match &self.requirement {
            Requirement::Simulated(_) => vec![crate::SIMULATED_WARNING.to_owned()],
            Requirement::Tdx(tdx) => tdx.warnings(),
            Requirement::Sgx(sgx) => sgx.warnings(),
            Requirement::SevSnp(snp) if snp.allow_smt => {
                vec!["sev-snp: the guest may share a core with another tenant's thread (allow_smt)".to_owned()]
            }
            Requirement::SevSnp(_) => Vec::new(),
        }
    }
}

impl Requirement {
    fn validate(&self) -> Result<(), AttestError> {
        match self {
            Self::Sgx(sgx) => sgx.validate(),
            _ => Ok(()),
        }
    }
}

impl TdxPolicy {
    /// The pinned run-time measurements, by index.
    pub(crate) fn rtmr(&self) -> [Option<Digest<48>>; 4] {
        [self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3]
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.tcb.warnings("tdx");
        if self.rtmr1.is_none() || self.rtmr2.is_none() {
            let text =
                "tdx: rtmr1 or rtmr2 is not pinned, so the host may start another kernel or system in the attested firmware";
            warnings.push(text.to_owned());
        }
        warnings
    }
}

impl SgxPolicy {
    fn validate(&self) -> Result<(), AttestError> {
        let signed = [self.mrsigner.is_some(), self.product_id.is_some(), self.min_svn.is_some()];
        if signed != [false; 3] && signed != [true; 3] {
            let text = "[sgx] mrsigner, product_id and min_svn belong together: expected all or none of them";
            return Err(AttestError::Policy(text.to_owned()));
        }
        if self.mrenclave.is_none() && self.mrsigner.is_none() {
            let text = "[sgx] pins no code: expected mrenclave, or mrsigner with product_id and min_svn";
            return Err(AttestError::Policy(text.to_owned()));
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.tcb.warnings("sgx");
        if self.mrenclave.is_none() {
            warnings.push("sgx: mrenclave is not pinned, so whoever has the signing key decides what runs".to_owned());
        }
        warnings
    }
}

impl DcapTcb {
    fn warnings(&self, kind: &str) -> Vec<String> {
        let weak: Vec<_> = self.accept.iter().filter(|status| **status != TcbStatus::UpToDate).collect();
        match weak.is_empty() {
            true => Vec::new(),
            false => vec![format!(
                "{kind}: platforms that Intel does not call up to date are accepted: {weak:?}"
            )],
        }
    }
}

#[cfg(test)]
mod tests;
