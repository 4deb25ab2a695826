//! What `cloven plan` says of a job with an enclave.

use cloven::plan::EnclavePlan;

use crate::words::{self, bytes, percent, seconds};

/// The plan as text.
pub fn text(plan: &EnclavePlan) -> String {
    let [train, test] = plan.rows;
    let link = plan.link.map_or("all on this machine".to_owned(), |link| link.to_string());
    let workers: Vec<&str> = plan.workers.iter().map(|worker| worker.as_str()).collect();
    let mut lines = vec![
        format!(
            "{}, {train} training and {test} test rows, workers {}, link: {link}",
            plan.protocol,
            workers.join(", ")
        ),
        String::new(),
    ];
    let mut row = |name: &str, value: String| lines.push(format!("  {name:<26}{value}"));
    let [layers, blinding, checks] = plan.enclave_operations_per_epoch;
    row(
        "products of an epoch",
        format!(
            "{} operations, at the workers",
            words::count(plan.product_operations_per_epoch)
        ),
    );
    row(
        "the enclave's own",
        format!(
            "{} of all: layers {}, blinding {}, checks {}",
            percent(plan.share_of_enclave),
            words::count(layers),
            words::count(blinding),
            words::count(checks)
        ),
    );
    let [sent, received] = plan.worker_bytes_per_epoch;
    row(
        "bytes of an epoch",
        format!("{} to the workers, {} back", bytes(sent), bytes(received)),
    );
    row(
        "exchanges of a batch",
        format!(
            "{} one after the other; {} batches an epoch",
            plan.exchanges_per_batch, plan.batches_per_epoch
        ),
    );
    row(
        "time of an epoch",
        match plan.seconds_of_line_per_epoch {
            Some(line) => format!("not forecast; at least {}, which the line alone takes", seconds(line)),
            None => "not forecast".to_owned(),
        },
    );
    lines.push(String::new());
    lines.push(words::leaks(&plan.leaks));
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}
