//! Every party of a job as its own process on this machine, over mutual TLS on loopback.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use cloven_wire::{Party, tcp::Emulation};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};
use tracing::{debug, warn};

use crate::{
    Error, Job, Local, Logs, MetricsAddress, Part, PartySummary, PublicIdentity, Record, Report, Role, RosterFile, RunFolder,
    Stamped, Summary, Update, catalogue, files, identity, job::Protocol, party::interrupted, plan,
};

/// How long the other parties may take to end once one has failed or the operator interrupted.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a server listens when it is first started.
const ANY_PORT: &str = "127.0.0.1:0";
/// So often a party's process may be killed without progress before the run fails.
const DEATHS: u32 = 3;

/// Where things are for [`run`].
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The `cloven` program; started once per party.
    pub program: PathBuf,
    /// The folder of the job file: a `NAME/local.toml` in it says where party NAME's data are.
    pub job_folder: PathBuf,
    /// Run folders are made in here.
    pub runs: PathBuf,
    /// A run folder of this name instead.
    pub run_folder: Option<PathBuf>,
    /// Go on with the run in this folder, which did not finish.
    pub resume: Option<PathBuf>,
    /// Also run plain split learning of the same job, and report both.
    pub compare_plain: bool,
    /// Every party imitates this link; without it, each party's own settings hold.
    pub emulate: Option<Emulation>,
    /// Write `report.html` into the run folder, also of a run that fails.
    pub report: bool,
    /// Every party records what it receives.
    pub record: Option<Record>,
    /// Every party serves its metrics, at a free port of this machine each; without it, each party's own settings hold.
    pub metrics: bool,
    /// What every party's process logs.
    pub logs: Option<Logs>,
    /// The folder of measurements kept by `cloven plan`: where they are of this job, the summary says what they predict.
    pub plans: Option<PathBuf>,
}

impl RunOptions {
    /// Nothing but the run itself, in `runs`; no party has settings of its own.
    pub(crate) fn quiet(program: &Path, runs: &Path) -> Self {
        Self {
            program: program.to_owned(),
            job_folder: runs.join("none"),
            runs: runs.to_owned(),
            run_folder: None,
            resume: None,
            compare_plain: false,
            emulate: None,
            report: false,
            record: None,
            metrics: false,
            logs: None,
            plans: None,
        }
    }
}

/// Runs all parties of a job; returns the summary and the run folder. Keys and certificates live for this run only.
pub fn run(job: &Job, options: &RunOptions, watch: &mut dyn FnMut(&Stamped)) -> Result<(Summary, PathBuf), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::file("runtime"))?;
    // Before a run folder exists: what is wrong here leaves nothing behind.
    let locals = locals(job, &options.job_folder, options.emulate)?;
    let mut folder = match &options.resume {
        Some(path) => RunFolder::open(path, job)?,
        None => RunFolder::create(&options.runs, options.run_folder.as_deref(), job)?,
    };
    let result = run_in(&mut folder, job, options, &locals, &runtime, watch);
    match &result {
        Ok(summary) => finish(&mut folder, job, summary)?,
        Err(error) => folder.fail(error),
    }
    let report = options
        .report
        .then(|| Report::read(folder.path()).and_then(|report| report.write()));
    let summary = result?;
    report.transpose()?;
    Ok((summary, folder.path().to_owned()))
}

