//! Keys, public identities and rosters as files.

use std::{collections::BTreeMap, path::Path};

use cloven_wire::{
    Party,
    tcp::{Certificate, Identity, Roster},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    files::{read_text, read_toml, write},
};

/// What a party hands to the others: `NAME.identity.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicIdentity {
    /// The party.
    pub party: Party,
    /// BLAKE3 of the certificate, to be compared by telephone.
    pub fingerprint: String,
    /// The certificate in PEM form.
    pub certificate: String,
}

impl PublicIdentity {
    /// Reads and checks a file that another party sent.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let this: Self = read_toml(path)?;
        let certificate = this.parsed(path)?;
        if certificate.fingerprint() != this.fingerprint {
            let problem = format!(
                "the fingerprint says {}, the certificate has {}",
                this.fingerprint,
                certificate.fingerprint()
            );
            return Err(Error::configuration(path.display(), problem));
        }
        Ok(this)
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        write(path, to_toml(self).as_bytes(), false)
    }

    fn parsed(&self, path: &Path) -> Result<Certificate, Error> {
        Certificate::from_pem(&self.certificate).map_err(|cause| Error::Identity {
            path: path.to_owned(),
            cause,
        })
    }
}

/// A party's pins: `roster.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RosterFile(BTreeMap<Party, Pin>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    fingerprint: String,
    certificate: String,
}

impl RosterFile {
    /// Reads a roster; a missing file is an empty one.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match path.exists() {
            true => read_toml(path),
            false => Ok(Self::default()),
        }
    }

    /// Writes the roster.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        write(path, to_toml(self).as_bytes(), false)
    }

    /// Pins an identity. A different pin of the same party is replaced only when `replace` is set.
    pub fn add(&mut self, identity: &PublicIdentity, replace: bool) -> Result<(), Error> {
        let pin = Pin {
            fingerprint: identity.fingerprint.clone(),
            certificate: identity.certificate.clone(),
        };
        match self.0.get(&identity.party) {
            Some(old) if *old != pin && !replace => Err(Error::Roster(format!(
                "{} is already pinned as {}; the file holds {}. Ask {} which is right, then add --replace",
                identity.party, old.fingerprint, pin.fingerprint, identity.party
            ))),
            _ => {
                self.0.insert(identity.party.clone(), pin);
                Ok(())
            }
        }
    }

    /// Party and fingerprint of every pin.
    pub fn pins(&self) -> impl Iterator<Item = (&Party, &str)> {
        self.0.iter().map(|(party, pin)| (party, pin.fingerprint.as_str()))
    }

    /// The pins in the form that connections need.
    pub(crate) fn roster(&self, path: &Path) -> Result<Roster, Error> {
        let mut roster = Roster::default();
        for (party, pin) in &self.0 {
            let certificate = Certificate::from_pem(&pin.certificate).map_err(|cause| Error::Identity {
                path: path.to_owned(),
                cause,
            })?;
            roster.pin(party.clone(), certificate);
        }
        Ok(roster)
    }
}

/// The file names inside a party's folder.
pub(crate) const KEY: &str = "key.pem";
pub(crate) const CERTIFICATE: &str = "certificate.pem";
pub(crate) const ROSTER: &str = "roster.toml";

/// Makes a key (mode 0600) and certificate in `folder`; returns the public identity. Refuses to overwrite a key.
pub(crate) fn create(party: &Party, folder: &Path) -> Result<PublicIdentity, Error> {
    let key_path = folder.join(KEY);
    if key_path.exists() {
        return Err(Error::Roster(format!(
            "{}: a key exists already and is not overwritten",
            key_path.display()
        )));
    }
    let (identity, key) = Identity::generate(party.clone()).map_err(|cause| Error::Identity {
        path: key_path.clone(),
        cause,
    })?;
    write(&key_path, key.as_bytes(), true)?;
    let certificate = identity.certificate.pem().to_owned();
    write(&folder.join(CERTIFICATE), certificate.as_bytes(), false)?;
    Ok(PublicIdentity {
        party: party.clone(),
        fingerprint: identity.certificate.fingerprint(),
        certificate,
    })
}

/// Reads a party's own key and certificate; a key that others may read is refused.
pub(crate) fn load(party: &Party, key: &Path, certificate: &Path) -> Result<Identity, Error> {
    refuse_open_mode(key)?;
    Identity::from_pem(party.clone(), &read_text(certificate)?, &read_text(key)?).map_err(|cause| Error::Identity {
        path: key.to_owned(),
        cause,
    })
}

#[cfg(unix)]
fn refuse_open_mode(key: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(key).map_err(Error::file(key))?.permissions().mode();
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(Error::Roster(format!(
            "{}: other users may read this key; run `chmod 600` on it",
            key.display()
        ))),
    }
}

#[cfg(not(unix))]
fn refuse_open_mode(_: &Path) -> Result<(), Error> {
    Ok(())
}

pub(crate) fn to_toml(value: &impl Serialize) -> String {
    toml::to_string(value).expect("these types have only string keys and no nulls in arrays")
}
