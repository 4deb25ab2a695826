//! The job: what every party must agree on.
//!
//! A job holds no path, no address and no secret. Its digest is taken over its meaning (defaults filled in, comments and layout
//! ignored) and compared when parties connect.

use std::{collections::BTreeMap, ops::Range, path::Path};

use cloven_data::Expectation;
use cloven_nn::{LayerSpec, Loss, ModelSpec, OptimiserSpec, preset};
use cloven_protocols::{
    EncryptionSet as Parameters, Leak, Schedule, Shuffle,
    encrypted_activation::{self, Sealing},
    encrypted_model::{self, encrypted_samples},
    plain,
};
use cloven_wire::Party;
use serde::{Deserialize, Serialize};

use self::vertical::ColumnCounts;
pub use self::{
    class_weights::ClassWeights,
    enclave::Enclave,
    encryption::{Encryption, InitialWeights, Mode, Samples},
    settings::{Setting, parse_settings},
    vertical::Vertical,
};
pub(crate) use self::{enclave::simulated_measurement, settings::set};
use crate::{EncryptionParameters, Error, files::read_text};

/// A parsed and validated `job.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The protocol.
    pub protocol: Protocol,
    /// Shuffles rows and draws initial weights; public.
    #[serde(default = "one")]
    pub seed: u64,
    /// Every party and its role.
    pub parties: BTreeMap<Party, Role>,
    /// What the parties agree on about the data.
    pub data: Data,
    /// The network and its cut.
    pub model: Model,
    /// Loss, optimiser, amount of work.
    pub training: Training,
    /// Settings of the encryption, for protocols that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Settings of `vertical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertical: Option<Vertical>,
    /// Settings of `enclave`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclave: Option<Enclave>,
}

/// The protocols that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Ordinary split learning, unprotected.
    Plain,
    /// Split learning with activations and gradients encrypted under the client's key.
    EncryptedActivation,
    /// Split learning whose first layers, one or several, are encrypted at the server, under the client's key.
    EncryptedModel,
    /// Columns of the same rows at several parties, labels at one; a server computes the layers after the first.
    Vertical,
    /// An enclave at the server, which leaves matrix products to untrusted workers, blinded.
    Enclave,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 5] = [
        Self::Plain,
        Self::EncryptedActivation,
        Self::EncryptedModel,
        Self::Vertical,
        Self::Enclave,
    ];

    /// The name, as in the job file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::EncryptedActivation => "encrypted-activation",
            Self::EncryptedModel => "encrypted-model",
            Self::Vertical => "vertical",
            Self::Enclave => "enclave",
        }
    }

    /// What the server sees of the data, in five words; [`Job::leaks`] says it in full.
    pub(crate) fn server_sees(self) -> &'static str {
        match self {
            Self::Plain => "activations and, in effect, labels",
            Self::EncryptedActivation => "ciphertexts, sums of weight changes",
            Self::EncryptedModel => "samples, ciphertexts of weights and steps",
            Self::Vertical => "outputs of the first layer",
            Self::Enclave => "all, in protected memory; workers: products",
        }
    }
}

/// What a party does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds data and labels.
    Client,
    /// Holds the layers between the cuts.
    Server,
    /// `vertical`: holds columns.
    Holder,
    /// `vertical`: holds the labels and the last layers, and columns or none.
    LabelHolder,
    /// `vertical`: makes multiplication triples, and sees no data.
    Dealer,
    /// `vertical`: says where a training begins and when an epoch is settled, and sees no data.
    Coordinator,
    /// `enclave`: computes blinded products.
    Worker,
}

/// Facts about the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data set's name; a known name needs no `local.toml` on one machine.
    pub name: String,
    /// Shape of one sample, such as `[1, 128]`.
    pub shape: Vec<usize>,
    /// Number of classes or labels; absent for regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// Whether a row has none to all of `classes` labels, each 0 or 1, instead of one class; needs loss `bce`, an output for each label.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub multi_label: bool,
    /// Whether features are standardised with the training rows' mean and deviation.
    #[serde(default)]
    pub standardise: bool,
    /// The part held back for testing when the data come without a test file.
    #[serde(default = "one_fifth")]
    pub test_fraction: f64,
    /// At most so many training rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_rows: Option<usize>,
    /// At most so many test rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_rows: Option<usize>,
    /// `vertical`: the number of features that each holder has, as they enter the network; their sum is the sample's size.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: ColumnCounts,
}

