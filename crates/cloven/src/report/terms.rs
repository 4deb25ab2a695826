//! What was agreed on: who learns what, the encryption's parameters, the job.

use std::collections::BTreeMap;

use super::{
    Report,
    markup::{Markup, markup},
};
use crate::EncryptionParameters;

/// What each party learns, and how strong the encryption is.
pub(super) fn privacy(report: &Report) -> Markup {
    let leaks = match (&report.facts.summary, &report.job) {
        (Some(summary), _) => summary.leaks.clone(),
        (None, Some(job)) => job.leaks(),
        (None, None) => return Markup::default(),
    };
    let mut parties: BTreeMap<&str, Vec<Markup>> = BTreeMap::new();
    for leak in &leaks {
        parties
            .entry(&leak.party)
            .or_default()
            .push(markup!("<li>{}</li>", leak.learns));
    }
    let parties: Vec<Markup> = parties
        .into_iter()
        .map(|(party, items)| markup!("<h3>{} learns</h3><ul>{}</ul>", party, items))
        .collect();
    let parameters = match (&report.facts.summary, &report.job) {
        (Some(summary), _) => summary.params.clone(),
        (None, Some(job)) => job.encryption_parameters(report.facts.rows).ok().flatten(),
        (None, None) => None,
    };
    markup!(
        r#"<section class="learns"><h2>What each party learns</h2>{}{}</section>"#,
        parties,
        parameters.as_ref().map_or_else(unencrypted, encryption)
    )
}

fn unencrypted() -> Markup {
    markup!(
        "<h3>Encryption</h3><p>Beyond the links' own (TLS 1.3 between the parties), none: what a party is sent, it reads.</p>"
    )
}

fn encryption(parameters: &EncryptionParameters) -> Markup {
    let EncryptionParameters {
        log2_n,
        log2_qp,
        security_bits,
        ring_bits,
        fraction_bits,
    } = parameters;
    let more = [
        ("plaintexts modulo", ring_bits.map(|bits| format!("2^{bits}"))),
        ("bits after the point", fraction_bits.map(|bits| bits.to_string())),
    ];
    let more: Vec<Markup> = more
        .into_iter()
        .filter_map(|(name, value)| Some(markup!(r#"<tr><th>{}</th><td class="n">{}</td></tr>"#, name, value?)))
        .collect();
    let row = cloven_protocols::EncryptionSet::largest_modulus_bits(*log2_n).map_or_else(
        || "This version's security table has no row for this degree.".to_owned(),
        |allowed| {
            format!(
                "The row of the security table (eprint 2024/463) for this degree allows a modulus of up to {allowed} bits for {security_bits} \
                 bits of classical security; this run used {log2_qp:.1}."
            )
        },
    );
    markup!(
        r#"<h3>Encryption</h3><table><tr><th>ring degree N</th><td class="n">{}</td></tr><tr><th>modulus log₂(QP)</th><td class="n">{}</td></tr><tr><th>classical security</th><td class="n">{}</td></tr>{}</table><p>{} In words: the best attack known to the table's authors takes about 2<sup>{}</sup> operations of an ordinary computer. The figure is an estimate of known attacks, and it is not one for quantum computers.</p>"#,
        1usize
            .checked_shl(*log2_n)
            .map_or_else(|| "?".to_owned(), |n| super::numbers::count(n as u64)),
        format!("{log2_qp:.1} bits"),
        format!("{security_bits} bits"),
        more,
        row,
        security_bits.to_string()
    )
}

/// The job as it was run.
pub(super) fn job(report: &Report) -> Markup {
    match &report.job_text {
        Some(text) => markup!("<section><h2>The job as run</h2><pre>{}</pre></section>", text.trim_end()),
        None => Markup::default(),
    }
}
