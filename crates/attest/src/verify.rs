//! The customer's decision.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::{AttestError, Evidence, Identity, Policy, ReportData, Requirement, TcbStatus, dcap, simulated, snp};

/// An environment that satisfies a policy, over a connection that the quote is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The environment.
    pub identity: Identity,
    /// Of Intel's kinds, what Intel says of the platform.
    pub tcb: Option<Tcb>,
    /// When the first of the endorsements runs out, in seconds since 1970: attest anew before then. None for `simulated`.
    pub expires: Option<u64>,
}

/// What Intel says of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tcb {
    /// The verdict.
    pub status: TcbStatus,
    /// Open advisories, all of which the policy accepts.
    pub advisories: Vec<String>,
    /// Which edition of Intel's rules the verdict is by.
    pub evaluation: u32,
}

/// Decides whether evidence satisfies a policy, for the connection that `expected` was computed from, at the time `now`.
///
/// Call it before anything secret is sent. The order: kind; form of the quote; debug mode; validity of the endorsements at `now`; signatures and
/// chains up to the manufacturer's root; the platform's versions; measurements; report data.
///
/// # Errors
/// What differs, with what was expected and what came. Nothing may be sent after an error.
pub fn verify(policy: &Policy, evidence: &Evidence, expected: &ReportData, now: SystemTime) -> Result<Verified, AttestError> {
    if policy.kind() != evidence.kind() {
        return Err(AttestError::Kind {
            expected: policy.kind(),
            got: evidence.kind(),
        });
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let endorsements = policy.endorsements().unwrap_or(evidence.endorsements());
    let quote = evidence.quote();
    let (verified, report_data) = match policy.requirement() {
        Requirement::Tdx(tdx) => dcap::verify_tdx(tdx, quote, endorsements, now),
        Requirement::Sgx(sgx) => dcap::verify_sgx(sgx, quote, endorsements, now),
        Requirement::SevSnp(snp) => snp::verify(snp, quote, endorsements, now),
        Requirement::Simulated(simulated) => simulated::verify(simulated, quote),
    }?;
    if report_data != *expected {
        return Err(AttestError::ReportData {
            kind: policy.kind(),
            expected: expected.to_string(),
            got: report_data.to_string(),
        });
    }
    Ok(verified)
}
