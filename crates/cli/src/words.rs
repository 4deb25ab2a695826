//! Text for people.

use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    sync::OnceLock,
};

use cloven::{
    AdjustedValues, Alignment, AlignmentSummary, BenchRow, Error, Failure, Job, Leak, Party, Summary, predict::PredictionSummary,
};

/// Prints an error: one sentence on stderr and, with `--json`, an object on stdout.
pub fn failure(error: &Error, json: bool) {
    tell(format!("cloven: {error}"));
    if json {
        let failure = Failure::of(error);
        print_line(&serde_json::json!({ "error": failure }).to_string());
    }
}

/// Whether stderr has logs, and if so, whether they are JSON.
static LOGS: OnceLock<bool> = OnceLock::new();

/// From now on stderr has logs; with `json`, nothing else.
pub fn logging(json: bool) {
    let _ = LOGS.set(json);
}

/// Whether stderr is for text that comes line by line, and nothing may be drawn over it.
pub fn is_logging() -> bool {
    LOGS.get().is_some()
}

/// Tells people something on stderr, unless that is for machines.
pub fn tell(text: impl Display) {
    if LOGS.get() != Some(&true) {
        eprintln!("{text}");
    }
}

/// Prints a line on stdout; a reader that went away is no error.
pub fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What the job is and what each party learns from it.
pub fn job(job: &Job) -> String {
    let parties: Vec<String> = job
        .parties
        .iter()
        .map(|(name, role)| format!("{name} ({})", role.name()))
        .collect();
    format!(
        "job {}\n{} on {}, model {}, {} epochs; parties: {}\n{}",
        job.digest_hex(),
        job.protocol.name(),
        job.data.name,
        job.model_name(),
        job.training.epochs,
        parties.join(", "),
        leaks(&job.leaks())
    )
}

/// What a prediction is made with, and what each party learns from it.
pub fn prediction_of(job: &Job, client: &Party, hide_input: bool) -> String {
    format!(
        "job {}\nprediction of rows of {client} with the network that {} trained on {}, model {}\n{}",
        job.digest_hex(),
        job.protocol.name(),
        job.data.name,
        job.model_name(),
        leaks(&cloven::predict::leaks(job, client, hide_input))
    )
}

/// The summary of a prediction as a table.
pub fn prediction(summary: &PredictionSummary) -> String {
    let mut lines = Vec::new();
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<22}{value}"));
    row("rows", summary.rows.to_string());
    if let Some(predicted) = &summary.predicted {
        let each: Vec<String> = predicted.iter().map(|(class, rows)| format!("{class} {rows}")).collect();
        row("predicted", each.join(", "));
    }
    if let Some(accuracy) = summary.accuracy {
        row(
            "accuracy",
            format!("{} of {} labelled rows", percent(accuracy), summary.labelled_rows),
        );
    }
    match (summary.auc, summary.loss) {
        (Some(auc), _) => row("AUC", format!("{auc:.4}")),
        (None, Some(loss)) => row("loss", format!("{loss:.4} on {} labelled rows", summary.labelled_rows)),
        (None, None) => (),
    }
    row(
        "time",
        format!(
            "{} in all, {:.3} ms a row",
            seconds(summary.seconds_total),
            summary.seconds_per_row * 1e3
        ),
    );
    for (party, sent) in &summary.bytes_sent {
        row(&format!("  {party}"), format!("{} sent", bytes(*sent)));
    }
    if let Some(output) = &summary.output {
        row("predictions", output.display().to_string());
    }
    lines.join("\n")
}

pub fn leaks(leaks: &[Leak]) -> String {
    let lines: Vec<String> = leaks
        .iter()
        .map(|leak| format!("  {} learns {}", leak.party, leak.learns))
        .collect();
    format!("What each party learns:\n{}", lines.join("\n"))
}

