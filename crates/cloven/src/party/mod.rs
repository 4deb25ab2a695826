//! One party's part in a job, in this process.

mod aligned;
mod end;
mod holder_rows;
mod rows;
mod run;
mod scripts;

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    future::Future,
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_protocols::{Examples, Position, ProtocolError, helpers::Helpers};
use cloven_wire::{
    AbortReason, Link, Party, WireError,
    tcp::{Endpoint, Identity, Notice, Reach, Roster, TcpChannel},
};
use rand_chacha::rand_core::Rng;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

pub use self::run::{PartyOptions, PartyRun};
use self::scripts::{Encrypted, Trained};
pub(crate) use self::{
    aligned::read_places,
    holder_rows::{HolderRows, distinct, log_adjusted},
    rows::{ClientData, targets},
    scripts::fresh_randomness,
};
pub use crate::reporter::Watch;
use crate::{
    Error, Job, Local, PartySummary, Record, Role, RosterFile, RunFolder, Update, catalogue,
    checkpoints::{self, Checkpoints},
    encrypted_layer, first_layer, identity,
    job::Protocol,
    record,
    reporter::Reporter,
};

/// What a party goes on from after an interruption.
struct Kept<'a, 'r> {
    /// In the order of its links; none if the job keeps no checkpoints.
    links: Vec<Checkpoints<'a, 'r>>,
    /// Where encrypted rows go, if it receives any.
    rows: PathBuf,
    /// Its encryption keys are drawn from it.
    secret: Zeroizing<[u8; 32]>,
    /// Where a holder's aligned rows go, if it keeps anything.
    aligned: Option<PathBuf>,
    /// Whether to take the last state from here, without another party.
    alone: Cell<bool>,
    /// Whether the server alone is there, to say whether the training is complete.
    ending: Cell<bool>,
}

impl Kept<'_, '_> {
    /// Whether every party has its state after the last epoch.
    fn is_complete(&self, end: Position) -> bool {
        !self.links.is_empty() && self.links.iter().all(|link| link.is_complete(end))
    }
}

/// A party that has checked everything it can check alone.
pub struct Prepared {
    pub(crate) job: Job,
    pub(crate) local: Local,
    pub(crate) party: Party,
    pub(crate) role: Role,
    identity: Identity,
    roster: Roster,
    data: Option<ClientData>,
    /// A holder's, under `vertical`.
    pub(crate) rows: Option<HolderRows>,
    record: Option<Record>,
    /// Further processes of this party.
    helpers: Option<Box<dyn Helpers>>,
    /// Whether rows and identity are made up, to measure what the scripts cost.
    rehearsal: bool,
}

impl Prepared {
    /// Checks job, key, roster and, for a party that has any, loads the data. `local` is what the party keeps to itself.
    pub fn new(job: Job, party: Party, local: Local) -> Result<Self, Error> {
        let mut me = Self::without_data(job, party, local)?;
        if me.job.protocol == Protocol::Vertical && me.local.initial_weights.is_some() {
            let problem = "under protocol vertical nobody may know the first layer: training begins with random weights";
            return Err(Error::configuration("initial_weights", problem));
        }
        if me.role == Role::Client {
            let source = match &me.local.data {
                Some(data) => data.clone(),
                None => catalogue::find(&me.job.data.name)?,
            };
            let data = ClientData::new(&source, me.local.part, &me.job)?;
            me.job.check_batches(data.train.rows())?;
            if me.job.protocol == Protocol::Enclave {
                me.attestation_policy()?;
            }
            me.data = Some(data);
        } else if me.role == Role::Worker {
            // A device that cannot be used is known before anybody waits for this worker.
            me.accelerated()?;
        } else if me.role.has_rows() {
            me.rows = Some(HolderRows::load(&me.job, &me.party, me.role, &me.local)?);
        }
        Ok(me)
    }

    /// Checks job, key and roster.
    pub(crate) fn without_data(job: Job, party: Party, local: Local) -> Result<Self, Error> {
        let role = job.role(&party)?;
        let identity = identity::load(&party, &local.key, &local.certificate)?;
        let roster = RosterFile::read(&local.roster)?.roster(&local.roster)?;
        for peer in job.parties.keys().filter(|p| **p != party) {
            if roster.get(peer).is_none() {
                let roster = local.roster.display();
                return Err(Error::Roster(format!(
                    "{roster} does not pin {peer}: run `cloven roster add {peer}.identity.toml`"
                )));
            }
        }
        Ok(Self {
            job,
            local,
            party,
            role,
            identity,
            roster,
            data: None,
            rows: None,
            record: None,
            helpers: None,
            rehearsal: false,
        })
    }

