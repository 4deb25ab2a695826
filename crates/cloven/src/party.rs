//! One party's part in a job, in this process.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    path::Path,
    time::Instant,
};

use cloven_data::{Dataset, Samples, Targets};
use cloven_nn::{BatchTargets, Loss, Network};
use cloven_protocols::{
    Examples, Observe, ProtocolError, Subset, Task,
    encrypted_activation::{self, LatticeCipher, ServerLattice, paper},
    plain,
};
use cloven_wire::{
    AbortReason, Channel, Link, Party, WireError,
    tcp::{Endpoint, Identity, Notice, Reach, Roster, TcpChannel},
};
use ndarray::ArrayD;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use tokio::net::TcpListener;

pub use crate::reporter::Watch;
use crate::{
    Error, Job, Local, PartySummary, Role, RosterFile, RunFolder, Update, catalogue, identity,
    job::{Cut, Mode, Protocol},
    reporter::Reporter,
};

/// A party that has checked everything it can check alone.
pub struct Prepared {
    job: Job,
    local: Local,
    party: Party,
    role: Role,
    identity: Identity,
    roster: Roster,
    data: Option<ClientData>,
}

/// A client's rows, in the form that the loss takes.
struct ClientData {
    train: Examples,
    test: Examples,
    subsets: Vec<Subset>,
}

impl Prepared {
    /// Checks job, key, roster and, for a client, loads the data. `local` is what the party keeps to itself.
    pub fn new(job: Job, party: Party, local: Local) -> Result<Self, Error> {
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
        let data = match (role, &local.data) {
            (Role::Server, _) => None,
            (Role::Client, Some(data)) => Some(ClientData::new(data.load(&job)?, &job)),
            (Role::Client, None) => Some(ClientData::new(catalogue::find(&job.data.name)?.load(&job)?, &job)),
        };
        Ok(Self {
            job,
            local,
            party,
            role,
            identity,
            roster,
            data,
        })
    }