/// The summary as a table.
pub fn summary(summary: &Summary) -> String {
    let mut lines = Vec::new();
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<22}{value}"));
    if let Some(accuracy) = summary.test_accuracy {
        row("test accuracy", percent(accuracy));
    }
    for (client, accuracy) in &summary.test_accuracy_by_client {
        row(&format!("  of {client}"), percent(*accuracy));
    }
    for (subset, accuracy) in &summary.test_accuracy_subsets {
        row(&format!("  on {subset} rows"), percent(*accuracy));
    }
    if let Some(accuracy) = summary.test_accuracy_plain {
        row("  plain", percent(accuracy));
    }
    if let Some(auc) = summary.auc {
        row("AUC", format!("{auc:.4}"));
    }
    if let Some(average) = summary.average_precision {
        row("average precision", format!("{average:.4}"));
    }
    if let Some(areas) = summary.auc_by_class.as_ref().filter(|areas| areas.len() > 1) {
        let each: Vec<String> = areas
            .iter()
            .map(|area| area.map_or("-".into(), |auc| format!("{auc:.4}")))
            .collect();
        row("AUC by class", each.join("  "));
    }
    if let Some(recall) = &summary.recall {
        let each: Vec<String> = recall.iter().map(|r| r.map_or("-".into(), percent)).collect();
        row("recall by class", each.join("  "));
    }
    if let Some(loss) = summary.test_loss {
        row("test loss", format!("{loss:.4}"));
    }
    row(
        "time",
        format!(
            "{} in all, {} an epoch",
            seconds(summary.seconds_total),
            seconds(summary.seconds_per_epoch)
        ),
    );
    if let Some(plain) = summary.seconds_per_epoch_plain.filter(|plain| *plain > 0.0) {
        let processors = summary.all_cpu_seconds().zip(summary.cpu_seconds_plain);
        let processors = processors.filter(|(_, plain)| *plain > 0.0).map(|(all, plain)| {
            let ratio = all / plain;
            format!(", {ratio:.2} times the processor seconds of all parties")
        });
        let ratio = summary.seconds_per_epoch / plain;
        let processors = processors.unwrap_or_default();
        row(
            "  over plain",
            format!("{ratio:.2} times its {} an epoch{processors}", seconds(plain)),
        );
    }
    if let Some(predicted) = &summary.predicted {
        let ratio = predicted.seconds_per_epoch / summary.seconds_per_epoch.max(f64::MIN_POSITIVE);
        let planned = format!(
            "{} an epoch, {ratio:.2} times what it took",
            seconds(predicted.seconds_per_epoch)
        );
        row("  predicted", planned);
    }
    if let Some(emulation) = summary.emulate {
        row("links", format!("emulated, {emulation}"));
    }
    row("bytes", format!("{} an epoch, both ways", bytes(summary.bytes_per_epoch)));
    if let Some(predicted) = &summary.predicted {
        let ratio = predicted.bytes_per_epoch as f64 / summary.bytes_per_epoch.max(1) as f64;
        let planned = format!("{} an epoch, {ratio:.2} times what crossed", bytes(predicted.bytes_per_epoch));
        row("  predicted", planned);
    }
    if let Some(before) = summary.bytes_by_phase.get("preprocessing") {
        let online = summary.bytes_by_phase.get("training").copied().unwrap_or(0) / u64::from(summary.epochs.max(1));
        row(
            "  of these online",
            format!("{}; preprocessing of the whole run {}", bytes(online), bytes(*before)),
        );
    }
    for (holder, alignment) in &summary.alignment {
        row(&format!("rows of {holder}"), rows(alignment));
    }
    for (holder, adjusted) in &summary.adjusted_values {
        if *adjusted != AdjustedValues::default() {
            let AdjustedValues {
                missing,
                unknown,
                clipped,
            } = adjusted;
            let counts = format!("{missing} missing, {unknown} of no known category, {clipped} clipped");
            row(&format!("values of {holder}"), counts);
        }
    }
    for (party, sent) in &summary.bytes_sent {
        let processor = summary
            .cpu_seconds
            .get(party)
            .copied()
            .flatten()
            .map_or(String::new(), |s| format!(", {} of processor", seconds(s)));
        let memory = summary
            .peak_rss_bytes
            .get(party)
            .copied()
            .flatten()
            .map_or(String::new(), |m| format!(", {} memory", bytes(m)));
        row(&format!("  {party}"), format!("{} sent{memory}{processor}", bytes(*sent)));
    }
    lines.join("\n")
}

