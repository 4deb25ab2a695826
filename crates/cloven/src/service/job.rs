//! The job file of a service: what users and servers must agree on, and nothing of the layers.

use std::{collections::BTreeMap, path::Path};

use cloven_protocols::{Leak, secure_inference as inference};
use cloven_wire::Party;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Job, Role,
    files::read_text,
    job::{Data, Model, Protocol, Setting, Training, set},
};

/// The name of the protocol in job files.
pub const PROTOCOL: &str = "secure-inference";
/// Most users of a service.
const MAX_USERS: usize = 1_000;
/// Most servers besides the gateway.
const MAX_REMOTES: usize = 15;

/// A parsed and validated `job.toml` of protocol `secure-inference`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceJob {
    /// Always `secure-inference`.
    pub protocol: ServiceProtocol,
    /// Every party and its part.
    pub parties: BTreeMap<Party, ServiceRole>,
    /// What an input is, and how many classes there are.
    pub data: Data,
    /// How the network is evaluated.
    #[serde(default)]
    pub service: Service,
    /// For trying a service out on one machine: what `cloven run` trains first, in the clear, as the network's owner would. Whoever has the job knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// The protocol of a [`ServiceJob`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceProtocol {
    /// Inference on additive shares of input and weights.
    SecureInference,
}

/// What a party does in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceRole {
    /// Has inputs, and gets the network's outputs on them.
    User,
    /// A server; the only one that users talk to.
    Gateway,
    /// A server.
    Server,
}

impl ServiceRole {
    /// The name, as in the job file.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Gateway => "gateway",
            Self::Server => "server",
        }
    }
}

/// How the network is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// How the layers that are no sums are evaluated.
    #[serde(default)]
    pub engine: Engine,
    /// What a user gets.
    #[serde(default)]
    pub output: Output,
    /// Numbers are modulo 2 to this: 24 to 48.
    #[serde(default = "thirty_two")]
    pub ring_bits: u32,
    /// Bits after the point.
    #[serde(default = "ten")]
    pub fraction_bits: u32,
    /// So many of the network's first layers are the gateway's, which has their weights in the clear; it evaluates them with the user. Where there are no servers
    /// besides it, it has all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gateway_layers: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// How activations are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// On shared bits: least bytes, many rounds.
    #[default]
    Boolean,
    /// On shared bits, with circuits of fewer rounds and more bytes.
    BooleanLowDepth,
    /// Garbled circuits: few rounds, most bytes.
    Garbled,
}

/// What a user gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Every output of the network.
    #[default]
    Scores,
    /// Which output is the largest.
    ArgMax,
}

/// What is trained for a trial on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Shuffles rows and draws initial weights.
    #[serde(default = "one")]
    pub seed: u64,
    /// The network; all layers are the owner's.
    pub model: Model,
    /// How it is trained.
    pub training: Training,
    /// So many test rows are asked for by every user.
    #[serde(default = "twenty")]
    pub queries: usize,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            output: Output::default(),
            ring_bits: thirty_two(),
            fraction_bits: ten(),
            gateway_layers: 0,
        }
    }
}

fn thirty_two() -> u32 {
    32
}

fn ten() -> u32 {
    10
}

fn one() -> u64 {
    1
}

fn twenty() -> usize {
    20
}