    /// Takes part in the job: connects, runs the role's script, writes the trained weights into `run_folder`.
    ///
    /// Single-threaded but for the layers' arithmetic: there is one link, and the script either waits for its peer or computes.
    pub fn run<'a>(self, run_folder: &Path, watch: &'a mut Watch<'a>) -> Result<PartySummary, Error> {
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
        let channel = interruptible(self.connect(reporter)).await?;
        let begun = Instant::now();
        let mut link = Link::new(channel);
        let trained = match interruptible(self.script(&mut link, reporter)).await {
            Ok(trained) => trained,
            Err(error) => {
                link.abort(abort_reason(&error)).await;
                return Err(error);
            }
        };
        self.save(&trained, run_folder)?;
        let summary = reporter.summary(self.role, begun.elapsed(), link.traffic(), link.sent_by_message());
        link.into_channel().close().await;
        Ok(summary)
    }

    async fn connect(&self, reporter: &Reporter<'_>) -> Result<TcpChannel, Error> {
        let failed = |cause: WireError| Error::Protocol {
            party: self.party.clone(),
            cause: Box::new(cause.into()),
        };
        let peers = self.peers()?;
        let listener = match &self.local.listen {
            None => None,
            Some(address) => {
                let listener = TcpListener::bind(address).await.map_err(|e| {
                    failed(WireError::Local {
                        what: format!("cannot listen on {address}"),
                        cause: e.to_string(),
                    })
                })?;
                let address = listener.local_addr().map_err(Error::file(address))?.to_string();
                reporter.tell(Update::Listening { address });
                Some(listener)
            }
        };
        let endpoint = Endpoint {
            identity: &self.identity,
            roster: &self.roster,
            job: self.job.digest(),
            listener,
            connect_deadline: self.local.deadlines.connect(),
            message_deadline: self.local.deadlines.message(),
        };
        let channels = endpoint
            .connect(&peers, &|notice| reporter.tell(notice.into()))
            .await
            .map_err(failed)?;
        Ok(channels
            .into_values()
            .next()
            .expect("a valid job has one client and one server"))
    }

    /// How each other party is reached: dialled where an address is known, else awaited.
    fn peers(&self) -> Result<BTreeMap<Party, Reach>, Error> {
        let others = self.job.parties.keys().filter(|p| **p != self.party);
        others
            .map(|peer| match (self.local.dial.get(peer), &self.local.listen) {
                (Some(address), _) => Ok((peer.clone(), Reach::Dial(address.clone()))),
                (None, Some(_)) => Ok((peer.clone(), Reach::Accept)),
                (None, None) => Err(Error::configuration(
                    Local::FILE,
                    format!("say how to reach {peer}: `listen` here, or an address under [dial]"),
                )),
            })
            .collect()
    }

    /// Runs the role's script; returns the trained parts of the network.
    async fn script<C: Channel>(&self, link: &mut Link<C>, reporter: &Reporter<'_>) -> Result<Trained, Error> {
        let mut observe = |event| reporter.observe(event);
        let trained = match (self.job.protocol, self.job.mode(), &self.data) {
            (Protocol::Plain, _, Some(data)) => self.plain_client(data, link, &mut observe).await?,
            (Protocol::Plain, _, None) => self.plain_server(link, &mut observe).await?,
            (Protocol::EncryptedActivation, Mode::Sealed, Some(data)) => self.sealed_client(data, link, &mut observe).await?,
            (Protocol::EncryptedActivation, Mode::Sealed, None) => self.sealed_server(link, &mut observe).await?,
            (Protocol::EncryptedActivation, Mode::Paper, Some(data)) => self.paper_client(data, link, &mut observe).await?,
            (Protocol::EncryptedActivation, Mode::Paper, None) => self.paper_server(link, &mut observe).await?,
        };
        trained.map_err(|cause| Error::Protocol {
            party: self.party.clone(),
            cause: Box::new(cause),
        })
    }

    async fn plain_client<C: Channel>(&self, data: &ClientData, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let cut = self.job.cut()?;
        let front = self.network(&cut, 0..cut.server.start)?;
        let tail = self.network(&cut, cut.server.end..cut.model.layers.len())?;
        let me = plain::client(plain::Client { front, tail }, self.task(data), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: None,
        }))
    }

    async fn plain_server<C: Channel>(&self, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let cut = self.job.cut()?;
        let middle = self.network(&cut, cut.server.clone())?;
        let me = plain::server(plain::Server { middle }, self.job.schedule(), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.middle],
            unrevealed: None,
        }))
    }

    async fn sealed_client<C: Channel>(&self, data: &ClientData, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let cut = self.job.cut()?;
        let me = encrypted_activation::Client {
            front: self.network(&cut, 0..cut.server.start)?,
            unrevealed: self.network(&cut, cut.server.clone())?,
            tail: self.network(&cut, cut.server.end..cut.model.layers.len())?,
            cipher: LatticeCipher::new(self.job.sealing()?, &mut fresh_randomness()?),
            reveal_after: encrypted_activation::REVEAL_AFTER,
        };
        let me = encrypted_activation::client(me, self.task(data), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: Some(me.unrevealed),
        }))
    }

    async fn sealed_server<C: Channel>(&self, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let cut = self.job.cut()?;
        let me = encrypted_activation::Server {
            layer: self.network(&cut, cut.server.clone())?,
            cipher: ServerLattice::new(self.job.sealing()?),
            reveal_after: encrypted_activation::REVEAL_AFTER,
        };
        let me = encrypted_activation::server(me, self.job.schedule(), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.layer],
            unrevealed: None,
        }))
    }

    async fn paper_client<C: Channel>(&self, data: &ClientData, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let cut = self.job.cut()?;
        let me = paper::Client {
            front: self.network(&cut, 0..cut.server.start)?,
            layer: self.network(&cut, cut.server.clone())?,
            tail: self.network(&cut, cut.server.end..cut.model.layers.len())?,
            cipher: LatticeCipher::new(self.job.sealing()?, &mut fresh_randomness()?),
        };
        let me = paper::client(me, self.task(data), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.front, me.tail],
            unrevealed: None,
        }))
    }

    async fn paper_server<C: Channel>(&self, link: &mut Link<C>, observe: &mut Observe<'_>) -> Outcome {
        let cut = self.job.cut()?;
        let layer = self.network(&cut, cut.server.clone())?;
        let me = paper::Server {
            layer,
            cipher: ServerLattice::new(self.job.sealing()?),
        };
        let me = paper::server(me, self.job.schedule(), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.layer],
            unrevealed: None,
        }))
    }

    fn task<'a>(&self, data: &'a ClientData) -> Task<'a> {
        let ClientData { train, test, subsets } = data;
        let (loss, schedule, shuffle) = (self.job.training.loss, self.job.schedule(), self.job.shuffle());
        Task {
            train,
            test,
            subsets,
            loss,
            schedule,
            shuffle,
        }
    }

    fn network(&self, cut: &Cut, layers: std::ops::Range<usize>) -> Result<Network, Error> {
        Ok(Network::new(&cut.model, layers, self.job.seed)?.with_optimiser(self.job.training.optimiser.clone())?)
    }

    fn save(&self, trained: &Trained, run_folder: &Path) -> Result<(), Error> {
        let path = RunFolder::checkpoint(run_folder, &self.party);
        let folder = path.parent().unwrap_or(run_folder);
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        // One entry: the order of several in the file would differ from run to run.
        let metadata = HashMap::from([("job".to_owned(), self.job.digest_hex())]);
        cloven_nn::save_safetensors(&path, &trained.parts, metadata.clone())?;
        if let Some(unrevealed) = &trained.unrevealed {
            cloven_nn::save_safetensors(
                &path.with_extension("unrevealed.safetensors"),
                std::slice::from_ref(unrevealed),
                metadata,
            )?;
        }
        Ok(())
    }
}

