//! Evidence: what the enclave sends to prove what it is.

use crate::{AttestError, Kind};

/// Longest quote, in bytes. Real ones have 1 to 8 kB.
pub const MAX_QUOTE: usize = 16 << 10;

/// Longest endorsements, in bytes. Intel's collateral has about 25 kB, and grows with its revocation lists.
pub const MAX_ENDORSEMENTS: usize = 256 << 10;

const VERSION: u8 = 1;

/// A quote, and what vouches for it.
///
/// Nothing in it is believed before [`verify`](crate::verify). Encoded it is: version 1, a byte for the kind, then quote and endorsements,
/// each after its length as a little-endian `u32`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    kind: Kind,
    quote: Vec<u8>,
    endorsements: Vec<u8>,
}

impl Evidence {
    /// Longest encoding, in bytes.
    pub const MAX_LEN: usize = 2 + 4 + MAX_QUOTE + 4 + MAX_ENDORSEMENTS;

    /// A quote as the hardware gave it.
    ///
    /// The endorsements are, for `tdx` and `sgx`, Intel's collateral; for `sev-snp` AMD's certificate of the processor (VCEK) in DER, PEM or the table
    /// that the kernel gives as `auxblob`. They may be empty when the customer has its own
    /// ([`Policy::with_endorsements`](crate::Policy::with_endorsements)).
    ///
    /// Collateral is a JSON object of strings: `tcb_info` and `qe_identity`, the very text that Intel signed; `tcb_info_signature`,
    /// `qe_identity_signature`, `root_ca_crl` and `pck_crl` (DER) in hexadecimal; `tcb_info_issuer_chain`, `qe_identity_issuer_chain`,
    /// `pck_crl_issuer_chain` and, if the quote does not hold it, `pck_certificate_chain` in PEM. It is the form of the crate `dcap-qvl`.
    ///
    /// # Errors
    /// [`AttestError::TooLong`] and, without a quote, [`AttestError::Malformed`].
    pub fn new(kind: Kind, quote: Vec<u8>, endorsements: Vec<u8>) -> Result<Self, AttestError> {
        let is_short = |what, limit, got| (got <= limit).then_some(()).ok_or(AttestError::TooLong { what, limit, got });
        is_short("quote", MAX_QUOTE, quote.len())?;
        is_short("endorsements", MAX_ENDORSEMENTS, endorsements.len())?;
        if quote.is_empty() {
            return Err(malformed("it holds no quote"));
        }
        Ok(Self {
            kind,
            quote,
            endorsements,
        })
    }

    /// The same quote with these endorsements.
    ///
    /// # Errors
    /// [`AttestError::TooLong`].
    pub fn with_endorsements(self, endorsements: Vec<u8>) -> Result<Self, AttestError> {
        Self::new(self.kind, self.quote, endorsements)
    }

    /// The kind it says it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The quote.
    pub fn quote(&self) -> &[u8] {
        &self.quote
    }

    /// What vouches for the quote; may be empty.
    pub fn endorsements(&self) -> &[u8] {
        &self.endorsements
    }

    /// As bytes for the customer.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.kind.tag()];
        for field in [&self.quote, &self.endorsements] {
            out.extend_from_slice(&(field.len() as u32).to_le_bytes());
            out.extend_from_slice(field);
        }
        out
    }

    /// Reads bytes of a peer that may lie. Every evidence has one encoding.
    ///
    /// # Errors
    /// [`AttestError::TooLong`] above the limits, else [`AttestError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, AttestError> {
        let Some(([version, tag], rest)) = bytes.split_first_chunk() else {
            return Err(malformed(format!("expected at least 2 bytes, got {}", bytes.len())));
        };
        if *version != VERSION {
            return Err(malformed(format!("expected version {VERSION}, got {version}")));
        }
        let kind = Kind::from_tag(*tag).ok_or_else(|| malformed(format!("no kind of attestation has the byte {tag}")))?;
        let (quote, rest) = field("quote", MAX_QUOTE, rest)?;
        let (endorsements, rest) = field("endorsements", MAX_ENDORSEMENTS, rest)?;
        if !rest.is_empty() {
            return Err(malformed(format!("{} bytes too many", rest.len())));
        }
        Self::new(kind, quote.to_vec(), endorsements.to_vec())
    }
}

fn field<'a>(what: &'static str, limit: usize, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), AttestError> {
    let (len, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| malformed(format!("it ends in the length of the {what}")))?;
    let got = u32::from_le_bytes(*len) as usize;
    if got > limit {
        return Err(AttestError::TooLong { what, limit, got });
    }
    let left = rest.len();
    rest.split_at_checked(got)
        .ok_or_else(|| malformed(format!("expected {got} bytes of {what}, got {left}")))
}

fn malformed(cause: impl Into<String>) -> AttestError {
    AttestError::Malformed {
        what: "evidence",
        cause: cause.into(),
    }
}

#[cfg(test)]
mod tests;
