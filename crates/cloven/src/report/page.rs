//! The page: its head, its order of sections, headline and notes.

use super::{
    Report, State, audit, curves,
    facts::EpochRow,
    markup::{Markup, markup},
    numbers, tables, terms,
};

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let facts = &report.facts;
    let Markup(page) = markup!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header><h1>{}</h1><p class=\"meta\">{}</p></header>\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n<footer>Written by cloven {}. \
         This page holds everything it shows and loads nothing.</footer>\n</body>\n</html>\n",
        title(report),
        Markup(include_str!("style.css").to_owned()),
        title(report),
        subtitle(report),
        notes(report),
        headline(report),
        curves::curves(&report.facts, report.plain.as_ref()),
        tables::classes(facts.evaluation.as_ref()),
        tables::alignment(facts),
        tables::costs(facts),
        terms::privacy(report),
        audit::audits(report.audit.as_ref()),
        terms::job(report),
        env!("CARGO_PKG_VERSION"),
    );
    page
}

fn title(report: &Report) -> String {
    match (&report.job, &report.facts.summary) {
        (Some(job), _) => format!("{} on {}, model {}", protocol(report), job.data.name, job.model_name()),
        (None, Some(summary)) => format!("{} on {}, model {}", protocol(report), summary.dataset, summary.model),
        (None, None) => format!("Run {}", report.name),
    }
}

fn protocol(report: &Report) -> String {
    match (&report.facts.summary, &report.job) {
        (Some(summary), _) => match summary.mode {
            Some(mode) => format!("{} ({})", summary.protocol, format!("{mode:?}").to_lowercase()),
            None => summary.protocol.clone(),
        },
        (None, Some(job)) => job.protocol.name().to_owned(),
        (None, None) => String::new(),
    }
}

fn subtitle(report: &Report) -> String {
    let mut parts = vec![format!("run {}", report.name)];
    if let Some([train, test]) = report.facts.rows {
        let [train, test] = [train, test].map(|rows| numbers::count(rows as u64));
        parts.push(format!("{train} training and {test} test rows"));
    }
    if let Some(job) = &report.job {
        parts.push(format!(
            "{} epoch{}, batch {}, seed {}",
            job.training.epochs,
            if job.training.epochs == 1 { "" } else { "s" },
            job.training.batch,
            job.seed
        ));
        parts.push(format!("job\u{a0}{}", &job.digest_hex()[..16]));
    }
    parts.join(" · ")
}

/// What a reader must know before the figures.
fn notes(report: &Report) -> Vec<Markup> {
    let facts = &report.facts;
    let mut notes = Vec::new();
    let recorded = match facts.epochs.len() {
        0 => "no epoch is recorded".to_owned(),
        1 => "one epoch is recorded".to_owned(),
        n => format!("{n} epochs are recorded"),
    };
    match &facts.state {
        State::Complete => (),
        State::Failed(failure) => notes.push(markup!(
            r#"<div class="note bad"><p><strong>This run failed</strong> (exit code {}): {} Before that, {}.</p></div>"#,
            usize::from(failure.exit_code),
            sentence(&failure.message),
            recorded
        )),
        State::Unfinished => notes.push(markup!(
            r#"<div class="note"><p><strong>This run has no summary:</strong> it was ended from outside or is still going on; {}.</p></div>"#,
            recorded
        )),
    }
    if let (1, Some(party)) = (facts.parties.len(), facts.parties.first()) {
        notes.push(markup!(
            r#"<div class="note"><p>Recorded by {} alone: bytes are those at its own socket in both directions; what other parties measured is not in this folder.</p></div>"#,
            party.as_str()
        ));
    }
    notes
}

fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

fn card(name: &str, figure: String, more: Vec<String>) -> Markup {
    let more: Vec<Markup> = more.into_iter().map(|line| markup!("{}<br>", line)).collect();
    markup!(
        r#"<div class="card"><div class="name">{}</div><div class="figure">{}</div><div class="more">{}</div></div>"#,
        name,
        figure,
        more
    )
}

fn headline(report: &Report) -> Markup {
    let facts = &report.facts;
    let Some(summary) = &facts.summary else {
        return so_far(&facts.epochs);
    };
    let mut cards = Vec::new();
    if let Some(accuracy) = summary.test_accuracy {
        let plain = summary
            .test_accuracy_plain
            .map(|plain| format!("plain {} ({})", numbers::percent(plain), numbers::points(accuracy - plain)));
        let subsets = summary.test_accuracy_subsets.iter();
        let subsets = subsets.map(|(name, accuracy)| format!("{name} rows {}", numbers::percent(*accuracy)));
        cards.push(card(
            "Test accuracy",
            numbers::percent(accuracy),
            plain.into_iter().chain(subsets).collect(),
        ));
    }
    if let Some(auc) = summary.auc {
        let loss = summary.test_loss.map(|loss| format!("test loss {loss:.4}"));
        let average = summary
            .average_precision
            .map(|average| format!("average precision {average:.4}"));
        cards.push(card(
            "AUC (ROC)",
            format!("{auc:.4}"),
            average.into_iter().chain(loss).collect(),
        ));
    } else if let Some(loss) = summary.test_loss {
        cards.push(card("Test loss", format!("{loss:.4}"), vec![]));
    }
    let ratio = summary.seconds_per_epoch_plain.filter(|plain| *plain > 0.0).map(|plain| {
        format!(
            "{:.2} × plain ({})",
            summary.seconds_per_epoch / plain,
            numbers::seconds(plain)
        )
    });
    let all = format!("training only; {} in all", numbers::seconds(summary.seconds_total));
    cards.push(card(
        "Time per epoch",
        numbers::seconds(summary.seconds_per_epoch),
        ratio.into_iter().chain([all]).collect(),
    ));
    cards.push(card(
        "Bytes per epoch",
        numbers::bytes(summary.bytes_per_epoch),
        vec!["training only, all parties".to_owned()],
    ));
    let mut memory: Vec<_> = summary
        .peak_rss_bytes
        .iter()
        .filter_map(|(party, m)| Some(((*m)?, party)))
        .collect();
    memory.sort_by(|a, b| b.cmp(a));
    if let [(most, party), rest @ ..] = &memory[..] {
        let rest = rest.iter().map(|(m, party)| format!("{party} {}", numbers::bytes(*m)));
        let lines = [party.to_string()].into_iter().chain(rest).collect();
        cards.push(card("Peak memory", numbers::bytes(*most), lines));
    }
    markup!(r#"<div class="cards">{}</div>"#, cards)
}

/// The headline of a run that did not finish: where it stood.
fn so_far(epochs: &[EpochRow]) -> Markup {
    let Some(last) = epochs.last() else { return Markup::default() };
    let mut cards = vec![card("Last epoch", last.epoch.to_string(), vec![])];
    if let Some(row) = epochs.iter().rev().find(|row| row.accuracy.is_some()) {
        let accuracy = numbers::percent(row.accuracy.unwrap_or_default());
        cards.push(card(
            "Last test accuracy",
            accuracy,
            vec![format!("after epoch {}", row.epoch)],
        ));
    }
    let n = epochs.len() as f64;
    let mean = epochs.iter().map(|row| row.seconds).sum::<f64>() / n;
    let bytes = epochs.iter().map(|row| row.bytes as f64).sum::<f64>() / n;
    cards.push(card("Time per epoch", numbers::seconds(mean), vec![]));
    cards.push(card("Bytes per epoch", numbers::bytes(bytes as u64), vec![]));
    markup!(r#"<div class="cards">{}</div>"#, cards)
}