/// The network: a preset, or layers and which of them the server holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A preset's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The numbers, from 0 and consecutive, of the layers the server holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_layers: Option<Vec<usize>>,
    /// The layers, first to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<LayerSpec>>,
}

/// Loss, optimiser, amount of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Epochs.
    pub epochs: u32,
    /// Rows in a batch.
    pub batch: usize,
    /// Rows in an evaluation batch.
    #[serde(default = "two_hundred_fifty_six")]
    pub evaluation_batch: usize,
    /// Evaluate the test rows after every so many epochs; 0: only after the last.
    #[serde(default = "one_u32")]
    pub evaluate_every: u32,
    /// Every party keeps a checkpoint after every so many batches, and after every epoch; 0: none, a broken run cannot be resumed.
    #[serde(default = "two_hundred")]
    pub checkpoint_every: u32,
    /// The loss.
    pub loss: Loss,
    /// How much classes count in it; all alike unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// The optimiser, the same on both sides of the cut.
    pub optimiser: OptimiserSpec,
}

fn one() -> u64 {
    1
}

fn one_u32() -> u32 {
    1
}

fn two_hundred() -> u32 {
    200
}

fn one_fifth() -> f64 {
    0.2
}

fn two_hundred_fifty_six() -> usize {
    256
}

/// A network and the range of layers that the server holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cut {
    pub(crate) name: String,
    pub(crate) model: ModelSpec,
    pub(crate) server: Range<usize>,
}

impl Job {
    /// Reads a job file, applies `--set` settings and validates the result.
    pub fn read(path: &Path, settings: &[Setting]) -> Result<Self, Error> {
        Self::parse(&read_text(path)?, &path.display().to_string(), settings)
    }

    /// Parses a job; `place` names it in errors.
    pub fn parse(text: &str, place: &str, settings: &[Setting]) -> Result<Self, Error> {
        let mut table: toml::Table = toml::from_str(text).map_err(|e| Error::configuration(place, e))?;
        for (key, value) in settings {
            settings::set(&mut table, key, value.clone())?;
        }
        // With nothing set, parse the text itself: only then can an error show the line.
        let mut job: Self = match settings.is_empty() {
            true => toml::from_str(text).map_err(|e| Error::configuration(place, e))?,
            false => table
                .try_into()
                .map_err(|e| Error::configuration(format!("{place} with --set"), e))?,
        };
        if job.protocol == Protocol::Vertical {
            // So that a section that is left out means what an empty one does.
            job.vertical.get_or_insert_default();
        }
        job.validate(place)?;
        Ok(job)
    }

    /// BLAKE3 over the job's meaning.
    pub fn digest(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(self).expect("a job has only string keys and finite numbers");
        blake3::derive_key("cloven v1 job digest", &canonical)
    }

    /// [`Job::digest`] in hexadecimal.
    pub fn digest_hex(&self) -> String {
        blake3::Hash::from_bytes(self.digest()).to_hex().to_string()
    }

    /// The job as TOML.
    pub fn to_toml(&self) -> String {
        crate::identity::to_toml(self)
    }

    /// The role of a party.
    pub fn role(&self, party: &Party) -> Result<Role, Error> {
        self.parties.get(party).copied().ok_or_else(|| {
            let known: Vec<_> = self.parties.keys().map(Party::as_str).collect();
            Error::configuration("job", format!("no party is called {party}; the job has {}", known.join(", ")))
        })
    }

    /// What each party learns by running this job.
    pub fn leaks(&self) -> Vec<Leak> {
        let front = self.cut().map(|cut| cut.server.start).unwrap_or(0);
        let clients: Vec<&str> = self.clients().map(Party::as_str).collect();
        let server = self.of_role(Role::Server).next().map_or("nobody", Party::as_str);
        match self.protocol {
            Protocol::Plain => plain::leaks(&clients, server, front),
            Protocol::EncryptedActivation => match self.mode() {
                Mode::Sealed => encrypted_activation::leaks(&clients, server),
                Mode::Paper => encrypted_activation::paper::leaks(&clients, server),
            },
            Protocol::EncryptedModel => {
                let public = self.initial_weights() == InitialWeights::Public;
                let client = clients.first().unwrap_or(&"nobody");
                match self.samples() {
                    Samples::Clear => encrypted_model::leaks(client, server, public),
                    Samples::Encrypted => encrypted_samples::leaks(client, server, public),
                }
            }
            Protocol::Vertical => self.vertical_leaks(),
            Protocol::Enclave => self.enclave_leaks(),
        }
    }

