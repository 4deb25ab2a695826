//! What ties a quote to one connection.
//!
//! The 64 bytes of report data are SHA-512 over four fields, each after its length as a little-endian `u64`: a domain, SHA-256 of the
//! enclave's public key (SubjectPublicKeyInfo), the customer's nonce, and keying material exported from the TLS connection.

use std::fmt;

use ring::digest::{Context, SHA256, SHA512, digest};
use subtle::ConstantTimeEq;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::AttestError;

/// Separates these digests from any other use of SHA-512.
const DOMAIN: &[u8] = b"cloven attestation report data, version 1";

/// Label under which both ends export keying material (RFC 8446, section 7.5) for [`Exporter`]. The context is [`Nonce::as_bytes`].
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-cloven-attestation";

/// The customer's 32 random bytes, new for every attestation: they make a recorded quote worthless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// Draws a nonce from the operating system.
    ///
    /// # Errors
    /// [`AttestError::Random`] when it gives none.
    pub fn fresh() -> Result<Self, AttestError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| AttestError::Random(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// A nonce as it came from the customer.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sent to the enclave.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER): the key that the enclave proves in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a SubjectPublicKeyInfo in DER.
    pub fn of_spki(spki: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, spki).as_ref());
        Self(hash)
    }

    /// Of the key in a certificate in DER: the one pinned by the customer, or the enclave's own.
    ///
    /// # Errors
    /// [`AttestError::Malformed`] when it is no certificate.
    pub fn of_certificate(certificate: &[u8]) -> Result<Self, AttestError> {
        let malformed = |error: x509_cert::der::Error| AttestError::Malformed {
            what: "TLS certificate",
            cause: error.to_string(),
        };
        let certificate = Certificate::from_der(certificate).map_err(malformed)?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        Ok(Self::of_spki(&key.to_der().map_err(malformed)?))
    }
}

/// Keying material of the TLS connection, exported under [`EXPORTER_LABEL`] with the nonce as context. Only its two ends can compute it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Exporter([u8; 32]);

impl Exporter {
    /// The bytes that the TLS library exported.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The 64 bytes that a quote must hold.
#[derive(Clone)]
pub struct ReportData([u8; 64]);

impl ReportData {
    /// Binds a quote to a key, a nonce and a connection.
    pub fn bind(key: &KeyHash, nonce: &Nonce, exporter: &Exporter) -> Self {
        let mut hash = Context::new(&SHA512);
        for field in [DOMAIN, &key.0, &nonce.0, &exporter.0] {
            hash.update(&(field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        let mut data = [0; 64];
        data.copy_from_slice(hash.finish().as_ref());
        Self(data)
    }

    /// Report data as they stand in a quote.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes, as the hardware is given them.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// In constant time.
impl PartialEq for ReportData {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ReportData {}

impl fmt::Display for ReportData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ReportData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
