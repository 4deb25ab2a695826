//! The policy's file.

use std::{
    path::{Path, PathBuf},
    str,
};

use serde::Deserialize;

use super::{Policy, Requirement, SgxPolicy, SimulatedPolicy, SnpPolicy, TdxPolicy};
use crate::{AttestError, Kind, MAX_ENDORSEMENTS, attester::read_capped};

/// Longest policy, in bytes.
const MAX_POLICY: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: Kind,
    endorsements: Option<PathBuf>,
    tdx: Option<TdxPolicy>,
    #[serde(rename = "sev-snp")]
    sev_snp: Option<SnpPolicy>,
    sgx: Option<SgxPolicy>,
    simulated: Option<SimulatedPolicy>,
}

/// What is pinned, and the file of endorsements.
pub(super) fn parse(text: &str) -> Result<(Requirement, Option<PathBuf>), AttestError> {
    let file: File = toml::from_str(text).map_err(|error| AttestError::Policy(error.to_string()))?;
    let endorsements = file.endorsements.clone();
    Ok((file.requirement()?, endorsements))
}

pub(super) fn load(path: &Path) -> Result<Policy, AttestError> {
    let bytes = read_capped(path, "attestation policy", MAX_POLICY)?;
    let text = str::from_utf8(&bytes).map_err(|error| AttestError::Policy(format!("{}: {error}", path.display())))?;
    let (requirement, endorsements) = parse(text).map_err(|error| match error {
        AttestError::Policy(cause) => AttestError::Policy(format!("{}: {cause}", path.display())),
        other => other,
    })?;
    let policy = Policy::new(requirement)?;
    match endorsements {
        None => Ok(policy),
        Some(file) => {
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            policy.with_endorsements(read_capped(&file, "endorsements", MAX_ENDORSEMENTS)?)
        }
    }
}

impl File {
    fn requirement(self) -> Result<Requirement, AttestError> {
        let tables = [
            (Kind::Tdx, self.tdx.map(Requirement::Tdx)),
            (Kind::SevSnp, self.sev_snp.map(Requirement::SevSnp)),
            (Kind::Sgx, self.sgx.map(Requirement::Sgx)),
            (Kind::Simulated, self.simulated.map(Requirement::Simulated)),
        ];
        let mut wanted = None;
        for (kind, table) in tables {
            match (kind == self.kind, table) {
                (true, table) => wanted = table,
                // A table that is not in force would look as if it were.
                (false, Some(_)) => {
                    let text = format!(
                        "kind is {:?}, but there is a table [{kind}]: remove it",
                        self.kind.to_string()
                    );
                    return Err(AttestError::Policy(text));
                }
                (false, None) => {}
            }
        }
        wanted.ok_or_else(|| AttestError::Policy(format!("kind is \"{0}\", but there is no table [{0}]", self.kind)))
    }
}