/// What a party's script leaves behind.
struct Trained {
    /// This party's layers.
    parts: Vec<Network>,
    /// `encrypted_activation`: what the client has not revealed of the server's layer; to be added to it.
    unrevealed: Option<Network>,
}

/// The outer error is of this party's own set-up, the inner one of the script.
type Outcome = Result<Result<Trained, ProtocolError>, Error>;

/// A generator seeded by the operating system.
fn fresh_randomness() -> Result<ChaCha20Rng, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| Error::File {
        path: "random numbers".into(),
        cause: std::io::Error::other(e.to_string()),
    })?;
    Ok(ChaCha20Rng::from_seed(seed))
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

/// Ends `work` when the operator interrupts (SIGINT, SIGTERM).
async fn interruptible<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
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
fn abort_reason(error: &Error) -> AbortReason {
    match error {
        Error::Protocol { cause, .. } => cause.abort_reason(),
        Error::Interrupted => AbortReason::Interrupted,
        _ => AbortReason::Configuration,
    }
}

impl ClientData {
    fn new(data: Dataset, job: &Job) -> Self {
        let (loss, classes) = (job.training.loss, job.data.classes.unwrap_or(0));
        let convert = |samples: Samples| Examples {
            targets: targets(samples.targets, loss, classes),
            x: samples.x,
        };
        let subsets = data
            .test_subsets
            .into_iter()
            .map(|(name, rows)| Subset { name, rows })
            .collect();
        Self {
            train: convert(data.train),
            test: convert(data.test),
            subsets,
        }
    }
}

fn targets(targets: Targets, loss: Loss, classes: usize) -> BatchTargets {
    match (targets, loss) {
        (Targets::Values(values), _) => BatchTargets::Values(values.into_dyn()),
        (Targets::Classes { index, .. }, Loss::CrossEntropy) => BatchTargets::Classes(index),
        (Targets::Classes { index, .. }, _) => {
            // Two classes are one output, the second class being the positive one; more are one output each.
            let value = |row: usize, k: usize| match classes {
                2 => index[row] as f32,
                _ => f32::from(index[row] as usize == k),
            };
            let outputs = if classes == 2 { 1 } else { classes };
            BatchTargets::Values(ArrayD::from_shape_fn(vec![index.len(), outputs], |at| value(at[0], at[1])))
        }
    }
}
