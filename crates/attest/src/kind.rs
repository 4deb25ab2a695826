//! The kinds of attestation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::AttestError;

/// A kind of attestation. Its name in settings and policies is what [`Display`](fmt::Display) prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A confidential virtual machine of Intel: `tdx`.
    Tdx,
    /// A confidential virtual machine of AMD: `sev-snp`.
    SevSnp,
    /// An enclave of Intel, here through Gramine: `sgx`.
    Sgx,
    /// No hardware: `simulated`. Proves nothing.
    Simulated,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Tdx, Self::SevSnp, Self::Sgx, Self::Simulated];

    /// Whether hardware vouches for it.
    pub fn is_real(self) -> bool {
        self != Self::Simulated
    }

    /// Its byte in encoded evidence.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Tdx => 1,
            Self::SevSnp => 2,
            Self::Sgx => 3,
            Self::Simulated => 0xff,
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tdx => "tdx",
            Self::SevSnp => "sev-snp",
            Self::Sgx => "sgx",
            Self::Simulated => "simulated",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = AttestError;

    fn from_str(name: &str) -> Result<Self, AttestError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(|kind| kind.name()).join(", ");
            let shown: String = name.chars().take(40).collect();
            AttestError::Policy(format!("expected one of {known} as kind of attestation, got {shown:?}"))
        })
    }
}
