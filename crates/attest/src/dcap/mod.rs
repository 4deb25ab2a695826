//! Quotes of Intel's processors, TDX and SGX (DCAP): parsing and signatures by `dcap-qvl`, the decision here.

mod collateral;

use dcap_qvl::{
    QuoteClaims, QuoteCollateralV3, QuotePolicy,
    configs::RingConfig,
    intel::{quote_ca, quote_fmspc},
    quote::{Quote, Report},
    verify::QuoteVerifier,
};

use crate::{
    AttestError, Claims, DcapTcb, Digest, Identity, Kind, Platform, ReportData, SgxPolicy, TcbStatus, TdxPolicy, Verified,
    check::{at_least, no_debug, pinned},
    error::short,
    verify::Tcb,
};

/// Bit 1 of an SGX enclave's attributes.
const SGX_DEBUG: u8 = 1 << 1;

/// The low byte of a TD's attributes: TUD, "TD under debug". Any bit of it makes the TD untrusted.
const TDX_UNDER_DEBUG: u8 = 0xff;

pub(crate) fn inspect(kind: Kind, quote: &[u8]) -> Result<Claims, AttestError> {
    let parsed = parse(kind, quote)?;
    let claims = claims(&parsed.report).ok_or_else(|| malformed("it holds no report of a known form"))?;
    Ok(Claims {
        platform: platform(&parsed),
        ..claims
    })
}

/// From the certificate in the quote, if there is one.
fn platform(quote: &Quote) -> Option<Platform> {
    Some(Platform::Intel {
        fmspc: Digest(quote_fmspc(quote).ok()?),
        ca: quote_ca(quote).ok()?.as_id_str(),
    })
}

pub(crate) fn verify_tdx(
    policy: &TdxPolicy,
    quote: &[u8],
    endorsements: &[u8],
    now: u64,
) -> Result<(Verified, ReportData), AttestError> {
    let (verified, report_data) = authenticate(Kind::Tdx, &policy.tcb, quote, endorsements, now)?;
    if let Identity::Tdx { mrtd, rtmr } = verified.identity {
        check_tdx(policy, mrtd, rtmr)?;
    }
    Ok((verified, report_data))
}

pub(crate) fn verify_sgx(
    policy: &SgxPolicy,
    quote: &[u8],
    endorsements: &[u8],
    now: u64,
) -> Result<(Verified, ReportData), AttestError> {
    let (verified, report_data) = authenticate(Kind::Sgx, &policy.tcb, quote, endorsements, now)?;
    check_sgx(policy, &verified.identity)?;
    Ok((verified, report_data))
}

fn check_tdx(policy: &TdxPolicy, mrtd: Digest<48>, rtmr: [Digest<48>; 4]) -> Result<(), AttestError> {
    pinned(Kind::Tdx, "MRTD", Some(policy.mrtd), mrtd)?;
    for ((register, expected), got) in ["RTMR0", "RTMR1", "RTMR2", "RTMR3"].into_iter().zip(policy.rtmr()).zip(rtmr) {
        pinned(Kind::Tdx, register, expected, got)?;
    }
    Ok(())
}

fn check_sgx(policy: &SgxPolicy, identity: &Identity) -> Result<(), AttestError> {
    let kind = Kind::Sgx;
    let Identity::Sgx {
        mrenclave,
        mrsigner,
        product_id,
        svn,
    } = *identity
    else {
        return Err(malformed("it holds no report of an enclave"));
    };
    pinned(kind, "MRENCLAVE", policy.mrenclave, mrenclave)?;
    pinned(kind, "MRSIGNER", policy.mrsigner, mrsigner)?;
    if let Some(expected) = policy.product_id.filter(|expected| *expected != product_id) {
        return Err(AttestError::Property {
            kind,
            what: "product id",
            expected: expected.to_string(),
            got: product_id.to_string(),
        });
    }
    at_least(
        "security version of the enclave",
        policy.min_svn.unwrap_or(0).into(),
        svn.into(),
    )
}

/// Everything but measurements and report data.
fn authenticate(
    kind: Kind,
    policy: &DcapTcb,
    quote: &[u8],
    endorsements: &[u8],
    now: u64,
) -> Result<(Verified, ReportData), AttestError> {
    let parsed = parse(kind, quote)?;
    // dcap-qvl refuses it too, with an error that cannot be told from others.
    no_debug(kind, claims(&parsed.report).is_none_or(|claims| claims.debug))?;
    let collateral = collateral::parse(kind, endorsements)?;
    collateral::check_validity(kind, &collateral, now)?;
    let signed = check_signatures(kind, quote, collateral, now)?;
    let verdict = check_tcb(policy, &signed)?;
    let claims = claims(&signed.report).ok_or_else(|| malformed("it holds no report of a known form"))?;
    let verified = Verified {
        identity: claims.identity,
        tcb: Some(verdict),
        expires: Some(signed.earliest_expiration_date),
    };
    Ok((verified, claims.report_data))
}