impl ServiceJob {
    /// Whether a job file is of this protocol; a file that cannot be read or parsed is none.
    pub fn is_in(path: &Path) -> bool {
        let table = read_text(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
        table.is_some_and(|table| table.get("protocol").and_then(toml::Value::as_str) == Some(PROTOCOL))
    }

    /// Reads a job file, applies `--set` settings and validates the result.
    ///
    /// # Errors
    /// [`Error::Configuration`], naming the key.
    pub fn read(path: &Path, settings: &[Setting]) -> Result<Self, Error> {
        Self::parse(&read_text(path)?, &path.display().to_string(), settings)
    }

    /// Parses a job; `place` names it in errors.
    ///
    /// # Errors
    /// As [`ServiceJob::read`].
    pub fn parse(text: &str, place: &str, settings: &[Setting]) -> Result<Self, Error> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| Error::configuration(place, e))?;
        for (key, value) in settings {
            set(&mut table, key, value.clone())?;
        }
        // With nothing set, parse the text itself: only then can an error show the line.
        let job: Self = match settings.is_empty() {
            true => toml::from_str(text).map_err(|e| Error::configuration(place, e))?,
            false => table
                .try_into()
                .map_err(|e| Error::configuration(format!("{place} with --set"), e))?,
        };
        job.validate(place)?;
        Ok(job)
    }

    /// BLAKE3 over the job's meaning.
    pub fn digest(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(self).expect("a job has only string keys and finite numbers");
        blake3::derive_key("cloven v1 job digest", &canonical)
    }

    /// [`ServiceJob::digest`] in hexadecimal.
    pub fn digest_hex(&self) -> String {
        blake3::Hash::from_bytes(self.digest()).to_hex().to_string()
    }

    /// The job as TOML.
    pub fn to_toml(&self) -> String {
        crate::identity::to_toml(self)
    }

    /// The part of a party.
    ///
    /// # Errors
    /// [`Error::Configuration`] for one that the job does not name.
    pub fn role(&self, party: &Party) -> Result<ServiceRole, Error> {
        self.parties.get(party).copied().ok_or_else(|| {
            let known: Vec<_> = self.parties.keys().map(Party::as_str).collect();
            Error::configuration("job", format!("no party is called {party}; the job has {}", known.join(", ")))
        })
    }

    /// The parties of this part, in the order of names.
    pub fn of_role(&self, role: ServiceRole) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(move |(_, r)| **r == role).map(|(party, _)| party)
    }

    /// The server that users talk to.
    pub fn gateway(&self) -> Result<&Party, Error> {
        let gateway = self.of_role(ServiceRole::Gateway).next();
        gateway.ok_or_else(|| Error::configuration("parties", "the job has no gateway"))
    }

    /// All servers: the gateway, then the others in the order of names.
    pub fn servers(&self) -> impl Iterator<Item = &Party> {
        self.of_role(ServiceRole::Gateway).chain(self.of_role(ServiceRole::Server))
    }

    /// The number of a user among the users, in the order of names.
    pub fn place_of_user(&self, user: &Party) -> usize {
        self.of_role(ServiceRole::User).position(|other| other == user).unwrap_or(0)
    }

    /// The number of the network's outputs.
    pub(super) fn outputs(&self) -> usize {
        match self.data.classes {
            None => 1,
            Some(2) if self.is_binary() => 1,
            Some(classes) => classes,
        }
    }

    /// Whether two classes are told by one output.
    fn is_binary(&self) -> bool {
        self.trial
            .as_ref()
            .is_some_and(|trial| trial.training.loss == cloven_nn::Loss::Bce)
    }

    /// What the scripts know of the job.
    ///
    /// # Errors
    /// [`Error::Configuration`] without a gateway.
    pub(super) fn terms(&self) -> Result<inference::Terms, Error> {
        let Service {
            engine,
            output,
            ring_bits,
            fraction_bits,
            gateway_layers,
        } = self.service;
        Ok(inference::Terms {
            gateway: self.gateway()?.clone(),
            remotes: self.of_role(ServiceRole::Server).cloned().collect(),
            inputs: self.data.shape.iter().product(),
            outputs: self.outputs(),
            ring_bits,
            fraction_bits,
            score_bits: 2 * fraction_bits,
            output: match output {
                Output::Scores => inference::Output::Scores,
                Output::ArgMax => inference::Output::ArgMax,
            },
            engine: match engine {
                Engine::Boolean => inference::Engine::Boolean,
                Engine::BooleanLowDepth => inference::Engine::BooleanLowDepth,
                Engine::Garbled => inference::Engine::Garbled,
            },
            gateway_layers,
            revealed: inference::Terms::REVEALED,
            job: self.digest(),
        })
    }

    /// What each party learns by taking part.
    ///
    /// # Errors
    /// As for an invalid job.
    pub fn leaks(&self) -> Result<Vec<Leak>, Error> {
        let terms = self.terms()?;
        let users: Vec<&str> = self.of_role(ServiceRole::User).map(Party::as_str).collect();
        let mut leaks = terms.leaks(&users.join(", "));
        if self.trial.is_some() {
            let everybody = self.parties.keys().map(Party::as_str).collect::<Vec<_>>().join(", ");
            leaks.push(Leak {
                party: everybody,
                learns: "the layers of the network and how it is trained, which the job's [trial] tells: leave it out where that is secret".into(),
            });
        }
        Ok(leaks)
    }

    /// What a trial trains.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a job without one.
    pub fn trial(&self) -> Result<&Trial, Error> {
        self.trial.as_ref().ok_or_else(|| {
            Error::configuration(
                "trial",
                "this job has no network to try out: `cloven model share` makes shares of a trained one, `cloven serve` serves them",
            )
        })
    }

    /// The training of the trial, as a job of its own whose parties are in one process.
    pub(super) fn trial_job(&self, trial: &Trial) -> Result<Job, Error> {
        let party = |name: &str| {
            name.parse()
                .map_err(|e| Error::configuration("parties", format!("{name}: {e}")))
        };
        let job = Job {
            protocol: Protocol::Plain,
            seed: trial.seed,
            parties: BTreeMap::from([(party("owner")?, Role::Client), (party("machine")?, Role::Server)]),
            data: self.data.clone(),
            model: Model {
                server_layers: Some(vec![0]),
                ..trial.model.clone()
            },
            training: trial.training.clone(),
            encryption: None,
            vertical: None,
            enclave: None,
        };
        job.validate("trial")?;
        Ok(job)
    }

    fn validate(&self, place: &str) -> Result<(), Error> {
        let wrong = |key: &str, problem: String| Err(Error::configuration(format!("{place}: {key}"), problem));
        let count = |role| self.of_role(role).count();
        let [users, gateways, remotes] = [ServiceRole::User, ServiceRole::Gateway, ServiceRole::Server].map(count);
        if !(1..=MAX_USERS).contains(&users) || gateways != 1 || remotes == 1 || remotes > MAX_REMOTES {
            return wrong(
                "parties",
                format!(
                    "protocol {PROTOCOL} needs one to {MAX_USERS} users, one gateway and 2 to {MAX_REMOTES} servers besides it (or none: then the gateway has the \
                     whole network), got {users}, {gateways} and {remotes}"
                ),
            );
        }
        if remotes == 0 && self.service.gateway_layers > 0 {
            return wrong(
                "service.gateway_layers",
                "without other servers the gateway has all layers: leave it out".into(),
            );
        }
        let Service {
            ring_bits,
            fraction_bits,
            ..
        } = self.service;
        if !(24..=48).contains(&ring_bits) {
            return wrong("service.ring_bits", format!("expected 24 to 48, got {ring_bits}"));
        }
        if !(4..=ring_bits / 2 - 4).contains(&fraction_bits) {
            return wrong(
                "service.fraction_bits",
                format!(
                    "expected 4 to {} for {ring_bits} ring_bits, got {fraction_bits}",
                    ring_bits / 2 - 4
                ),
            );
        }
        if self.data.multi_label {
            return wrong(
                "data.multi_label",
                format!("protocol {PROTOCOL} takes one class or value a row"),
            );
        }
        if self.data.classes.is_none() && self.service.output == Output::ArgMax {
            return wrong("service.output", "arg-max needs data.classes".into());
        }
        self.trial.as_ref().map_or(Ok(()), |trial| self.trial_job(trial).map(drop))
    }
}
