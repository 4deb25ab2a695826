//! Attestation without hardware, for trials: a quote under a key that everybody has.
//!
//! A quote is version 1, a byte of flags (bit 0: debug), 48 bytes of measurement, 64 of report data, and HMAC-SHA-512 of all that under a
//! published key. The code finds accidents and lets every refusal be tried; it proves nothing.

use ring::hmac;

use crate::{
    AttestError, Claims, Digest, Evidence, Identity, Kind, ReportData, SimulatedPolicy, Verified,
    check::{no_debug, pinned},
};

/// What whoever uses simulated attestation, as customer or as enclave, must be shown at every start.
pub const SIMULATED_WARNING: &str = "SIMULATED ATTESTATION: no hardware protects this party and its attestation proves nothing. Whoever runs it can \
                                     read the data and the model. For trials only.";

const PUBLISHED_KEY: &[u8] = b"cloven simulated attestation: everybody has this key";
const VERSION: u8 = 1;
const DEBUG: u8 = 1;
const BODY: usize = 2 + 48 + 64;
const LEN: usize = BODY + 64;

/// Makes simulated quotes.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// What it claims to be.
    pub measurement: Digest<48>,
    /// Whether it claims to run in debug mode, which every customer refuses.
    pub debug: bool,
}

impl Simulated {
    pub(crate) fn attest(&self, report_data: &ReportData) -> Result<Evidence, AttestError> {
        let mut quote = vec![VERSION, if self.debug { DEBUG } else { 0 }];
        quote.extend_from_slice(&self.measurement.0);
        quote.extend_from_slice(report_data.as_bytes());
        let tag = hmac::sign(&key(), &quote);
        quote.extend_from_slice(tag.as_ref());
        Evidence::new(Kind::Simulated, quote, Vec::new())
    }
}

pub(crate) fn inspect(quote: &[u8]) -> Result<Claims, AttestError> {
    let malformed = |cause| AttestError::Malformed {
        what: "simulated quote",
        cause,
    };
    let quote: &[u8; LEN] = quote
        .try_into()
        .map_err(|_| malformed(format!("expected {LEN} bytes, got {}", quote.len())))?;
    let [version, flags, rest @ ..] = quote;
    if *version != VERSION || *flags & !DEBUG != 0 {
        return Err(malformed(format!(
            "expected version {VERSION} and no flag but debug, got version {version} and flags {flags:#04x}"
        )));
    }
    let (mut measurement, mut report_data) = ([0; 48], [0; 64]);
    measurement.copy_from_slice(&rest[..48]);
    report_data.copy_from_slice(&rest[48..48 + 64]);
    Ok(Claims {
        identity: Identity::Simulated {
            measurement: Digest(measurement),
        },
        report_data: ReportData::from_bytes(report_data),
        debug: flags & DEBUG != 0,
        platform: None,
    })
}

pub(crate) fn verify(policy: &SimulatedPolicy, quote: &[u8]) -> Result<(Verified, ReportData), AttestError> {
    let kind = Kind::Simulated;
    let claims = inspect(quote)?;
    no_debug(kind, claims.debug)?;
    let (body, tag) = quote.split_at(BODY);
    hmac::verify(&key(), body, tag).map_err(|_| AttestError::Signature {
        kind,
        cause: "its authentication code does not fit".to_owned(),
    })?;
    if let Identity::Simulated { measurement } = claims.identity {
        pinned(kind, "measurement", Some(policy.measurement), measurement)?;
    }
    let verified = Verified {
        identity: claims.identity,
        tcb: None,
        expires: None,
    };
    Ok((verified, claims.report_data))
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA512, PUBLISHED_KEY)
}
