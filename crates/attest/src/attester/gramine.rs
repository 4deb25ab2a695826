//! Gramine's interface to SGX: `/dev/attestation`, pseudo-files inside the enclave.

use std::{path::PathBuf, sync::Mutex, sync::PoisonError};

use super::{read_capped, read_line, write_whole};
use crate::{AttestError, Evidence, Kind, MAX_QUOTE, ReportData};

/// Quotes from Gramine.
#[derive(Debug)]
pub struct Gramine {
    folder: PathBuf,
    /// Gramine keeps one report data for the whole process.
    turn: Mutex<()>,
}

impl Default for Gramine {
    fn default() -> Self {
        Self::at("/dev/attestation")
    }
}

impl Gramine {
    /// With another folder in place of `/dev/attestation`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            turn: Mutex::new(()),
        }
    }

    pub(super) fn attest(&self, report_data: &ReportData) -> Result<Evidence, AttestError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.folder.join("attestation_type");
        let (expected, got) = ("dcap", read_line(&path)?);
        if got != expected {
            return Err(AttestError::Provider { path, expected, got });
        }
        write_whole(&self.folder.join("user_report_data"), report_data.as_bytes())?;
        let quote = read_capped(&self.folder.join("quote"), "quote", MAX_QUOTE)?;
        Evidence::new(Kind::Sgx, quote, Vec::new())
    }
}
