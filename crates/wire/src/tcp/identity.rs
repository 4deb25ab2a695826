//! A party's key and certificate, and the certificates it pins.

use std::{collections::BTreeMap, fmt};

use tokio_rustls::rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ParsedCertificate,
};

use crate::Party;

/// A key or certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Generating the key failed.
    #[error("cannot make a key: {0}")]
    Generate(String),
    /// The text holds no certificate.
    #[error("not a certificate in PEM form: {0}")]
    Certificate(String),
    /// The text holds no private key.
    #[error("not a private key in PEM form: {0}")]
    Key(String),
}

/// A self-signed certificate; public.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    der: CertificateDer<'static>,
}

impl Certificate {
    /// Reads a certificate in PEM form and checks that it is one.
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let bad = |e: &dyn fmt::Display| IdentityError::Certificate(e.to_string());
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| bad(&e))?;
        ParsedCertificate::try_from(&der).map_err(|e| bad(&e))?;
        Ok(Self {
            pem: pem.to_owned(),
            der,
        })
    }

    /// The PEM form.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The DER form.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// BLAKE3 of the DER form as `blake3:` and 64 hexadecimal digits: what two operators compare by telephone.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

pub(super) fn fingerprint(der: &CertificateDer<'_>) -> String {
    format!("blake3:{}", blake3::hash(der).to_hex())
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

/// A party's name, certificate and private key. Not `Debug`: it holds a secret, which is zeroised on drop.
pub struct Identity {
    /// The party.
    pub party: Party,
    /// Its public certificate.
    pub certificate: Certificate,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes a fresh key (ECDSA P-256) and its certificate; returns the identity and the key in PEM form, to be kept by its owner.
    pub fn generate(party: Party) -> Result<(Self, String), IdentityError> {
        let fail = |e: rcgen::Error| IdentityError::Generate(e.to_string());
        let key = rcgen::KeyPair::generate().map_err(fail)?;
        let mut params = rcgen::CertificateParams::new([party.to_string()]).map_err(fail)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, party.as_str());
        let certificate = params.self_signed(&key).map_err(fail)?;
        let key_pem = key.serialize_pem();
        Ok((Self::from_pem(party, &certificate.pem(), &key_pem)?, key_pem))
    }

    /// Reads what [`Identity::generate`] made.
    pub fn from_pem(party: Party, certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| IdentityError::Key(e.to_string()))?;
        Ok(Self {
            party,
            certificate: Certificate::from_pem(certificate)?,
            key,
        })
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.key.zeroize();
    }
}

/// The certificates a party pins, by name.
#[derive(Clone, Debug, Default)]
pub struct Roster(BTreeMap<Party, Certificate>);

impl Roster {
    /// Pins `party`'s certificate, replacing an earlier one, which is returned.
    pub fn pin(&mut self, party: Party, certificate: Certificate) -> Option<Certificate> {
        self.0.insert(party, certificate)
    }

    /// The certificate pinned for `party`.
    pub fn get(&self, party: &Party) -> Option<&Certificate> {
        self.0.get(party)
    }

    /// All pins, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Party, &Certificate)> {
        self.0.iter()
    }

    pub(super) fn owner(&self, der: &CertificateDer<'_>) -> Option<&Party> {
        self.0.iter().find(|(_, c)| c.der == *der).map(|(p, _)| p)
    }
}
