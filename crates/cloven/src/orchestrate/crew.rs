//! The parties' processes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use cloven_wire::Party;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::mpsc,
    time::timeout,
};
use tracing::debug;

use super::together::{Errand, Place, died};
use crate::{Error, Local, Logs, MetricsAddress, Stamped, Update, files, identity};

/// How long the other parties may take to end once one has failed or the operator interrupted.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a party listens when it is first started.
const ANY_PORT: &str = "127.0.0.1:0";

/// What a party's process says.
pub(super) enum News {
    Update(Box<Stamped>),
    Ended(Option<ExitStatus>),
}

/// The parties' processes.
pub(super) struct Crew<'a> {
    errand: &'a Errand<'a>,
    private: &'a Path,
    tell: mpsc::UnboundedSender<(Party, News)>,
    pub(super) news: mpsc::UnboundedReceiver<(Party, News)>,
    /// Places of those that were started.
    started: Vec<usize>,
    /// Where each listens; one that is started again keeps its address.
    addresses: BTreeMap<Party, String>,
    running: Vec<tokio::task::JoinHandle<()>>,
    /// Dropping a party's standard input ends it.
    leashes: Vec<tokio::process::ChildStdin>,
    /// Where each party's metrics are; a party that is started again keeps its address.
    metrics: BTreeMap<Party, MetricsAddress>,
}

impl<'a> Crew<'a> {
    pub(super) fn new(errand: &'a Errand<'a>, private: &'a Path) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        Self {
            errand,
            private,
            tell,
            news,
            started: Vec::new(),
            addresses: BTreeMap::new(),
            running: Vec::new(),
            leashes: Vec::new(),
            metrics: BTreeMap::new(),
        }
    }

    /// Starts those that can reach everybody whom they dial.
    pub(super) fn start_ready(&mut self) -> Result<(), Error> {
        let errand = self.errand;
        for (number, place) in errand.places.iter().enumerate() {
            let ready = place.dials.iter().all(|other| self.addresses.contains_key(other));
            if ready && !self.started.contains(&number) {
                self.started.push(number);
                self.start(place)?;
            }
        }
        Ok(())
    }

    /// Starts a party again, where it was: the others know its address.
    pub(super) fn start_again(&mut self, party: &Party) -> Result<(), Error> {
        let mut places = self.errand.places.iter();
        places
            .find(|place| place.party == *party)
            .map_or(Ok(()), |place| self.start(place))
    }

    /// Notes where a party listens.
    pub(super) fn listens(&mut self, party: Party, address: String) {
        self.addresses.entry(party).or_insert(address);
    }

    fn start(&mut self, place: &Place) -> Result<(), Error> {
        let Place { party, .. } = place;
        let local = self.write_local(place)?;
        let Errand { program, digest, .. } = self.errand;
        let mut child = program
            .command()
            .args((self.errand.arguments)(party))
            .args(["--as", party.as_str(), "--accept", digest, "--events", "--local"])
            .arg(local)
            .args(self.errand.logs.into_iter().flat_map(Logs::arguments))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::file(program.path()))?;
        debug!(%party, pid = child.id(), "started a party's process");
        self.leashes.extend(child.stdin.take());
        self.running
            .push(tokio::spawn(relay(party.clone(), child, self.tell.clone())));
        Ok(())
    }

    pub(super) fn serves(&mut self, party: &Party, metrics: &str) {
        self.metrics
            .extend(metrics.parse().ok().map(|address| (party.clone(), address)));
    }

    /// The party's settings, with keys and addresses of this run.
    fn write_local(&self, place: &Place) -> Result<PathBuf, Error> {
        let party = &place.party;
        let mut local = self.errand.locals.get(party).cloned().unwrap_or_default();
        let fresh = Local::default();
        (local.key, local.certificate, local.roster) = (fresh.key, fresh.certificate, fresh.roster);
        let known = self.addresses.get(party).map_or(ANY_PORT, String::as_str);
        local.listen = place.listens.then(|| known.to_owned());
        let address = |other: &Party| Some((other.clone(), self.addresses.get(other)?.clone()));
        local.dial = place.dials.iter().filter_map(address).collect();
        if self.errand.metrics {
            local.metrics = Some(self.metrics.get(party).copied().unwrap_or(MetricsAddress::ANY));
        }
        let path = self.private.join(party.as_str()).join(Local::FILE);
        files::write(&path, identity::to_toml(&local).as_bytes(), true)?;
        Ok(path)
    }

    /// Waits a little for the processes that still run, then ends them; returns the failures they reported.
    pub(super) async fn end(&mut self) -> Vec<Error> {
        let mut failures = Vec::new();
        let all = async {
            for running in &mut self.running {
                let _ = running.await;
            }
        };
        let ended = timeout(LAST_WORDS, all).await.is_ok();
        self.leashes.clear();
        if !ended {
            // `kill_on_drop` does the rest.
            self.running.iter().for_each(|running| running.abort());
        }
        while let Ok((party, news)) = self.news.try_recv() {
            match news {
                News::Update(stamped) => {
                    if let Update::Failed {
                        message,
                        exit_code,
                        particulars,
                    } = stamped.update
                    {
                        failures.push(Error::Party {
                            party,
                            message,
                            exit_code,
                            particulars,
                        });
                    }
                }
                News::Ended(Some(status)) if !status.success() && status.code().is_none() => {
                    failures.push(died(party, Some(status)))
                }
                _ => (),
            }
        }
        failures
    }
}

/// Passes a process's updates on until it ends.
async fn relay(party: Party, mut child: Child, tell: mpsc::UnboundedSender<(Party, News)>) {
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(stamped) = serde_json::from_str(&line) {
                let _ = tell.send((party.clone(), News::Update(stamped)));
            }
        }
    }
    let status = child.wait().await.ok();
    let _ = tell.send((party, News::Ended(status)));
}