/// What a holder aligns by this job, and what each learns from it.
pub fn alignment_of(job: &Job) -> String {
    format!(
        "job {}\nalignment of the ids of its holders; no training\n{}",
        job.digest_hex(),
        leaks(&job.alignment_leaks())
    )
}

/// An alignment as a table.
pub fn alignment(summary: &AlignmentSummary) -> String {
    let mut lines = Vec::new();
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<22}{value}"));
    row("common ids", summary.common_ids.to_string());
    if let Some(Alignment {
        train_rows, test_rows, ..
    }) = summary.holders.values().next()
    {
        row("  of these", format!("{train_rows} for training, {test_rows} for testing"));
    }
    for (holder, alignment) in &summary.holders {
        row(&format!("rows of {holder}"), rows(alignment));
        if summary.holders.len() == 1 {
            let each = alignment.others.iter().map(|(other, count)| format!("{other} {count}"));
            row("others' distinct ids", each.collect::<Vec<_>>().join(", "));
        }
    }
    row("time", seconds(summary.seconds_total));
    for path in summary.outputs.values() {
        row("common ids written", path.display().to_string());
    }
    lines.join("\n")
}

/// What became of a holder's rows before the common ones were found.
pub fn rows(alignment: &Alignment) -> String {
    let Alignment {
        rows,
        missing_ids,
        dropped_rows,
        repeated_ids,
        distinct_ids,
        common_ids,
        ..
    } = alignment;
    let parts = [
        (missing_ids, "without an id"),
        (dropped_rows, "dropped for a missing value"),
        (repeated_ids, "with an id that an earlier row has"),
    ];
    let mut text = format!("{rows} in the table");
    for (count, what) in parts.into_iter().filter(|(count, _)| **count > 0) {
        text += &format!(", {count} {what}");
    }
    format!("{text}; {distinct_ids} distinct ids, {common_ids} common to all")
}

/// The rows of `cloven bench` as a table.
pub fn bench(rows: &[BenchRow]) -> String {
    let mut lines = vec![format!(
        "{:<22}{:>12}{:>10}{:>14}{:>10}{:>12}",
        "protocol", "an epoch", "x plain", "bytes", "accuracy", "memory"
    )];
    for row in rows {
        lines.push(format!(
            "{:<22}{:>12}{:>10.2}{:>14}{:>10}{:>12}",
            row.protocol,
            seconds(row.seconds_per_epoch),
            row.ratio_to_plain,
            bytes(row.bytes_per_epoch),
            row.test_accuracy.map_or("-".into(), percent),
            row.peak_rss_bytes.map_or("-".into(), bytes)
        ));
    }
    lines.join("\n")
}

/// A fraction in percent.
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

/// A duration in seconds or milliseconds.
pub fn seconds(seconds: f64) -> String {
    match seconds < 1.0 {
        true => format!("{:.1} ms", seconds * 1e3),
        false => format!("{seconds:.2} s"),
    }
}

/// A number of bytes in decimal units.
pub fn bytes(count: u64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.iter().find(|(size, _)| count as f64 >= *size) {
        Some((size, unit)) => format!("{:.2} {unit}", count as f64 / size),
        None => format!("{count} B"),
    }
}

/// A large count, rounded.
pub fn count(count: u64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(size, _)| count as f64 >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", count as f64 / size),
        None => count.to_string(),
    }
}

/// Asks a yes-or-no question on the terminal; without one the answer is no.
pub fn ask(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
