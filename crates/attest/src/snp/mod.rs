//! Reports of AMD's SEV-SNP (SEV Secure Nested Paging Firmware ABI, 56860): the decision.
//!
//! The chain is AMD's root (ARK) and intermediate (ASK), both built in, the processor's certificate (VCEK) from the endorsements, the report.
//! Not supported, and so refused: reports under a cloud's key (VLEK). AMD's revocation lists are not looked at.

mod certificate;
mod endorsements;
mod report;

use certificate::Vcek;
use report::Report;

use crate::{
    AttestError, Claims, Identity, Kind, ReportData, SnpPolicy, Verified,
    check::{at_least, no_debug, pinned},
};

const KIND: Kind = Kind::SevSnp;

pub(crate) fn inspect(quote: &[u8]) -> Result<Claims, AttestError> {
    let report = Report::parse(quote)?;
    // The form of its TCB follows from the processor, which the report names from version 3 on.
    Ok(report.claims(report.is_turin().unwrap_or(false)))
}

pub(crate) fn verify(
    policy: &SnpPolicy,
    quote: &[u8],
    endorsements: &[u8],
    now: u64,
) -> Result<(Verified, ReportData), AttestError> {
    let report = Report::parse(quote)?;
    no_debug(KIND, report.policy().debug())?;
    let vcek = Vcek::parse(&endorsements::vcek(endorsements)?)?;
    let expires = vcek.verify_chain(now)?;
    let claims = authenticate(&report, &vcek)?;
    check(policy, &report, &claims.identity)?;
    let verified = Verified {
        identity: claims.identity,
        tcb: None,
        expires: Some(expires),
    };
    Ok((verified, claims.report_data))
}

/// The report is signed by the key of this certificate, which is of the same processor with the same versions.
fn authenticate(report: &Report<'_>, vcek: &Vcek) -> Result<Claims, AttestError> {
    report.check_form()?;
    vcek.verify_signature(report.signed(), &report.signature()?)?;
    let claims = report.claims(vcek.is_turin());
    let differs = |what: &str| {
        Err(AttestError::Signature {
            kind: KIND,
            cause: format!("its {what} is not that of the certificate that signs it"),
        })
    };
    if report.is_turin().is_some_and(|turin| turin != vcek.is_turin()) {
        return differs("processor model");
    }
    if !vcek.is_of_chip(report.chip_id()) {
        return differs("chip id");
    }
    match claims.identity {
        Identity::SevSnp { reported_tcb, .. } if reported_tcb == vcek.tcb() => Ok(claims),
        _ => differs("TCB version"),
    }
}

fn check(policy: &SnpPolicy, report: &Report<'_>, identity: &Identity) -> Result<(), AttestError> {
    let Identity::SevSnp {
        measurement,
        host_data,
        vmpl,
        reported_tcb,
        launch_tcb,
        ..
    } = *identity
    else {
        return Err(malformed("it is no report of SEV-SNP".to_owned()));
    };
    for got in [reported_tcb, launch_tcb] {
        for ((what, expected), (_, got)) in policy.min_tcb.parts().into_iter().zip(got.parts()) {
            at_least(what, expected.into(), got.into())?;
        }
    }
    let guest = report.policy();
    property("a migration agent:", false, guest.migration_agent())?;
    if !policy.allow_smt {
        property("simultaneous multithreading (allow_smt):", false, guest.smt())?;
    }
    if policy.single_socket {
        property("a single socket:", true, guest.single_socket())?;
    }
    property("privilege level (vmpl)", policy.vmpl, vmpl)?;
    pinned(KIND, "measurement", Some(policy.measurement), measurement)?;
    pinned(KIND, "host data", policy.host_data, host_data)
}

fn property<T: PartialEq + ToString>(what: &'static str, expected: T, got: T) -> Result<(), AttestError> {
    match expected == got {
        true => Ok(()),
        false => Err(AttestError::Property {
            kind: KIND,
            what,
            expected: expected.to_string(),
            got: got.to_string(),
        }),
    }
}

fn malformed(cause: String) -> AttestError {
    AttestError::Malformed {
        what: "SEV-SNP report",
        cause,
    }
}

#[cfg(test)]
mod tests;
