//! Before anything secret leaves the customer: evidence of what runs at the other end of this very session.

use std::time::SystemTime;

use cloven_attest::{Attester, EXPORTER_LABEL, Evidence, Exporter, KeyHash, Nonce, Policy, ReportData, Verified, verify};
use cloven_wire::{Channel, DecodeError, Link, Message, WireError};

use super::msg::{Challenge, EnclaveEvidence};
use crate::ProtocolError;

/// Bytes of the longest evidence, with collateral.
const MAX_EVIDENCE: usize = 1 << 18;

/// The customer's side: `certificate` is the enclave's, as it is pinned.
///
/// # Errors
/// [`ProtocolError::Attestation`] for evidence that the policy does not accept; nothing but the nonce has left the customer then.
pub(super) async fn ask<C: Channel>(
    (policy, now): (&Policy, SystemTime),
    certificate: &[u8],
    nonce: [u8; 32],
    link: &mut Link<C>,
) -> Result<Verified, ProtocolError> {
    link.send(0, &Challenge(nonce)).await?;
    let EnclaveEvidence(bytes) = link.receive(0, &MAX_EVIDENCE).await?;
    let evidence = Evidence::decode(&bytes).map_err(|cause| WireError::Malformed {
        party: link.peer().clone(),
        round: 0,
        what: EnclaveEvidence::NAME,
        cause: DecodeError::Field {
            field: "evidence",
            expected: "evidence of a known kind".into(),
            got: cause.to_string(),
        },
    })?;
    let expected = report_data(certificate, nonce, link)?;
    Ok(verify(policy, &evidence, &expected, now)?)
}

/// The enclave's side: `certificate` is its own.
///
/// # Errors
/// [`ProtocolError::Attestation`] where this machine gives no evidence.
pub(super) async fn give<C: Channel>(attester: &Attester, certificate: &[u8], link: &mut Link<C>) -> Result<(), ProtocolError> {
    let Challenge(nonce) = link.receive(0, &()).await?;
    let evidence = attester.attest(&report_data(certificate, nonce, link)?)?;
    Ok(link.send(0, &EnclaveEvidence(evidence.encode())).await?)
}

/// What binds evidence to a key, a nonce and a session.
fn report_data<C: Channel>(certificate: &[u8], nonce: [u8; 32], link: &mut Link<C>) -> Result<ReportData, ProtocolError> {
    let key = KeyHash::of_certificate(certificate)?;
    let exporter = Exporter::from_bytes(link.channel_mut().exporter(EXPORTER_LABEL, &nonce)?);
    Ok(ReportData::bind(&key, &Nonce::from_bytes(nonce), &exporter))
}