    /// Which messages are encrypted, under `encrypted-activation`.
    pub fn mode(&self) -> Mode {
        self.encryption.and_then(|encryption| encryption.mode).unwrap_or_default()
    }

    /// The mode, where the protocol has several.
    pub(crate) fn mode_if_any(&self) -> Option<Mode> {
        (self.protocol == Protocol::EncryptedActivation).then(|| self.mode())
    }

    /// How the server gets the samples, under `encrypted-model`.
    pub(crate) fn samples(&self) -> Samples {
        self.encryption.and_then(|encryption| encryption.samples).unwrap_or_default()
    }

    /// Whether helpers can do something for this role (`cloven_protocols::helpers`).
    pub(crate) fn has_work_for_helpers(&self, role: Role) -> bool {
        match (self.protocol, role) {
            (Protocol::EncryptedModel, Role::Server) => self.samples() == Samples::Clear,
            (Protocol::EncryptedModel, Role::Client) => self.samples() == Samples::Encrypted,
            (Protocol::EncryptedActivation, Role::Server) => self.mode() == Mode::Sealed,
            _ => false,
        }
    }

    /// Where the initial weights of encrypted layers come from.
    pub(crate) fn initial_weights(&self) -> InitialWeights {
        self.encryption
            .and_then(|encryption| encryption.initial_weights)
            .unwrap_or_default()
    }

    /// The largest error of the first encrypted layer's outputs that noise may cause.
    pub(crate) fn precision(&self) -> f64 {
        const USUAL: f64 = 1e-3;
        self.encryption.and_then(|encryption| encryption.precision).unwrap_or(USUAL)
    }

    /// Parameters of the encryption, where the protocol has one. Under `vertical` they depend on the numbers of training and test rows: none are given
    /// without.
    pub fn encryption_parameters(&self, rows: Option<[usize; 2]>) -> Result<Option<EncryptionParameters>, Error> {
        let parameters = match self.protocol {
            Protocol::Plain | Protocol::Enclave => return Ok(None),
            Protocol::Vertical => match rows {
                Some(rows) => return self.vertical_encryption(rows),
                None => return Ok(None),
            },
            Protocol::EncryptedActivation => self.sealing()?.parameters().clone(),
            Protocol::EncryptedModel => match self.samples() {
                Samples::Clear => self.layer_encryption()?.parameters().clone(),
                Samples::Encrypted => self.first_product()?.parameters().clone(),
            },
        };
        Ok(Some(EncryptionParameters {
            log2_n: parameters.log2_degree(),
            log2_qp: parameters.log2_modulus(),
            security_bits: Parameters::SECURITY_BITS,
            ring_bits: None,
            fraction_bits: None,
        }))
    }

    /// How batches are sealed at the server's one dense layer.
    pub(crate) fn sealing(&self) -> Result<Sealing, Error> {
        let cut = self.cut()?;
        let place = "model.server_layers";
        let LayerSpec::Dense { outputs, .. } = cut.model.layers[cut.server.start] else {
            let kind = cut.model.layers[cut.server.start].kind();
            return Err(Error::configuration(
                place,
                format!("encrypted-activation needs one dense layer at the server, got {kind}"),
            ));
        };
        if cut.server.len() != 1 {
            let problem = format!(
                "encrypted-activation needs one dense layer at the server, got {} layers",
                cut.server.len()
            );
            return Err(Error::configuration(place, problem));
        }
        let shapes = cut.model.shapes()?;
        let [inputs] = shapes[cut.server.start][..] else {
            let problem = format!(
                "encrypted-activation needs a dense layer on one row a sample at the server, got samples of shape {:?}",
                shapes[cut.server.start]
            );
            return Err(Error::configuration(place, problem));
        };
        Sealing::new(self.training.batch, inputs, outputs).map_err(|e| Error::configuration("encryption", e))
    }

    /// The model's name in summaries: the preset's, or `custom`.
    pub fn model_name(&self) -> String {
        self.model.preset.clone().unwrap_or_else(|| "custom".into())
    }

    /// The numbers of the layers at the server.
    ///
    /// # Errors
    /// As when the job is read.
    pub fn server_layers(&self) -> Result<Range<usize>, Error> {
        Ok(self.cut()?.server)
    }

