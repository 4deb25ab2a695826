//! Intel's collateral: what it says of platforms, with dates.

use dcap_qvl::QuoteCollateralV3;
use serde::Deserialize;
use x509_cert::{
    certificate::Rfc5280,
    crl::CertificateList,
    der::{DateTime, Decode},
};

use crate::{AttestError, Kind, error::short};

pub(super) fn parse(kind: Kind, json: &[u8]) -> Result<QuoteCollateralV3, AttestError> {
    if json.is_empty() {
        return Err(unusable(
            kind,
            "there are none: neither the quote came with Intel's collateral nor does the policy name a file of it",
        ));
    }
    serde_json::from_slice(json).map_err(|error| unusable(kind, format!("no collateral in JSON: {error}")))
}

/// Refuses what is not valid yet or any more. Nothing is authentic yet here; whether it is comes next, so a lie only changes the error.
pub(super) fn check_validity(kind: Kind, collateral: &QuoteCollateralV3, now: u64) -> Result<(), AttestError> {
    let periods = [
        document(kind, "Intel's TCB info", &collateral.tcb_info)?,
        document(kind, "Intel's QE identity", &collateral.qe_identity)?,
        revocations(kind, "the root's revocation list", &collateral.root_ca_crl)?,
        revocations(kind, "the platform certificates' revocation list", &collateral.pck_crl)?,
    ];
    for Period { what, from, until } in periods {
        if now < from || now >= until {
            return Err(AttestError::Expired { what, from, until, now });
        }
    }
    Ok(())
}

struct Period {
    what: &'static str,
    from: u64,
    until: u64,
}

fn document(kind: Kind, what: &'static str, json: &str) -> Result<Period, AttestError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Dates {
        issue_date: String,
        next_update: String,
    }
    let dates: Dates = serde_json::from_str(json).map_err(|error| unusable(kind, format!("{what}: {error}")))?;
    let seconds = |date: &str| {
        let parsed: Result<DateTime, _> = date.parse();
        let shown: String = date.chars().take(40).collect();
        parsed
            .map(|date| date.unix_duration().as_secs())
            .map_err(|_| unusable(kind, format!("{what}: expected a date, got {shown:?}")))
    };
    Ok(Period {
        what,
        from: seconds(&dates.issue_date)?,
        until: seconds(&dates.next_update)?,
    })
}

fn revocations(kind: Kind, what: &'static str, der: &[u8]) -> Result<Period, AttestError> {
    let list = CertificateList::<Rfc5280>::from_der(der).map_err(|error| unusable(kind, format!("{what}: {error}")))?;
    let list = list.tbs_cert_list;
    // Without a next date it would be valid for ever.
    let until = list
        .next_update
        .ok_or_else(|| unusable(kind, format!("{what}: it has no end")))?;
    Ok(Period {
        what,
        from: list.this_update.to_unix_duration().as_secs(),
        until: until.to_unix_duration().as_secs(),
    })
}

fn unusable(kind: Kind, cause: impl Into<String>) -> AttestError {
    AttestError::Endorsements {
        kind,
        cause: short(cause.into()),
    }
}