    /// A party that takes part in a rehearsal, with made-up `rows` (training and test; a client's only).
    pub(crate) fn for_rehearsal(
        job: Job,
        party: Party,
        (identity, roster): (Identity, Roster),
        rows: Option<[Examples; 2]>,
    ) -> Result<Self, Error> {
        let role = job.role(&party)?;
        let data = rows.map(|[train, test]| ClientData::without_preprocessing(train, test));
        Ok(Self {
            job,
            local: Local::default(),
            party,
            role,
            identity,
            roster,
            data,
            rows: None,
            record: None,
            helpers: None,
            rehearsal: true,
        })
    }

    /// Also writes everything that this party receives into the run folder.
    pub fn recording(mut self, record: Option<Record>) -> Self {
        self.record = record;
        self
    }

    /// Hands heavy work to other processes of this party.
    ///
    /// # Errors
    /// [`Error::Configuration`] if this party has no work in this job that helpers do.
    pub fn helped(mut self, helpers: Option<Box<dyn Helpers>>) -> Result<Self, Error> {
        if helpers.is_some() && !self.job.has_work_for_helpers(self.role) {
            let problem = format!(
                "{} has no work for helpers in this job; they help the server under encrypted-model (samples in the clear) and encrypted-activation \
                 (sealed), and the client under encrypted-model with encrypted samples",
                self.party
            );
            return Err(Error::configuration("helpers", problem));
        }
        self.helpers = helpers;
        Ok(self)
    }

    fn helpers(&self) -> Option<&dyn Helpers> {
        self.helpers.as_deref()
    }

