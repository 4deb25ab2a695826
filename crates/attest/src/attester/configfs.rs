//! The kernel's interface to confidential virtual machines: configfs-tsm (Linux 6.7 and later).
//!
//! An entry is a folder below `/sys/kernel/config/tsm/report`; its files appear when it is made. `inblob` takes the report data, `outblob` then
//! gives the quote, `auxblob` the host's certificates, `provider` who makes it. `generation` goes up by one with every write, so that a quote for
//! another program's report data is noticed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{failed, read_capped, read_line, write_whole};
use crate::{AttestError, Evidence, Kind, MAX_ENDORSEMENTS, MAX_QUOTE, ReportData};

const ROOT: &str = "/sys/kernel/config/tsm/report";

/// Quotes from the kernel.
#[derive(Debug)]
pub struct ConfigfsTsm {
    kind: Kind,
    provider: &'static str,
    place: Place,
    /// One quote at a time in an entry.
    turn: Mutex<()>,
}

#[derive(Debug)]
enum Place {
    /// An entry of its own for every quote, below this folder: takes root.
    Fresh(PathBuf),
    /// An entry that exists.
    Existing(PathBuf),
}

impl ConfigfsTsm {
    /// Of a virtual machine under TDX.
    pub fn tdx() -> Self {
        Self::new(Kind::Tdx, "tdx_guest", Place::Fresh(ROOT.into()))
    }

    /// Of a virtual machine under SEV-SNP.
    pub fn sev_snp() -> Self {
        Self::new(Kind::SevSnp, "sev_guest", Place::Fresh(ROOT.into()))
    }

    /// With another folder in place of `/sys/kernel/config/tsm/report`.
    pub fn below(self, folder: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Fresh(folder.into()),
            ..self
        }
    }

    /// With an entry that exists and stays, made and handed over by root, so that this program needs no privilege.
    pub fn in_entry(self, folder: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Existing(folder.into()),
            ..self
        }
    }

    fn new(kind: Kind, provider: &'static str, place: Place) -> Self {
        Self {
            kind,
            provider,
            place,
            turn: Mutex::new(()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn attest(&self, report_data: &ReportData) -> Result<Evidence, AttestError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.place {
            Place::Existing(entry) => self.quote(entry, report_data),
            Place::Fresh(folder) => {
                let entry = Entry::create(folder)?;
                self.quote(&entry.0, report_data)
            }
        }
    }

    fn quote(&self, entry: &Path, report_data: &ReportData) -> Result<Evidence, AttestError> {
        let [provider, counter, inblob, outblob, auxblob] =
            ["provider", "generation", "inblob", "outblob", "auxblob"].map(|name| entry.join(name));
        let got = read_line(&provider)?;
        if got != self.provider {
            let (path, expected) = (provider, self.provider);
            return Err(AttestError::Provider { path, expected, got });
        }
        let before = generation(&counter)?;
        write_whole(&inblob, report_data.as_bytes())?;
        let quote = read_capped(&outblob, "quote", MAX_QUOTE)?;
        let endorsements = match self.kind {
            Kind::SevSnp => certificates(&auxblob)?,
            _ => Vec::new(),
        };
        let (expected, got) = (before.wrapping_add(1), generation(&counter)?);
        if got != expected {
            let path = counter;
            return Err(AttestError::Generation { path, expected, got });
        }
        Evidence::new(self.kind, quote, endorsements)
    }
}

/// The host's table; not every host has one.
fn certificates(auxblob: &Path) -> Result<Vec<u8>, AttestError> {
    match read_capped(auxblob, "endorsements", MAX_ENDORSEMENTS) {
        Err(AttestError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Ok(table) if table.iter().all(|byte| *byte == 0) => Ok(Vec::new()),
        other => other,
    }
}

fn generation(path: &Path) -> Result<u64, AttestError> {
    let line = read_line(path)?;
    line.parse().map_err(|_| {
        let cause = io::Error::new(io::ErrorKind::InvalidData, format!("expected a number, got {line:?}"));
        failed(path, cause)
    })
}

/// A folder that is removed again.
struct Entry(PathBuf);

impl Entry {
    fn create(folder: &Path) -> Result<Self, AttestError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("cloven-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        fs::create_dir(&path).map_err(|cause| failed(&path, cause))?;
        Ok(Self(path))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // An entry that stays is untidy, not unsafe; there is nobody to tell.
        let _ = fs::remove_dir(&self.0);
    }
}
