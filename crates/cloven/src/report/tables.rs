//! Recall and confusion by class; time and bytes by phase, party and message.

use cloven_nn::Evaluation;

use super::{
    Facts,
    markup::{Markup, markup},
    numbers,
};

/// Larger matrices are left out: nobody reads them.
const MOST_CLASSES: usize = 30;

/// Recall by class and, where there is one, the confusion matrix.
pub(super) fn classes(evaluation: Option<&Evaluation>) -> Markup {
    let Some(evaluation) = evaluation.filter(|e| !e.recall.is_empty()) else {
        return Markup::default();
    };
    let rows: Vec<Markup> = evaluation
        .recall
        .iter()
        .enumerate()
        .map(|(class, recall)| {
            let samples = evaluation.confusion.get(class).map(|row| numbers::count(sum(row)));
            let (text, share) = recall.map_or(("does not occur".to_owned(), 0.0), |r| (numbers::percent(r), r));
            markup!(
                r#"<tr><td>{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td>{}</tr>"#,
                class,
                samples.unwrap_or_else(|| "–".into()),
                area(evaluation, class),
                text,
                bar(share)
            )
        })
        .collect();
    markup!(
        r#"<section><h2>By class</h2><p class="soft">After the last evaluation. Classes are numbered as the data's owner numbers them.</p><div class="pair"><div><table class="wide"><caption>AUC (ROC) of a class against the rest, and recall: the share of it that was recognised</caption><tr><th>class</th><th class="n">test rows</th><th class="n">AUC</th><th class="n">recall</th><th></th></tr>{}</table></div>{}</div></section>"#,
        rows,
        confusion(&evaluation.confusion)
    )
}

fn area(evaluation: &Evaluation, class: usize) -> String {
    // One output has one area, which is that of class 1 against class 0.
    let only = evaluation.auc_by_class.len() == 1;
    let area = evaluation.auc_by_class.get(if only { 0 } else { class }).copied().flatten();
    area.map_or_else(|| "–".to_owned(), |area| format!("{area:.4}"))
}

fn confusion(matrix: &[Vec<u64>]) -> Markup {
    if matrix.is_empty() || matrix.len() > MOST_CLASSES {
        return Markup::default();
    }
    let head: Vec<Markup> = (0..matrix.len()).map(|class| markup!("<th>{}</th>", class)).collect();
    let rows: Vec<Markup> = matrix
        .iter()
        .enumerate()
        .map(|(class, row)| {
            let total = sum(row).max(1) as f64;
            let cell = |(decision, n): (usize, &u64)| {
                let share = *n as f64 / total;
                // Dark enough to tell apart, light enough to read black or white text on.
                let shade = Markup(format!("{:.2}", share * 0.55));
                let right = if decision == class { "right" } else { "" };
                let says = format!(
                    "{} of class {class} taken for class {decision}: {}",
                    numbers::percent(share),
                    numbers::count(*n)
                );
                markup!(
                    r#"<td class="{}" style="background:rgba(var(--heat),{})" title="{}">{}</td>"#,
                    right,
                    shade,
                    says,
                    numbers::count(*n)
                )
            };
            let cells: Vec<Markup> = row.iter().enumerate().map(cell).collect();
            markup!(r#"<tr><th class="row">{}</th>{}</tr>"#, class, cells)
        })
        .collect();
    markup!(
        r#"<div class="scroll"><table class="matrix"><caption>Confusion: true class by row, decision by column</caption><tr><th></th>{}</tr>{}</table></div>"#,
        head,
        rows
    )
}

/// Files may claim anything.
fn sum<'a>(numbers: impl IntoIterator<Item = &'a u64>) -> u64 {
    numbers.into_iter().fold(0, |sum, n| sum.saturating_add(*n))
}