    /// Takes part in the job: connects, runs the role's script, writes the trained weights into `run_folder`. Its checkpoints stay until the caller has
    /// noted the end ([`RunFolder::forget`]): a process that is killed before that finishes once more.
    ///
    /// Single-threaded but for arithmetic on many ciphertexts: the script either waits for its peers or computes.
    pub fn run<'a>(self, run_folder: &Path, watch: &'a mut Watch<'a>) -> Result<PartySummary, Error> {
        self.local.limits.cap_threads();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("runtime"))?;
        let reporter = Reporter::new(self.party.clone(), self.local.limits.memory_mb, watch);
        let summary = runtime.block_on(self.take_part(run_folder, &reporter))?;
        reporter.tell(Update::Finished {
            summary: Box::new(summary.clone()),
        });
        Ok(summary)
    }

    async fn take_part(self, run_folder: &Path, reporter: &Reporter<'_>) -> Result<PartySummary, Error> {
        let mut endpoint = self.endpoint(reporter).await?;
        if let Some(kept) = self.complete(run_folder, reporter)? {
            return self.finish_alone(kept, &mut endpoint, run_folder, reporter).await;
        }
        if let Some(kept) = self.at_the_end(run_folder, &mut endpoint, reporter).await? {
            return self.finish_alone(kept, &mut endpoint, run_folder, reporter).await;
        }
        let peers = self.peers();
        let begun = Instant::now();
        let Some(mut channels) = self.first_connection(run_folder, &peers, &mut endpoint, reporter).await? else {
            // All was dealt before, and nobody is there who needs it again.
            let links = &[] as &[Link<TcpChannel>];
            return Ok(reporter.summary(self.role, begun.elapsed(), links));
        };
        let start = |record: Record| record.start(run_folder, &self.party, &self.job, &self.local);
        let recorder = self.record.map(start).transpose()?;
        let kept = self.kept(run_folder, reporter)?;
        // A peer that was there once may be waited for longer.
        endpoint.connect_deadline = self.local.deadlines.reconnect();
        let (result, mut links) = loop {
            let links = channels
                .into_values()
                .map(|channel| Link::new(channel).recorded(recorder.clone()));
            let mut links: Vec<_> = links.collect();
            let mut result = interruptible(self.script(&mut links, &kept, reporter)).await;
            if self.only_serves() && result.is_ok() {
                self.note_served(run_folder)?;
                result = interruptible(self.outlast_server(&mut links))
                    .await
                    .map(|()| Trained::default());
            }
            let Some(lost) = result.as_ref().err().and_then(|error| self.lost(error)) else {
                break (result, links);
            };
            if kept.is_complete(self.job.schedule().end()) {
                break (self.last_state(&kept, reporter).await, links);
            }
            reporter.tell(lost);
            for link in &mut links {
                link.abort(AbortReason::PeerLost).await;
            }
            reporter.lost(&links);
            // Whoever is in the middle of a long message to this party sees that nobody reads it.
            drop(links);
            if self.hears_of_the_end(&kept, &mut endpoint, reporter).await {
                break (self.last_state(&kept, reporter).await, Vec::new());
            }
            channels = interruptible(self.connect_to(&endpoint, &peers, reporter)).await?;
        };
        if let Some(recorder) = &recorder {
            reporter.tell(record::finish(recorder, run_folder, &self.party)?);
        }
        if let Err(error) = result.and_then(|trained| self.save(&trained, run_folder)) {
            for link in &mut links {
                link.abort(abort_reason(&error)).await;
            }
            return Err(error);
        }
        let mut summary = PartySummary {
            emulate: self.local.emulate,
            ..reporter.summary(self.role, begun.elapsed(), &links)
        };
        let channels = links.into_iter().map(Link::into_channel).collect();
        summary.unreached = self.part(channels, &mut endpoint, reporter).await;
        Ok(summary)
    }

    /// This party's own name and key.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate that is pinned for another party, as DER.
    pub(crate) fn pinned(&self, party: &Party) -> Result<&[u8], Error> {
        let certificate = self.roster.get(party).map(|certificate| certificate.as_der());
        certificate.ok_or_else(|| Error::Roster(format!("no pin of {party}")))
    }

    /// The parties that this one talks to.
    fn peers(&self) -> Vec<Party> {
        self.job.peers(&self.party).cloned().collect()
    }

    /// The peers that a checkpoint is kept for. Under `vertical` a party has one state for all its links: a holder keeps it for that with the server,
    /// the server for its first, others have none.
    fn kept_for(&self) -> Vec<Party> {
        match self.role {
            Role::Client => self.peers(),
            Role::Holder | Role::LabelHolder => self.job.of_role(Role::Server).cloned().collect(),
            Role::Dealer | Role::Coordinator | Role::Worker => Vec::new(),
            Role::Server if self.job.protocol == Protocol::Vertical => self.peers().into_iter().take(1).collect(),
            Role::Server if self.job.protocol == Protocol::Enclave => self.job.clients().cloned().collect(),
            Role::Server => self.peers(),
        }
    }

    /// What this party keeps to go on from, if the job keeps anything.
    fn kept<'a, 'r>(&self, run_folder: &Path, reporter: &'a Reporter<'r>) -> Result<Kept<'a, 'r>, Error> {
        let mut secret = Zeroizing::new([0; 32]);
        fresh_randomness()?.fill_bytes(&mut *secret);
        let rows = checkpoints::encrypted_rows(run_folder, &self.party);
        if self.job.training.checkpoint_every == 0 {
            // Of an earlier start, under a key that is gone.
            let _ = std::fs::remove_file(&rows);
            return Ok(Kept {
                links: Vec::new(),
                rows,
                secret,
                aligned: None,
                alone: Cell::new(false),
                ending: Cell::new(false),
            });
        }
        let of = |peer: &Party| Checkpoints::new(run_folder, &self.party, peer, self.job.digest_hex(), reporter);
        Ok(Kept {
            links: self.kept_for().iter().map(of).collect::<Result<_, _>>()?,
            rows,
            secret: checkpoints::secret(run_folder, &self.party, secret)?,
            aligned: self
                .rows
                .is_some()
                .then(|| checkpoints::aligned_rows(run_folder, &self.party)),
            alone: Cell::new(false),
            ending: Cell::new(false),
        })
    }

    /// Whether an error is the loss of a party that is waited for.
    fn lost(&self, error: &Error) -> Option<Update> {
        let seconds = self.local.deadlines.reconnect_seconds;
        let Error::Protocol { cause, .. } = error else { return None };
        let cause = match cause.as_ref() {
            ProtocolError::Wire(cause) => cause,
            ProtocolError::NoWorker { cause, .. } => cause,
            _ => return None,
        };
        let peer = cause
            .lost_party()
            .filter(|_| seconds > 0 && self.job.training.checkpoint_every > 0)?;
        Some(Update::Lost {
            peer: peer.clone(),
            why: cause.to_string(),
            seconds,
        })
    }

    /// Connects to other parties.
    pub(crate) async fn connect_to(
        &self,
        endpoint: &Endpoint<'_>,
        peers: &[Party],
        reporter: &Reporter<'_>,
    ) -> Result<BTreeMap<Party, TcpChannel>, Error> {
        let peers = peers.iter().map(|peer| Ok((peer.clone(), self.reach(peer)?)));
        let peers = peers.collect::<Result<BTreeMap<_, _>, Error>>()?;
        endpoint
            .connect(&peers, &|notice| reporter.tell(notice.into()))
            .await
            .map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: WireError) -> Error {
        Error::Protocol {
            party: self.party.clone(),
            cause: Box::new(cause.into()),
        }
    }

    /// Where this party listens, if it does, and how long it waits.
    pub(crate) async fn endpoint(&self, reporter: &Reporter<'_>) -> Result<Endpoint<'_>, Error> {
        let listener = match &self.local.listen {
            None => None,
            Some(address) => {
                let listener = TcpListener::bind(address).await.map_err(|e| {
                    self.failed(WireError::Local {
                        what: format!("cannot listen on {address}"),
                        cause: e.to_string(),
                    })
                })?;
                let address = listener.local_addr().map_err(Error::file(address))?.to_string();
                reporter.tell(Update::Listening { address });
                Some(listener)
            }
        };
        Ok(Endpoint {
            identity: &self.identity,
            roster: &self.roster,
            job: self.job.digest(),
            listener,
            connect_deadline: self.local.deadlines.connect(),
            message_deadline: self.local.deadlines.message(),
            total_deadline: self.local.deadlines.total(),
            emulation: self.local.emulate,
        })
    }

    /// How another party is reached: dialled where an address is known, else awaited.
    fn reach(&self, peer: &Party) -> Result<Reach, Error> {
        match (self.local.dial.get(peer), &self.local.listen) {
            (Some(address), _) => Ok(Reach::Dial(address.clone())),
            (None, Some(_)) => Ok(Reach::Accept),
            (None, None) => Err(Error::configuration(
                Local::FILE,
                format!("say how to reach {peer}: `listen` here, or an address under [dial]"),
            )),
        }
    }

    fn save(&self, trained: &Trained, run_folder: &Path) -> Result<(), Error> {
        let path = RunFolder::checkpoint(run_folder, &self.party);
        let folder = path.parent().unwrap_or(run_folder);
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        // One entry: the order of several in the file would differ from run to run.
        let metadata = HashMap::from([("job".to_owned(), self.job.digest_hex())]);
        if !trained.parts.is_empty() {
            cloven_nn::save_safetensors(&path, &trained.parts, metadata.clone())?;
        }
        match &trained.encrypted {
            Some(Encrypted::Key(key)) => key.write(&RunFolder::encryption_key(run_folder, &self.party), &self.job)?,
            Some(Encrypted::Layers(layers)) => {
                encrypted_layer::write(&RunFolder::encrypted_layer(run_folder, &self.party), &self.job, layers)?;
            }
            None => (),
        }
        if let (Some(places), Some(rows), Some(_)) = (&trained.places, &self.rows, self.record) {
            aligned::write_places(&Record::rows(run_folder, &self.party), rows.digests(), places, true)?;
        }
        if let Some(shares) = &trained.shares {
            first_layer::write(&RunFolder::first_layer(run_folder, &self.party), &self.job, shares)?;
        }
        if let Some(unrevealed) = &trained.unrevealed {
            cloven_nn::save_safetensors(
                &RunFolder::unrevealed(run_folder, &self.party),
                std::slice::from_ref(unrevealed),
                metadata,
            )?;
        }
        if let Some(preprocessing) = &trained.preprocessing {
            preprocessing.write(&RunFolder::preprocessing(run_folder, &self.party))?;
        }
        if let Some(preprocessing) = self.data.as_ref().and_then(|data| data.preprocessing.as_ref()) {
            preprocessing.write(&RunFolder::preprocessing(run_folder, &self.party))?;
        }
        Ok(())
    }
}