    pub(crate) fn cut(&self) -> Result<Cut, Error> {
        let chosen = self.model.server_layers.as_deref();
        let (name, model, default) = match (&self.model.preset, &self.model.layers) {
            (Some(name), None) => {
                let preset = preset(name)?;
                if preset.model.input != self.data.shape {
                    let problem = format!(
                        "preset {name} takes samples of shape {:?}, data.shape is {:?}",
                        preset.model.input, self.data.shape
                    );
                    return Err(Error::configuration("data.shape", problem));
                }
                (name.clone(), preset.model, Some(preset.server))
            }
            (None, Some(layers)) => {
                let model = ModelSpec {
                    input: self.data.shape.clone(),
                    layers: layers.clone(),
                };
                ("custom".to_owned(), model, None)
            }
            _ => return Err(Error::configuration("model", "give either `preset` or `layers`")),
        };
        let server = match (chosen, default) {
            _ if self.protocol == Protocol::Enclave => 0..model.layers.len(),
            (Some(numbers), _) => consecutive(numbers, model.layers.len())?,
            (None, Some(default)) => default,
            (None, None) => {
                return Err(Error::configuration(
                    "model.server_layers",
                    "say which layers the server holds, such as [2, 3]",
                ));
            }
        };
        Ok(Cut { name, model, server })
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let t = &self.training;
        Schedule {
            epochs: t.epochs,
            batch: t.batch,
            evaluation_batch: t.evaluation_batch,
            evaluate_every: t.evaluate_every,
            checkpoint_every: t.checkpoint_every,
        }
    }

    pub(crate) fn shuffle(&self) -> Shuffle {
        Shuffle { seed: self.seed }
    }

    pub(crate) fn expectation(&self) -> Expectation {
        Expectation {
            shape: self.data.shape.clone(),
            classes: self.data.classes,
            multi_label: self.data.multi_label,
        }
    }

    /// The clients, in order.
    pub fn clients(&self) -> impl Iterator<Item = &Party> {
        self.of_role(Role::Client)
    }

    /// The same work without protection.
    pub(crate) fn unprotected(&self) -> Self {
        match self.protocol {
            Protocol::Vertical => self.unprotected_vertical(),
            Protocol::Enclave => self.unprotected_enclave(),
            _ => Self {
                protocol: Protocol::Plain,
                encryption: None,
                ..self.clone()
            },
        }
    }

    /// The parties that `party` talks to, in order: all talk to the server only, under `vertical` all to all.
    pub(crate) fn peers(&self, party: &Party) -> impl Iterator<Item = &Party> + Clone {
        let role = self.parties.get(party).copied();
        let others = self.parties.iter().filter(move |(peer, other)| match self.protocol {
            Protocol::Vertical => *peer != party,
            _ => Some(**other) != role && (role == Some(Role::Server) || **other == Role::Server),
        });
        others.map(|(peer, _)| peer)
    }

    /// Who takes part in a prediction: nothing is left to coordinate.
    pub(crate) fn predicting(&self) -> impl Iterator<Item = &Party> {
        let parties = self.parties.iter().filter(|(_, role)| **role != Role::Coordinator);
        parties.map(|(party, _)| party)
    }

    /// Whose progress tells most: the first client, or the label holder.
    pub fn lead(&self) -> Option<&Party> {
        self.clients().next().or_else(|| self.of_role(Role::LabelHolder).next())
    }

    /// The parties of this role, in order.
    pub(crate) fn of_role(&self, role: Role) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(move |(_, r)| **r == role).map(|(party, _)| party)
    }
}

fn consecutive(numbers: &[usize], layers: usize) -> Result<Range<usize>, Error> {
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        return Err(Error::configuration(
            "model.server_layers",
            "the server needs at least one layer",
        ));
    };
    let range = first..last.saturating_add(1);
    if range.end > layers || !numbers.iter().copied().eq(range.clone()) {
        let problem = format!(
            "expected consecutive numbers from 0 to {}, got {numbers:?}",
            layers.saturating_sub(1)
        );
        return Err(Error::configuration("model.server_layers", problem));
    }
    Ok(range)
}

mod class_weights;
mod enclave;
mod encrypted;
mod encryption;
mod settings;
#[cfg(test)]
mod tests;
mod validate;
mod vertical;