fn run_in(
    folder: &mut RunFolder,
    job: &Job,
    options: &RunOptions,
    locals: &Locals,
    runtime: &tokio::runtime::Runtime,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<Summary, Error> {
    let begun = Instant::now();
    let rows = Cell::new(None);
    let mut watch = |stamped: &Stamped| {
        if let (
            Update::Started {
                train_rows, test_rows, ..
            },
            Some(Role::Client),
        ) = (&stamped.update, job.parties.get(&stamped.party))
        {
            rows.set(rows.get().or(Some([*train_rows, *test_rows])));
        }
        watch(stamped);
    };
    let parties = runtime.block_on(all_parties(job, options, locals, folder, &mut watch))?;
    let mut summary = Summary::new(job, &parties, begun.elapsed().as_secs_f64());
    summary.predicted = options.plans.as_ref().zip(rows.get()).and_then(|(folder, rows)| {
        let cache = plan::Cache::new(Some(folder.clone()), &options.program, false);
        plan::recall(job, rows, options.emulate, &cache)
    });
    if options.compare_plain {
        summary.compare_plain(&match job.protocol {
            // Plain split learning compared with itself.
            Protocol::Plain => summary.clone(),
            _ => run_plain(job, options, locals, folder.path(), runtime, &mut watch)?,
        });
    }
    Ok(summary)
}

/// The same job without protection, in the folder `plain` of the run's.
fn run_plain(
    job: &Job,
    options: &RunOptions,
    locals: &Locals,
    run_folder: &Path,
    runtime: &tokio::runtime::Runtime,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<Summary, Error> {
    let job = Job {
        protocol: Protocol::Plain,
        encryption: None,
        ..job.clone()
    };
    let mut folder = RunFolder::create(&options.runs, Some(&run_folder.join("plain")), &job)?;
    let begun = Instant::now();
    let parties = runtime.block_on(all_parties(&job, options, locals, &mut folder, watch))?;
    let summary = Summary::new(&job, &parties, begun.elapsed().as_secs_f64());
    finish(&mut folder, &job, &summary)?;
    Ok(summary)
}

async fn all_parties(
    job: &Job,
    options: &RunOptions,
    locals: &Locals,
    folder: &mut RunFolder,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<BTreeMap<Party, PartySummary>, Error> {
    let of = |role: Role| {
        job.parties
            .iter()
            .filter(move |(_, r)| **r == role)
            .map(|(party, _)| party.clone())
    };
    let run_folder = folder.path().to_owned();
    let errand = Errand {
        job,
        program: &options.program,
        servers: of(Role::Server).collect(),
        clients: of(Role::Client).collect(),
        locals,
        restart: job.training.checkpoint_every > 0,
        metrics: options.metrics,
        logs: options.logs.as_ref(),
        arguments: &|_, _| {
            let job = run_folder.join("job.toml");
            // Under `--events` a party makes no folder: what it finds there, it goes on from.
            let mut arguments = vec!["party".into(), job.into(), "--run-folder".into(), run_folder.clone().into()];
            arguments.extend(record_argument(options.record).map(OsString::from));
            arguments
        },
    };
    let finished = |update| match update {
        Update::Finished { summary } => Some(*summary),
        _ => None,
    };
    let mut record = |stamped: &Stamped| {
        folder.record(stamped)?;
        watch(stamped);
        Ok(())
    };
    together(&errand, &mut record, &finished).await
}

/// Notes the end of a run. All parties have their weights, whether each could tell the others or not.
fn finish(folder: &mut RunFolder, job: &Job, summary: &Summary) -> Result<(), Error> {
    folder.finish(summary)?;
    job.parties.keys().try_for_each(|party| folder.forget(party))
}

/// What parties do together, each as a process of its own.
pub(crate) struct Errand<'a> {
    pub(crate) job: &'a Job,
    /// The `cloven` program.
    pub(crate) program: &'a Path,
    /// Who is dialled; these start first.
    pub(crate) servers: Vec<Party>,
    /// Who dials.
    pub(crate) clients: Vec<Party>,
    /// What each party keeps to itself.
    pub(crate) locals: &'a Locals,
    /// Whether a party whose process is killed is started again.
    pub(crate) restart: bool,
    /// Whether every party serves its metrics.
    pub(crate) metrics: bool,
    /// What every party's process logs.
    pub(crate) logs: Option<&'a Logs>,
    /// The verb of a party and what belongs to it. Who it is, its consent, its settings and `--events` are added.
    pub(crate) arguments: &'a dyn Fn(&Party, Role) -> Vec<OsString>,
}

/// Starts every party's process and waits until each has finished: `finished` says what a party reports with the update that ends its work.
/// When one fails, the others are ended, and the error is the root cause.
pub(crate) async fn together<T>(
    errand: &Errand<'_>,
    watch: &mut dyn FnMut(&Stamped) -> Result<(), Error>,
    finished: &dyn Fn(Update) -> Option<T>,
) -> Result<BTreeMap<Party, T>, Error> {
    let private = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    make_identities(errand.job, private.path())?;
    let mut crew = Crew::new(errand, private.path());
    for server in &errand.servers {
        crew.start(server, Role::Server, Some(ANY_PORT), &BTreeMap::new())?;
    }
    let mut addresses = BTreeMap::new();
    let mut done = BTreeMap::new();
    let mut first_failure = None;
    let mut deaths = BTreeMap::new();
    while done.len() < errand.servers.len() + errand.clients.len() && first_failure.is_none() {
        let (party, news) = tokio::select! {
            news = crew.news.recv() => news.expect("the crew holds a sender"),
            () = interrupted() => {
                crew.end().await;
                return Err(Error::Interrupted);
            }
        };
        match news {
            News::Update(stamped) => {
                watch(&stamped)?;
                if matches!(stamped.update, Update::Batch { .. } | Update::Epoch { .. }) {
                    deaths.remove(&party);
                }
                match stamped.update {
                    Update::Metrics { address } => crew.serves(&party, &address),
                    // Of a server that was started again: its clients know the address.
                    Update::Listening { .. } if addresses.contains_key(&party) => (),
                    Update::Listening { address } => {
                        addresses.insert(party, address);
                        if addresses.len() == errand.servers.len() {
                            let clients = &mut errand.clients.iter();
                            clients.try_for_each(|client| crew.start(client, Role::Client, None, &addresses))?;
                        }
                    }
                    Update::Failed { message, exit_code } => {
                        first_failure = Some(Error::Party {
                            party,
                            message,
                            exit_code,
                        })
                    }
                    other => {
                        if let Some(report) = finished(other) {
                            done.insert(party, report);
                        }
                    }
                }
            }
            News::Ended(_) if done.contains_key(&party) => (),
            News::Ended(Some(status)) if errand.restart && killed(status) && deaths.get(&party).is_none_or(|n| *n < DEATHS) => {
                *deaths.entry(party.clone()).or_insert(0) += 1;
                warn!(%party, "a party's process was killed; starting it again");
                watch(&Stamped {
                    party: party.clone(),
                    at: 0.0,
                    update: Update::Restarted,
                })?;
                match errand.servers.contains(&party) {
                    true => {
                        let listen = addresses.get(&party).cloned();
                        crew.start(
                            &party,
                            Role::Server,
                            Some(listen.as_deref().unwrap_or(ANY_PORT)),
                            &BTreeMap::new(),
                        )?;
                    }
                    false => crew.start(&party, Role::Client, None, &addresses)?,
                }
            }
            News::Ended(status) => first_failure = Some(died(party, status)),
        }
    }
    match first_failure {
        None => {
            crew.end().await;
            Ok(done)
        }
        Some(failure) => Err(root_cause(failure, crew.end().await)),
    }
}

/// What each party keeps to itself.
pub(crate) type Locals = BTreeMap<Party, Local>;

/// Every party's own `local.toml` beside the job, where there is one; a client without data there needs a data set known by name.
pub(crate) fn locals(job: &Job, job_folder: &Path, emulate: Option<Emulation>) -> Result<Locals, Error> {
    let one = |(party, role): (&Party, &Role)| {
        let own = job_folder.join(party.as_str()).join(Local::FILE);
        let mut local = match own.exists() {
            true => Local::read(&std::path::absolute(&own).map_err(Error::file(&own))?)?,
            false => Local::default(),
        };
        if *role == Role::Client && local.data.is_none() {
            local.data = Some(catalogue::find(&job.data.name)?);
            // The clients divide one data set among them.
            local.part = local.part.or_else(|| Part::of_client(job, party));
        }
        local.emulate = emulate.or(local.emulate);
        Ok((party.clone(), local))
    };
    job.parties.iter().map(one).collect()
}

/// A connection that broke is mostly the consequence of another party's failure: prefer that one.
fn root_cause(first: Error, others: Vec<Error>) -> Error {
    let consequence = |error: &Error| error.exit_code() == 6;
    match consequence(&first) {
        true => others.into_iter().find(|other| !consequence(other)).unwrap_or(first),
        false => first,
    }
}

/// Whether a process ended by a signal, and so had no chance to report a failure of its own.
fn killed(status: ExitStatus) -> bool {
    status.code().is_none()
}

fn died(party: Party, status: Option<ExitStatus>) -> Error {
    let how = status.map_or("for an unknown reason".to_owned(), |s| format!("({s})"));
    Error::Party {
        message: format!("{party}: its process ended early {how}"),
        party,
        exit_code: 1,
    }
}

/// A folder per party with a fresh key, and every other party pinned in its roster.
fn make_identities(job: &Job, private: &Path) -> Result<(), Error> {
    let identities: Vec<PublicIdentity> = job
        .parties
        .keys()
        .map(|p| identity::create(p, &private.join(p.as_str())))
        .collect::<Result<_, _>>()?;
    for party in job.parties.keys() {
        let mut roster = RosterFile::default();
        for other in identities.iter().filter(|i| i.party != *party) {
            roster.add(other, false)?;
        }
        roster.write(&private.join(party.as_str()).join(identity::ROSTER))?;
    }
    Ok(())
}

enum News {
    Update(Box<Stamped>),
    Ended(Option<ExitStatus>),
}

/// The parties' processes.
struct Crew<'a> {
    errand: &'a Errand<'a>,
    private: &'a Path,
    tell: mpsc::UnboundedSender<(Party, News)>,
    news: mpsc::UnboundedReceiver<(Party, News)>,
    running: Vec<tokio::task::JoinHandle<()>>,
    /// Dropping a party's standard input ends it.
    leashes: Vec<tokio::process::ChildStdin>,
    /// Where each party's metrics are; a party that is started again keeps its address.
    metrics: BTreeMap<Party, MetricsAddress>,
}

impl<'a> Crew<'a> {
    fn new(errand: &'a Errand<'a>, private: &'a Path) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        Self {
            errand,
            private,
            tell,
            news,
            running: Vec::new(),
            leashes: Vec::new(),
            metrics: BTreeMap::new(),
        }
    }

    fn start(&mut self, party: &Party, role: Role, listen: Option<&str>, dial: &BTreeMap<Party, String>) -> Result<(), Error> {
        let local = self.write_local(party, listen, dial)?;
        let Errand { program, job, .. } = self.errand;
        let mut child = Command::new(program)
            .args((self.errand.arguments)(party, role))
            .args(["--as", party.as_str(), "--accept", &job.digest_hex(), "--events", "--local"])
            .arg(local)
            .args(self.errand.logs.into_iter().flat_map(Logs::arguments))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::file(program))?;
        debug!(%party, pid = child.id(), "started a party's process");
        self.leashes.extend(child.stdin.take());
        self.running
            .push(tokio::spawn(relay(party.clone(), child, self.tell.clone())));
        Ok(())
    }

    fn serves(&mut self, party: &Party, metrics: &str) {
        self.metrics
            .extend(metrics.parse().ok().map(|address| (party.clone(), address)));
    }

    /// The party's settings, with keys and addresses of this run.
    fn write_local(&self, party: &Party, listen: Option<&str>, dial: &BTreeMap<Party, String>) -> Result<PathBuf, Error> {
        let mut local = self.errand.locals.get(party).cloned().unwrap_or_default();
        let fresh = Local::default();
        (local.key, local.certificate, local.roster) = (fresh.key, fresh.certificate, fresh.roster);
        local.listen = listen.map(str::to_owned);
        local.dial.clone_from(dial);
        if self.errand.metrics {
            local.metrics = Some(self.metrics.get(party).copied().unwrap_or(MetricsAddress::ANY));
        }
        let path = self.private.join(party.as_str()).join(Local::FILE);
        files::write(&path, identity::to_toml(&local).as_bytes(), true)?;
        Ok(path)
    }

    /// Waits a little for the processes that still run, then ends them; returns the failures they reported.
    async fn end(&mut self) -> Vec<Error> {
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
                    if let Update::Failed { message, exit_code } = stamped.update {
                        failures.push(Error::Party {
                            party,
                            message,
                            exit_code,
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

/// `--record` as `cloven party` takes it.
fn record_argument(record: Option<Record>) -> Option<String> {
    record.map(|record| match record.batches {
        None => "--record".to_owned(),
        Some(batches) => format!("--record={batches}"),
    })
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