/// A bar of this share of the column.
fn bar(share: f64) -> Markup {
    let width = Markup(format!("{:.1}", share.clamp(0.0, 1.0) * 100.0));
    markup!(r#"<td class="bar"><span style="width:{}%"></span></td>"#, width)
}

/// How holders of columns found their common rows, and what became of values in them.
pub(super) fn alignment(facts: &Facts) -> Markup {
    let Some(summary) = facts.summary.as_ref().filter(|summary| !summary.alignment.is_empty()) else {
        return Markup::default();
    };
    let rows: Vec<Markup> = summary
        .alignment
        .iter()
        .map(|(holder, alignment)| {
            let adjusted = summary.adjusted_values.get(holder).copied().unwrap_or_default();
            let counts = [
                alignment.rows,
                alignment.missing_ids,
                alignment.dropped_rows,
                alignment.repeated_ids,
                alignment.distinct_ids,
                alignment.common_ids,
                adjusted.missing,
                adjusted.unknown,
                adjusted.clipped,
            ];
            let cells: Vec<Markup> = counts
                .into_iter()
                .map(|count| markup!(r#"<td class="n">{}</td>"#, numbers::count(count as u64)))
                .collect();
            markup!("<tr><td>{}</td>{}</tr>", holder.as_str(), cells)
        })
        .collect();
    markup!(
        r#"<section><h2>Rows that all holders have</h2><div class="scroll"><table class="wide"><caption>Rows of each holder's table, those left out, ids; values of the common rows that were filled in, of no known category, or too far from the mean</caption><tr><th>holder</th><th class="n">rows</th><th class="n">no id</th><th class="n">dropped</th><th class="n">repeated id</th><th class="n">distinct ids</th><th class="n">common ids</th><th class="n">missing values</th><th class="n">unknown</th><th class="n">clipped</th></tr>{}</table></div></section>"#,
        rows
    )
}

/// Where time and bytes went.
pub(super) fn costs(facts: &Facts) -> Markup {
    let parts = vec![phases(facts), messages(facts)];
    if parts.iter().all(|part| part.0.is_empty()) {
        return Markup::default();
    }
    let head = vec![totals(facts), predicted(facts)];
    markup!(r#"<section><h2>Time and bytes</h2>{}{}</section>"#, head, parts)
}

/// An epoch as `cloven plan` predicted it, beside what it took.
fn predicted(facts: &Facts) -> Markup {
    let known = facts
        .summary
        .as_ref()
        .and_then(|summary| Some((summary, summary.predicted.as_ref()?)));
    let Some((summary, predicted)) = known else {
        return Markup::default();
    };
    let row = |name: &str, predicted: f64, measured: f64, text: fn(f64) -> String| {
        let ratio = if measured > 0.0 {
            numbers::digits(predicted / measured)
        } else {
            "–".to_owned()
        };
        markup!(
            r#"<tr><td>{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td></tr>"#,
            name,
            text(predicted),
            text(measured),
            ratio
        )
    };
    let bytes = [predicted.bytes_per_epoch, summary.bytes_per_epoch].map(|bytes| bytes as f64);
    markup!(
        r#"<table class="wide"><caption>An epoch of training, predicted by cloven plan and measured</caption><tr><th></th><th class="n">predicted</th><th class="n">measured</th><th class="n">ratio</th></tr>{}</table>"#,
        vec![
            row(
                "time",
                predicted.seconds_per_epoch,
                summary.seconds_per_epoch,
                numbers::seconds
            ),
            row("bytes", bytes[0], bytes[1], |bytes| numbers::bytes(bytes as u64)),
        ]
    )
}

/// Bytes of all parties by phase, from the summary.
fn totals(facts: &Facts) -> Markup {
    let Some(summary) = &facts.summary else {
        return Markup::default();
    };
    let all = sum(summary.bytes_by_phase.values());
    let mut phases: Vec<_> = summary.bytes_by_phase.iter().collect();
    phases.sort_by_key(|(name, _)| {
        ["setup", "preprocessing", "training", "evaluation"]
            .iter()
            .position(|known| known == name)
    });
    let rows: Vec<Markup> = phases
        .iter()
        .map(|(name, bytes)| {
            let share = **bytes as f64 / all.max(1) as f64;
            markup!(
                r#"<tr><td>{}</td><td class="n">{}</td><td class="n">{}</td>{}</tr>"#,
                *name,
                numbers::bytes(**bytes),
                numbers::percent(share),
                bar(share)
            )
        })
        .collect();
    markup!(
        r#"<table class="wide"><caption>All parties by phase</caption><tr><th>phase</th><th class="n">bytes</th><th class="n">share</th><th></th></tr>{}<tr><td>all</td><td class="n">{}</td><td></td><td></td></tr></table>"#,
        rows,
        numbers::bytes(all)
    )
}

fn phases(facts: &Facts) -> Markup {
    let most = facts.phases.iter().map(|row| row.seconds).fold(0.0, f64::max).max(1e-12);
    let mut sorted: Vec<_> = facts.phases.iter().collect();
    sorted.sort_by(|a, b| (&a.party, &b.phase).cmp(&(&b.party, &a.phase)));
    let rows: Vec<Markup> = sorted
        .iter()
        .map(|row| {
            markup!(
                r#"<tr><td>{}</td><td>{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td>{}</tr>"#,
                row.party.as_str(),
                row.phase,
                numbers::bytes(row.traffic.sent),
                numbers::bytes(row.traffic.received),
                numbers::seconds(row.seconds),
                bar(row.seconds / most)
            )
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    markup!(
        r#"<table class="wide"><caption>Each party by phase: bytes at its socket, wall time with its waits</caption><tr><th>party</th><th>phase</th><th class="n">sent</th><th class="n">received</th><th class="n">time</th><th></th></tr>{}</table>"#,
        rows
    )
}

fn messages(facts: &Facts) -> Markup {
    let Some(summary) = &facts.summary else {
        return Markup::default();
    };
    let all = || {
        summary
            .messages_sent
            .iter()
            .flat_map(|(party, sent)| sent.iter().map(move |(name, t)| (party, name, t)))
    };
    let most = all().map(|(_, _, t)| t.bytes).max().unwrap_or(0).max(1) as f64;
    let mut sorted: Vec<_> = all().collect();
    sorted.sort_by_key(|(_, _, t)| std::cmp::Reverse(t.bytes));
    let rows: Vec<Markup> = sorted
        .iter()
        .map(|(party, name, t)| {
            markup!(
                r#"<tr><td>{}</td><td>{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td>{}</tr>"#,
                *name,
                party.as_str(),
                numbers::count(t.messages),
                numbers::bytes(t.bytes / t.messages.max(1)),
                numbers::bytes(t.bytes),
                bar(t.bytes as f64 / most)
            )
        })
        .collect();
    markup!(
        r#"<table class="wide"><caption>By message: header and payload, before TLS</caption><tr><th>message</th><th>from</th><th class="n">messages</th><th class="n">each</th><th class="n">bytes</th><th></th></tr>{}</table>"#,
        rows
    )
}
