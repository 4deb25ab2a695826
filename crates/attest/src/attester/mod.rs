//! The enclave's side: where quotes come from.

mod configfs;
mod gramine;

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

pub use self::{configfs::ConfigfsTsm, gramine::Gramine};
use crate::{AttestError, Evidence, Kind, ReportData, SIMULATED_WARNING, Simulated, inspect};

/// A source of quotes. Chosen by name in the settings; nothing falls back to `simulated`.
#[derive(Debug)]
pub enum Attester {
    /// `tdx` and `sev-snp`: the kernel of the confidential virtual machine.
    ConfigfsTsm(ConfigfsTsm),
    /// `sgx`: Gramine.
    Gramine(Gramine),
    /// `simulated`
    Simulated(Simulated),
}

impl Attester {
    /// The source of this machine for a real kind, at its usual place; none for [`Kind::Simulated`], which is [`Simulated`] by name.
    pub fn of_this_machine(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Tdx => Some(Self::ConfigfsTsm(ConfigfsTsm::tdx())),
            Kind::SevSnp => Some(Self::ConfigfsTsm(ConfigfsTsm::sev_snp())),
            Kind::Sgx => Some(Self::Gramine(Gramine::default())),
            Kind::Simulated => None,
        }
    }

    /// The kind of its quotes.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ConfigfsTsm(source) => source.kind(),
            Self::Gramine(_) => Kind::Sgx,
            Self::Simulated(_) => Kind::Simulated,
        }
    }

    /// What the caller must show at every start, if anything.
    pub fn warning(&self) -> Option<&'static str> {
        (!self.kind().is_real()).then_some(SIMULATED_WARNING)
    }

    /// Asks for a quote over these report data. Takes milliseconds to seconds; blocks.
    ///
    /// The endorsements are what the source itself has: for `sev-snp` the host's table of certificates, if it passes one on. Others are added by
    /// [`Evidence::with_endorsements`].
    ///
    /// # Errors
    /// [`AttestError::File`], [`AttestError::Provider`], [`AttestError::Generation`] and [`AttestError::TooLong`]; [`AttestError::ReportData`] when the
    /// quote that comes back is for other report data.
    pub fn attest(&self, report_data: &ReportData) -> Result<Evidence, AttestError> {
        let evidence = match self {
            Self::ConfigfsTsm(source) => source.attest(report_data),
            Self::Gramine(source) => source.attest(report_data),
            Self::Simulated(source) => source.attest(report_data),
        }?;
        let claims = inspect(&evidence)?;
        match claims.report_data == *report_data {
            true => Ok(evidence),
            false => Err(AttestError::ReportData {
                kind: self.kind(),
                expected: report_data.to_string(),
                got: claims.report_data.to_string(),
            }),
        }
    }
}

/// A file of at most `limit` bytes.
pub(crate) fn read_capped(path: &Path, what: &'static str, limit: usize) -> Result<Vec<u8>, AttestError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|cause| failed(path, cause))?;
    let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
    let got = read.map_err(|cause| failed(path, cause))?;
    match got > limit {
        true => Err(AttestError::TooLong { what, limit, got }),
        false => Ok(bytes),
    }
}

/// A line that the kernel or Gramine writes.
fn read_line(path: &Path) -> Result<String, AttestError> {
    let bytes = read_capped(path, "line", 256)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// All at once, into a file that exists: these interfaces take a value by one write.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), AttestError> {
    let written = File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|cause| failed(path, cause))
}

fn failed(path: &Path, cause: std::io::Error) -> AttestError {
    AttestError::File {
        path: path.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests;