fn parse(kind: Kind, quote: &[u8]) -> Result<Quote, AttestError> {
    let parsed = Quote::parse(quote).map_err(|error| malformed(short(format_args!("{error:#}"))))?;
    let got = if parsed.report.is_sgx() { Kind::Sgx } else { Kind::Tdx };
    if got != kind {
        return Err(AttestError::Kind { expected: kind, got });
    }
    // Drivers pad with zeros; anything else would be bytes that nobody vouches for.
    let signed = parsed.signed_length();
    let signature = quote
        .get(signed..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .map(u32::from_le_bytes);
    let end = signed.saturating_add(4).saturating_add(signature.unwrap_or(0) as usize);
    match quote.get(end..) {
        Some(padding) if padding.iter().all(|byte| *byte == 0) => Ok(parsed),
        _ => Err(malformed("bytes follow its signature")),
    }
}

fn claims(report: &Report) -> Option<Claims> {
    if let Some(enclave) = report.as_sgx() {
        return Some(Claims {
            identity: Identity::Sgx {
                mrenclave: Digest(enclave.mr_enclave),
                mrsigner: Digest(enclave.mr_signer),
                product_id: enclave.isv_prod_id,
                svn: enclave.isv_svn,
            },
            report_data: ReportData::from_bytes(enclave.report_data),
            debug: enclave.attributes[0] & SGX_DEBUG != 0,
            platform: None,
        });
    }
    let td = report.as_td10()?;
    Some(Claims {
        identity: Identity::Tdx {
            mrtd: Digest(td.mr_td),
            rtmr: [td.rt_mr0, td.rt_mr1, td.rt_mr2, td.rt_mr3].map(Digest),
        },
        report_data: ReportData::from_bytes(td.report_data),
        debug: td.td_attributes[0] & TDX_UNDER_DEBUG != 0,
        platform: None,
    })
}

/// From Intel's root to the report; refuses revoked platforms, and TDs that may migrate or that other TDs serve.
fn check_signatures(kind: Kind, quote: &[u8], collateral: QuoteCollateralV3, now: u64) -> Result<QuoteClaims, AttestError> {
    QuoteVerifier::new_prod()
        .with_config::<RingConfig>()
        .verify_with_policy(quote, collateral, now, &QuotePolicy::claims_only(now))
        .map_err(|error| refused(kind, short(format_args!("{error:#}"))))
}

/// `dcap-qvl` tells its errors apart by their text only; a recorded quote in the tests holds it to the first of these.
fn refused(kind: Kind, cause: String) -> AttestError {
    match cause.contains("No matching TCB level found") || cause.contains("TCB status is invalid: Revoked") {
        true => AttestError::TcbUnlisted(cause),
        false => AttestError::Signature { kind, cause },
    }
}

fn check_tcb(policy: &DcapTcb, signed: &QuoteClaims) -> Result<Tcb, AttestError> {
    let status = status(signed.tcb.status)?;
    if !policy.accept.contains(&status) {
        return Err(AttestError::TcbStatus {
            expected: policy.accept.clone(),
            got: status,
        });
    }
    let is_accepted = |id: &&String| policy.advisories.iter().any(|accepted| accepted.eq_ignore_ascii_case(id));
    let open: Vec<_> = signed
        .tcb
        .advisory_ids
        .iter()
        .filter(|id| !is_accepted(id))
        .cloned()
        .collect();
    if !open.is_empty() {
        return Err(AttestError::Advisories {
            expected: policy.advisories.clone(),
            got: open,
        });
    }
    at_least(
        "edition of Intel's TCB rules (tcbEvaluationDataNumber)",
        policy.min_evaluation.unwrap_or(0).into(),
        signed.tcb.eval_data_number.into(),
    )?;
    Ok(Tcb {
        status,
        advisories: signed.tcb.advisory_ids.clone(),
        evaluation: signed.tcb.eval_data_number,
    })
}

fn status(status: dcap_qvl::TcbStatus) -> Result<TcbStatus, AttestError> {
    use dcap_qvl::TcbStatus as Intel;
    Ok(match status {
        Intel::UpToDate => TcbStatus::UpToDate,
        Intel::SWHardeningNeeded => TcbStatus::SWHardeningNeeded,
        Intel::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        Intel::ConfigurationAndSWHardeningNeeded => TcbStatus::ConfigurationAndSWHardeningNeeded,
        Intel::OutOfDate => TcbStatus::OutOfDate,
        Intel::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        Intel::TDRelaunchAdvised => TcbStatus::TDRelaunchAdvised,
        Intel::TDRelaunchAdvisedConfigurationNeeded => TcbStatus::TDRelaunchAdvisedConfigurationNeeded,
        Intel::Revoked => return Err(AttestError::TcbUnlisted("Intel has revoked the platform".to_owned())),
    })
}

fn malformed(cause: impl Into<String>) -> AttestError {
    AttestError::Malformed {
        what: "quote",
        cause: cause.into(),
    }
}

#[cfg(test)]
mod tests;
