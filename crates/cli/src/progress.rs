//! Progress for people: a bar on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    net::SocketAddr,
    time::{Duration, Instant},
};

use cloven::{Party, Position, Stamped, Update, data::ColumnCount};
use indicatif::{ProgressBar, ProgressStyle};

use crate::words::{bytes, is_logging, rows, tell};

/// Without a terminal, a line within an epoch is printed at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A server's work is shown at most this often.
const POOL_EVERY: Duration = Duration::from_secs(1);

/// Shows updates; training progress of one party only.
pub struct Progress {
    lead: Party,
    bar: Option<ProgressBar>,
    plan: Plan,
    begun: Instant,
    last_line: Instant,
    /// When a server's work was last shown, and how many inferences the gateway keeps prepared.
    pool_line: Option<Instant>,
    wanted: usize,
}

#[derive(Default)]
struct Plan {
    epochs: u32,
    batches: usize,
    train_rows: usize,
    /// Rows of a prediction.
    rows: usize,
}

impl Progress {
    /// Shows the training of `lead`.
    pub fn new(lead: Party) -> Self {
        let bar = (std::io::stderr().is_terminal() && !is_logging()).then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3} %  {msg}");
            ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let now = Instant::now();
        Self {
            lead,
            bar,
            plan: Plan::default(),
            begun: now,
            last_line: now,
            pool_line: None,
            wanted: 0,
        }
    }

    /// Shows one update.
    pub fn show(&mut self, stamped: &Stamped) {
        let party = &stamped.party;
        match &stamped.update {
            Update::Listening { address } => self.line(&format!("{party}: listening on {address}")),
            Update::Metrics { address } => self.line(&metrics(party, address)),
            Update::Waiting { peer, address } => self.line(&format!("{party}: waiting for {peer} at {address}")),
            Update::TurnedAway { from, why } => self.line(&format!("{party}: turned away a connection from {from}: {why}")),
            Update::Lost { peer, why, seconds } => {
                self.line(&format!("{party}: {why}; waiting up to {seconds} s for {peer} to come back"));
            }
            Update::Alone => self.line(&format!(
                "{party}: the training was complete, and all parties know: weights written from the last checkpoint, without another party"
            )),
            Update::Unreached { peer, seconds } => self.line(&format!(
                "{party}: {peer} was not reached within {seconds} s; should it still need this party to finish, start this one again with --resume"
            )),
            Update::Restarted => self.line(&format!("{party}: its process was killed; started again")),
            Update::Warning { text } => self.line(&format!("{party}: WARNING: {text}")),
            Update::Connected { peer } => self.line(&format!("{party}: connected to {peer}")),
            Update::Recorded {
                path,
                messages,
                bytes: size,
                end,
            } => {
                let size = bytes(*size);
                self.line(&format!("{party}: {messages} messages, {size}, in {path}: {end}"));
            }
            Update::Aligned { alignment } => self.line(&format!("{party}: {}", rows(alignment))),
            Update::Adjusted { columns } => self.line(&adjusted(party, columns)),
            Update::UserLeft { user, why } => self.line(&format!("{party}: {user} left early: {why}")),
            Update::WorkerDropped { worker, why } => self.line(&format!("{party}: going on without {worker}: {why}")),
            Update::Finished { .. }
            | Update::PredictionFinished { .. }
            | Update::Served { .. }
            | Update::AnswersFinished { .. }
            | Update::Failed { .. } => (),
            training if *party == self.lead => self.show_training(training),
            _ => (),
        }
    }

    /// Removes the bar.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show_training(&mut self, update: &Update) {
        match update {
            Update::Started {
                epochs,
                train_rows,
                test_rows,
                batches,
                from,
                ..
            } => {
                self.plan = Plan {
                    epochs: *epochs,
                    batches: *batches,
                    train_rows: *train_rows,
                    rows: 0,
                };
                self.begun = Instant::now();
                self.line(&format!(
                    "{}: {train_rows} training rows, {test_rows} test rows, {batches} batches an epoch",
                    self.lead
                ));
                if *from != Position::START {
                    let Position { epoch, batch } = from;
                    self.line(&format!("{}: goes on from epoch {epoch}, batch {batch}", self.lead));
                }
            }
            Update::Met { .. } => self.line(&format!("{}: the servers have met", self.lead)),
            Update::Prepared {
                ready, wanted, figures, ..
            } => self.show_pool(*ready, Some(*wanted), figures.answering.times),
            Update::Answered { inferences, ready, .. } => self.show_pool(*ready, None, *inferences),
            Update::Computed { jobs, traffic } => self.show_jobs(*jobs, traffic.sent + traffic.received),
            Update::Asked { rows } => {
                self.plan.rows = *rows;
                self.begun = Instant::now();
                self.line(&format!("{}: {rows} rows", self.lead));
            }
            Update::Predicted { rows, traffic } => self.show_rows(*rows, traffic.sent + traffic.received),
            Update::Batch {
                epoch,
                batch,
                rows,
                loss,
                traffic,
            } => {
                let done = (*epoch as usize - 1) * self.plan.batches + batch;
                let rows = (*epoch as usize - 1) * self.plan.train_rows + rows;
                self.show_batch(*epoch, done, rows, *loss, traffic.sent + traffic.received);
            }
            Update::Epoch {
                epoch,
                loss,
                seconds,
                traffic,
                ..
            } => {
                let loss = loss.map_or(String::new(), |l| format!(", loss {l:.4}"));
                let moved = bytes(traffic.sent + traffic.received);
                let of = self.plan.epochs;
                self.line(&format!(
                    "{}: epoch {epoch}/{of}{loss}, {}, {moved}",
                    self.lead,
                    crate::words::seconds(*seconds)
                ));
            }
            Update::Evaluated {
                evaluation: Some(evaluation),
                subsets,
                ..
            } => {
                let mut text = format!("{}:   test loss {:.4}", self.lead, evaluation.loss);
                if let Some(accuracy) = evaluation.accuracy {
                    text += &format!(", accuracy {:.2} %", accuracy * 100.0);
                }
                // Of several classes the averages come with the summary.
                if let ([_], Some(auc), Some(average)) =
                    (&evaluation.auc_by_class[..], evaluation.auc, evaluation.average_precision)
                {
                    text += &format!(", AUC {auc:.4}, average precision {average:.4}");
                }
                for (name, subset) in subsets {
                    text += &subset
                        .accuracy
                        .map_or(String::new(), |a| format!(", {:.2} % on {name} rows", a * 100.0));
                }
                self.line(&text);
            }
            _ => (),
        }
    }

    /// The work of a server. What a remote server wants is not known to it, and nothing.
    fn show_pool(&mut self, ready: usize, wanted: Option<usize>, answered: u64) {
        self.wanted = wanted.unwrap_or(self.wanted);
        let last = self.pool_line.replace(Instant::now());
        // The first time that the pool is full is shown in any case.
        let full = wanted == Some(ready) && answered == 0;
        if last.is_some_and(|last| last.elapsed() < POOL_EVERY) && !full {
            self.pool_line = last;
            return;
        }
        let of = match self.wanted {
            0 => String::new(),
            wanted => format!(" of {wanted}"),
        };
        let done = match answered {
            0 => String::new(),
            answered => format!("{answered} inferences answered; "),
        };
        self.line(&format!("{}: {done}pool: {ready}{of} inferences prepared", self.lead));
    }

    /// The work of an enclave's worker.
    fn show_jobs(&mut self, jobs: u64, moved: u64) {
        if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.line(&format!("{}: {jobs} jobs done, {}", self.lead, bytes(moved)));
        }
    }

    fn show_batch(&mut self, epoch: u32, done: usize, rows: usize, loss: Option<f64>, moved: u64) {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-3);
        let total = self.plan.batches * self.plan.epochs as usize;
        let left = seconds * (total.saturating_sub(done)) as f64 / done.max(1) as f64;
        let loss = loss.map_or(String::new(), |l| format!("loss {l:.4}, "));
        let text = format!(
            "{loss}{:.0} samples/s, {}/s, {} left",
            rows as f64 / seconds,
            bytes((moved as f64 / seconds) as u64),
            clock(left)
        );
        let prefix = format!("{}: epoch {epoch}/{}", self.lead, self.plan.epochs);
        self.show_part([done, total], "batches", prefix, text);
    }

    fn show_rows(&mut self, done: usize, moved: u64) {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-3);
        let total = self.plan.rows;
        let text = format!(
            "{:.0} rows/s, {}/s, {} left",
            done as f64 / seconds,
            bytes((moved as f64 / seconds) as u64),
            clock(seconds * total.saturating_sub(done) as f64 / done.max(1) as f64)
        );
        self.show_part([done, total], "rows", self.lead.to_string(), text);
    }

    fn show_part(&mut self, [done, total]: [usize; 2], of: &str, prefix: String, text: String) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_prefix(prefix);
                bar.set_message(text);
            }
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                tell(format!("{prefix}, {done}/{total} {of}, {text}"));
            }
            None => (),
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => tell(text),
        }
    }
}

/// Columns with values that did not enter the network as they are.
fn adjusted(party: &Party, columns: &[ColumnCount]) -> String {
    const MOST: usize = 8;
    let each = columns.iter().take(MOST).map(|count| {
        let parts = [
            (count.missing, "missing"),
            (count.unknown, "unknown"),
            (count.clipped, "clipped"),
        ];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
        format!("{}: {}", count.column, parts.join(", "))
    });
    let each: Vec<String> = each.collect();
    let more = match columns.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!("; and {more} more columns"),
    };
    format!("{party}: values filled in, not known or clipped: {}{more}", each.join("; "))
}

/// Where a party's metrics are, and who can read them.
fn metrics(party: &Party, address: &str) -> String {
    let local = address.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    let warning = match local {
        true => "",
        false => "; warning: whoever reaches this address can read them, losses and counts of rows included",
    };
    format!("{party}: metrics at http://{address}/metrics{warning}")
}

/// Seconds as `m:ss` or `h:mm:ss`.
fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}
