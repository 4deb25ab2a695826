//! What `cloven plan` says of a vertical job.

use cloven::plan::VerticalPlan;

use crate::words::{self, bytes, seconds};

/// The plan as text.
pub fn text(plan: &VerticalPlan) -> String {
    let [train, test] = plan.rows;
    let link = plan.link.map_or("all on this machine".to_owned(), |link| link.to_string());
    let mut lines = vec![
        format!(
            "{}, {train} training and {test} test rows that all holders have, link: {link}",
            plan.protocol
        ),
        String::new(),
    ];
    lines.extend(pairs(plan));
    lines.push(String::new());
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<22}{value}"));
    let online = plan.bytes_per_epoch - plan.preprocessing_bytes_per_epoch;
    row(
        "bytes of an epoch",
        format!(
            "{}: {} online, {} of preprocessing; an evaluation {}; before the first batch {}",
            bytes(plan.bytes_per_epoch),
            bytes(online),
            bytes(plan.preprocessing_bytes_per_epoch),
            bytes(plan.bytes_per_evaluation),
            bytes(plan.bytes_before)
        ),
    );
    row(
        "messages of a batch",
        format!(
            "{} one way after the other; {} batches an epoch",
            plan.one_way_messages_per_batch, plan.batches_per_epoch
        ),
    );
    match plan.seconds_of_line_per_epoch {
        Some(line) => row(
            "time of an epoch",
            format!("not forecast; at least {}, which the line alone takes", seconds(line)),
        ),
        None => row("time of an epoch", "not forecast".to_owned()),
    }
    let held: Vec<String> = plan
        .held_bytes
        .iter()
        .map(|(holder, held)| format!("{holder} {}", bytes(*held)))
        .collect();
    row("rows and masks held", held.join(", "));
    if let Some(params) = &plan.params {
        row(
            "encryption",
            format!(
                "log2 N = {}, log2 q = {:.1}, {}-bit classical security",
                params.log2_n, params.log2_qp, params.security_bits
            ),
        );
    }
    row("span of h1", span(plan));
    lines.push(String::new());
    lines.push(words::leaks(&plan.leaks));
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// By sender and receiver.
fn pairs(plan: &VerticalPlan) -> Vec<String> {
    let line = |from: &str, to: &str, columns: [String; 5]| {
        let [messages, epoch, before, evaluation, setup] = columns;
        format!("  {from:<16}{to:<16}{messages:>10}{epoch:>14}{before:>18}{evaluation:>16}{setup:>16}")
    };
    let head = ["messages", "an epoch", "of that prepared", "an evaluation", "before all"].map(str::to_owned);
    let mut lines = vec![line("from", "to", head)];
    lines.extend(plan.pairs.iter().map(|pair| {
        let columns = [
            pair.messages_per_epoch.to_string(),
            bytes(pair.bytes_per_epoch),
            bytes(pair.preprocessing_bytes_per_epoch),
            bytes(pair.bytes_per_evaluation),
            bytes(pair.bytes_before),
        ];
        line(pair.from.as_str(), pair.to.as_str(), columns)
    }));
    lines
}

fn span(plan: &VerticalPlan) -> String {
    let span = &plan.span;
    let job = match span.reached {
        true => format!("this job makes {} and says that this is accepted", span.epochs),
        false => format!("this job makes {}, which is fewer", span.epochs),
    };
    format!(
        "after {} passes over the same rows ({} columns / {} outputs) the server can find a binary column by linear algebra; {job}",
        span.passes, span.columns, span.width
    )
}
