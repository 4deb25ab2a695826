//! `vertical`: who holds which columns, how the first layer is computed, and what that gives away in the long run.

use std::collections::BTreeMap;

use cloven_nn::{LayerSpec, Network, OptimiserSpec};
use cloven_protocols::{
    EncryptionSet, Leak,
    vertical::{self, Terms},
};
use cloven_wire::Party;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{Cut, InitialWeights, Job, Protocol, Role};
use crate::{EncryptionParameters, Error};

/// Every two holders are a connection and an alignment.
const MAX_HOLDERS: usize = 16;

/// Settings of `vertical`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vertical {
    /// How the holders compute the first layer.
    pub first_layer: FirstLayer,
    /// Where the multiplication triples of `first_layer = "shares"` come from.
    pub triples: Triples,
    /// What the holders see of the gradient at the first layer's output.
    pub gradient: Gradient,
    /// Where the first layer's initial weights come from.
    pub initial_weights: InitialWeights,
    /// Whether the holders evaluate the ReLU after the first layer, so that the server does not see its input.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private_activation: bool,
    /// By which circuit they do.
    #[serde(skip_serializing_if = "ActivationCircuit::is_usual")]
    pub activation_circuit: ActivationCircuit,
    /// What the parties know of and accept: [`Vertical::SPAN`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acknowledge: Vec<String>,
}

/// How the holders compute the first layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstLayer {
    /// Each with the weights of its own columns, unprotected: for comparison.
    Plain,
    /// On additive shares, with multiplication triples.
    #[default]
    Shares,
    /// By homomorphic encryption.
    He,
}

/// Where multiplication triples come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Triples {
    /// The holders make them among themselves, by homomorphic encryption.
    #[default]
    He,
    /// A party with role `dealer` makes them.
    Dealer,
}

/// What the holders see of the gradient at the first layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gradient {
    /// Shares of it.
    #[default]
    Shared,
    /// All of it.
    Open,
}

/// The circuit of the private activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationCircuit {
    /// Fewest bytes, a round for each of 64 bits.
    #[default]
    FewAnds,
    /// Few rounds for several times the bytes: for links with long round trips.
    LowDepth,
}

impl ActivationCircuit {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Vertical {
    /// In `acknowledge`: the server sees so many outputs of the first layer that a column can be recovered from their span.
    pub const SPAN: &str = "h1-span";
}

impl Job {
    /// What every party of a vertical job knows of it.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a job without a label holder, a server or a dense first layer.
    pub fn vertical_terms(&self) -> Result<Terms, Error> {
        let vertical = self.vertical.clone().unwrap_or_default();
        let only = |role: Role| self.of_role(role).next().cloned();
        let missing = |role: Role| Error::configuration("parties", format!("protocol vertical needs a {}", role.name()));
        Ok(Terms {
            columns: self.data.columns.clone(),
            label_holder: only(Role::LabelHolder).ok_or_else(|| missing(Role::LabelHolder))?,
            server: only(Role::Server).ok_or_else(|| missing(Role::Server))?,
            coordinator: only(Role::Coordinator),
            dealer: only(Role::Dealer),
            width: first_width(&self.cut()?)?,
            first_layer: match vertical.first_layer {
                FirstLayer::Plain => vertical::FirstLayer::Plain,
                FirstLayer::Shares => vertical::FirstLayer::Shares,
                FirstLayer::He => vertical::FirstLayer::HomomorphicEncryption,
            },
            private_activation: vertical.private_activation,
            activation_circuit: match vertical.activation_circuit {
                ActivationCircuit::FewAnds => vertical::ActivationCircuit::FewAnds,
                ActivationCircuit::LowDepth => vertical::ActivationCircuit::LowDepth,
            },
            gradient: match vertical.gradient {
                Gradient::Shared => vertical::Gradient::Shared,
                Gradient::Open => vertical::Gradient::Open,
            },
            public_weights: match vertical.initial_weights {
                InitialWeights::Secret => None,
                InitialWeights::Public => Some(self.first_weights()?),
            },
            schedule: self.schedule(),
            shuffle: self.shuffle(),
            optimiser: self.training.optimiser.clone(),
            job: self.digest(),
        })
    }