impl From<Notice> for Update {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::Waiting { party, address } => Self::Waiting { peer: party, address },
            Notice::TurnedAway { from, why } => Self::TurnedAway {
                from: from.to_string(),
                why,
            },
            Notice::Connected { party } => Self::Connected { peer: party },
        }
    }
}

/// An operator's consent to the job with this digest, given beforehand: the digest or at least its first 16 digits.
///
/// # Errors
/// [`Error::NotAccepted`] if `given` is another job's, or too short.
pub fn accept(digest: &str, given: &str) -> Result<(), Error> {
    match given.len() >= 16 && digest.starts_with(&given.to_lowercase()) {
        true => Ok(()),
        false => Err(Error::NotAccepted {
            digest: digest.to_owned(),
            given: Some(given.to_owned()),
        }),
    }
}

/// Ends `work` when the operator interrupts (SIGINT, SIGTERM).
pub(crate) async fn interruptible<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        result = work => result,
        () = interrupted() => Err(Error::Interrupted),
    }
}

#[cfg(unix)]
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminate.recv() => (),
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    drop(tokio::signal::ctrl_c().await);
}

/// What peers are told; never more than a category.
pub(crate) fn abort_reason(error: &Error) -> AbortReason {
    match error {
        Error::Protocol { cause, .. } => cause.abort_reason(),
        Error::Interrupted => AbortReason::Interrupted,
        _ => AbortReason::Configuration,
    }
}