    /// Parameters of the encryption by which holders compute products, if they do; `rows` are training and test rows.
    pub(super) fn vertical_encryption(&self, rows: [usize; 2]) -> Result<Option<EncryptionParameters>, Error> {
        let parameters = vertical::encryption_parameters(&self.vertical_terms()?, rows);
        let parameters = parameters.map_err(|cause| Error::configuration("vertical", cause))?;
        Ok(parameters.map(|parameters| EncryptionParameters {
            log2_n: parameters.log2_degree(),
            log2_qp: parameters.log2_modulus(),
            security_bits: EncryptionSet::SECURITY_BITS,
            ring_bits: Some(u64::BITS),
            fraction_bits: Some(vertical::scales::COLUMNS),
        }))
    }

    pub(super) fn vertical_leaks(&self) -> Vec<Leak> {
        let Ok(terms) = self.vertical_terms() else { return Vec::new() };
        let mut leaks = terms.leaks();
        leaks.extend(terms.public_weights.is_some().then(|| Leak {
            party: terms.server.to_string(),
            learns: "the first layer's initial weights, with which its outputs in the first batches are equations in a row's columns".into(),
        }));
        leaks
    }

    /// What each holder learns by finding the rows that all have; nothing for other protocols.
    pub fn alignment_leaks(&self) -> Vec<Leak> {
        match self.protocol {
            Protocol::Vertical => self.vertical_terms().map(|terms| terms.alignment_leaks()).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The first layer's weights as the job's seed draws them, `[columns + 1, outputs]`; the bias is the last row.
    fn first_weights(&self) -> Result<Array2<f32>, Error> {
        let parameters = Network::new(&self.cut()?.model, 0..1, self.seed)?.parameters();
        let (columns, outputs): (usize, usize) = (self.data.shape.iter().product(), first_width(&self.cut()?)?);
        let mut weights = Array2::zeros((columns + 1, outputs));
        for (name, values) in parameters {
            // A dense layer's weight is `[outputs, columns]`.
            let of = |row: usize, output: usize| match name.ends_with("weight") {
                true => values.get([output, row].as_slice()),
                false => values.get([output].as_slice()).filter(|_| row == columns),
            };
            weights.indexed_iter_mut().for_each(|((row, output), weight)| {
                *weight = of(row, output).copied().unwrap_or(*weight);
            });
        }
        Ok(weights)
    }

    /// Parties that hold columns or labels, in order.
    pub fn holders(&self) -> impl Iterator<Item = &Party> {
        let holds = |role: &Role| matches!(role, Role::Holder | Role::LabelHolder);
        self.parties
            .iter()
            .filter(move |(_, role)| holds(role))
            .map(|(party, _)| party)
    }

    /// The places, among all features, of the columns of a holder, where the holders divide one table among them in the order of their names.
    pub(crate) fn columns_of(&self, holder: &Party) -> std::ops::Range<usize> {
        let before: usize = self.data.columns.range::<Party, _>(..holder).map(|(_, count)| count).sum();
        before..before + self.data.columns.get(holder).copied().unwrap_or(0)
    }

    /// Each holder computes its part of the first layer in the clear; nobody deals.
    pub(super) fn unprotected_vertical(&self) -> Self {
        let mut job = self.clone();
        job.parties.retain(|_, role| *role != Role::Dealer);
        let vertical = job.vertical.get_or_insert_default();
        (vertical.first_layer, vertical.triples) = (FirstLayer::Plain, Triples::He);
        (vertical.private_activation, vertical.activation_circuit) = (false, ActivationCircuit::default());
        job
    }

    /// Whether a vertical job makes sense: the key that is wrong, and why.
    pub(super) fn check_vertical(&self) -> Result<(), (&'static str, String)> {
        if self.protocol != Protocol::Vertical {
            let foreign = |key| Err((key, format!("protocol {} has no such setting", self.protocol.name())));
            return match (&self.vertical, self.data.columns.is_empty()) {
                (Some(_), _) => foreign("vertical"),
                (None, false) => foreign("data.columns"),
                (None, true) => Ok(()),
            };
        }
        self.check_holders()?;
        self.check_layers()?;
        self.check_work()?;
        self.check_settings()?;
        self.check_span()
    }

    fn check_holders(&self) -> Result<(), (&'static str, String)> {
        let count = |role| self.of_role(role).count();
        let once = [Role::LabelHolder, Role::Server].into_iter().all(|role| count(role) == 1);
        let helpers = [Role::Dealer, Role::Coordinator].into_iter().all(|role| count(role) <= 1);
        if !once || !helpers || count(Role::Client) + count(Role::Worker) > 0 {
            let problem =
                "protocol vertical needs one label-holder, one server, holders, at most one dealer and at most one coordinator";
            return Err(("parties", problem.into()));
        }
        let wrong = |problem| Err(("data.columns", problem));
        let Self { data, parties, .. } = self;
        for (party, columns) in &data.columns {
            match parties.get(party) {
                Some(Role::Holder | Role::LabelHolder) if *columns > 0 => (),
                Some(Role::Holder | Role::LabelHolder) => return wrong(format!("{party}: expected at least 1 column")),
                Some(role) => return wrong(format!("{party} is the {} and has no columns", role.name())),
                None => return wrong(format!("no party is called {party}")),
            }
        }
        if let Some(idle) = self.of_role(Role::Holder).find(|holder| !data.columns.contains_key(*holder)) {
            return wrong(format!("say how many columns {idle} holds"));
        }
        if !(2..=MAX_HOLDERS).contains(&data.columns.len()) {
            let problem = format!("expected 2 to {MAX_HOLDERS} holders with columns, got {}", data.columns.len());
            return wrong(problem);
        }
        let sum = data
            .columns
            .values()
            .fold(0_usize, |sum, columns| sum.saturating_add(*columns));
        match data.shape == [sum] {
            true => Ok(()),
            false => Err((
                "data.shape",
                format!("expected [{sum}], the sum of data.columns, got {:?}", data.shape),
            )),
        }
    }

    fn check_layers(&self) -> Result<(), (&'static str, String)> {
        let cut = self.cut().map_err(|error| ("model", error.to_string()))?;
        cut.model.shapes().map_err(|error| ("model", error.to_string()))?;
        first_width(&cut).map_err(|error| ("model", error.to_string()))?;
        match cut.server.start == 1 && cut.server.end < cut.model.layers.len() {
            true => Ok(()),
            false => Err((
                "model.server_layers",
                format!(
                    "protocol vertical needs layers from 1 on at the server and at least one after them at the label holder, got {} to {}",
                    cut.server.start,
                    cut.server.end - 1
                ),
            )),
        }
    }

    fn check_work(&self) -> Result<(), (&'static str, String)> {
        let optimiser = &self.training.optimiser;
        let steps = optimiser.is_memoryless() || matches!(optimiser, OptimiserSpec::Sgld { .. });
        if !steps || optimiser.weight_decay() != 0.0 {
            let problem = "protocol vertical needs sgd without momentum and weight decay, or sgld without weight decay: the first layer's weights are shares \
                           that steps are added to";
            return Err(("training.optimiser", problem.into()));
        }
        if self.data.multi_label {
            return Err(("data.multi_label", "protocol vertical takes one class or value a row".into()));
        }
        match self.data.test_fraction > 0.0 {
            true => Ok(()),
            false => Err((
                "data.test_fraction",
                "expected above 0: the rows that all holders have are divided into training and test rows by their ids".into(),
            )),
        }
    }

    fn check_settings(&self) -> Result<(), (&'static str, String)> {
        let vertical = self.vertical.clone().unwrap_or_default();
        let dealer = self.of_role(Role::Dealer).next();
        match (vertical.first_layer, vertical.triples, dealer) {
            (FirstLayer::He | FirstLayer::Plain, Triples::Dealer, _) => {
                return Err(("vertical.triples", "only first_layer = \"shares\" needs triples".into()));
            }
            (_, Triples::Dealer, None) => {
                return Err(("vertical.triples", "\"dealer\" needs a party with role dealer".into()));
            }
            (_, Triples::He, Some(dealer)) => {
                let problem = format!("{dealer} is the dealer, which only triples = \"dealer\" needs");
                return Err(("vertical.triples", problem));
            }
            _ => (),
        }
        if !vertical.private_activation && !vertical.activation_circuit.is_usual() {
            let problem = "only private_activation = true evaluates a circuit";
            return Err(("vertical.activation_circuit", problem.into()));
        }
        if vertical.private_activation {
            let second = self.cut().ok().and_then(|cut| cut.model.layers.get(1).cloned());
            let problem = match (vertical.first_layer, second) {
                (FirstLayer::Plain, _) => "first_layer = \"plain\" protects nothing: leave it out",
                (_, Some(LayerSpec::Relu {})) => return self.check_words(&vertical),
                _ => "the layer after the first must be a relu, which the holders can evaluate on shares",
            };
            return Err(("vertical.private_activation", problem.into()));
        }
        self.check_words(&vertical)
    }

    fn check_words(&self, vertical: &Vertical) -> Result<(), (&'static str, String)> {
        match vertical.acknowledge.iter().find(|word| *word != Vertical::SPAN) {
            Some(unknown) => {
                let problem = format!("expected {:?}, got {unknown:?}", Vertical::SPAN);
                Err(("vertical.acknowledge", problem))
            }
            None => Ok(()),
        }
    }

    /// A row's outputs of the first layer, pass after pass, are linear in its columns: as many as there are columns (and the bias) span them all.
    fn check_span(&self) -> Result<(), (&'static str, String)> {
        let terms = self.vertical_terms().map_err(|error| ("vertical", error.to_string()))?;
        let (passes, features) = (terms.passes_until_span(), self.data.shape[0]);
        let accepted = self
            .vertical
            .iter()
            .any(|vertical| vertical.acknowledge.iter().any(|word| word == Vertical::SPAN));
        // Test rows are evaluated at most once an epoch.
        if accepted || self.training.epochs < passes {
            return Ok(());
        }
        let fewer = match passes {
            1 => "make the first layer narrower".to_owned(),
            _ => format!("train for at most {} epochs, make the first layer narrower", passes - 1),
        };
        let problem = format!(
            "after {passes} passes over the same rows the server has seen as many outputs of the first layer ({passes} x {}) as there are columns \
             ({features}): their span then holds every column, and a binary one (such as a sex or a diagnosis) can be recovered from it \
             without knowing a weight; {fewer}, or accept it with acknowledge = [{:?}]",
            terms.width,
            Vertical::SPAN
        );
        Err(("vertical.acknowledge", problem))
    }
}

/// Outputs of the first layer.
fn first_width(cut: &Cut) -> Result<usize, Error> {
    match cut.model.layers.first() {
        Some(LayerSpec::Dense { outputs, bias: true }) => Ok(*outputs),
        _ => Err(Error::configuration(
            "model.layers",
            "protocol vertical needs a dense first layer with a bias",
        )),
    }
}

impl Role {
    /// The name, as in the job file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Holder => "holder",
            Self::LabelHolder => "label-holder",
            Self::Dealer => "dealer",
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
        }
    }

    /// Whether the party has something to go on from and to finish: others only compute for them.
    pub(crate) fn keeps_state(self) -> bool {
        !matches!(self, Self::Dealer | Self::Coordinator | Self::Worker)
    }

    /// Whether the party brings data.
    pub(crate) fn has_rows(self) -> bool {
        matches!(self, Self::Client | Self::Holder | Self::LabelHolder)
    }
}

/// Columns of each holder.
pub(super) type ColumnCounts = BTreeMap<Party, usize>;

#[cfg(test)]
mod tests;
