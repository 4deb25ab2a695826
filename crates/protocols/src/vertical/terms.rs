//! What every party knows of a job, and what each learns by it.

use std::collections::{BTreeMap, BTreeSet};

use cloven_nn::OptimiserSpec;
use cloven_wire::{Channel, Link, Party, WireError};
use ndarray::{Array2, Axis, concatenate};

use super::Columns;
use crate::{Leak, ProtocolError, Schedule, Shuffle};

/// Bits after the point.
pub mod scales {
    /// Of the columns.
    pub const COLUMNS: u32 = 12;
    /// Of the first layer's weights.
    pub const WEIGHTS: u32 = 42;
    /// Of its output.
    pub const OUTPUT: u32 = COLUMNS + WEIGHTS;
    /// Of the gradient at its output, times the learning rate.
    pub const GRADIENT: u32 = WEIGHTS - COLUMNS;
    /// The lowest bits of each holder's share of the output are fresh noise: h1 in full would be an exact combination of integers, in which lattice reduction
    /// finds the columns of a few dozen rows long before their span does. An error of up to 2^-13 of each holder's, as of columns rounded to 2^-12.
    pub const OUTPUT_NOISE: u32 = OUTPUT - 12;
    /// Columns' numbers must be below this; standardised ones are.
    pub const COLUMN_BOUND: f32 = 256.0;
    /// The first layer's outputs must be below this: half of what the words can hold, since a wrap would be silent.
    pub const OUTPUT_BOUND: f64 = 256.0;
}

/// What a holder learns by the alignment.
const IDS: &str = "which of its ids all holders have, and how many distinct ids each of them has";

/// How the products between two holders are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLayer {
    /// Each holder alone, with weights of its own and no protection at all: for comparison.
    Plain,
    /// On shares, with matrix triples: from the dealer where there is one, else from encryption between the two.
    Shares,
    /// On encrypted shares of the weights.
    HomomorphicEncryption,
}

/// How the gradient at the first layer's output gets to the holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// As shares.
    Shared,
    /// As it is, to every holder; the paper's.
    Open,
}

/// The circuit by which holders evaluate the ReLU on shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActivationCircuit {
    /// As few ANDs as there can be, one after the other: a round for each bit, fewest bytes.
    #[default]
    FewAnds,
    /// Few rounds for several times the ANDs: for links with long round trips.
    LowDepth,
}

/// What every party knows of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Who holds columns, and how many.
    pub columns: BTreeMap<Party, usize>,
    /// Who has the labels: one of them, or a further party.
    pub label_holder: Party,
    /// Who has the hidden layers.
    pub server: Party,
    /// Who decides where to begin and when an epoch is settled; without, the server does.
    pub coordinator: Option<Party>,
    /// Who makes triples; without, the holders do.
    pub dealer: Option<Party>,
    /// Outputs of the first layer.
    pub width: usize,
    /// How products between holders are computed.
    pub first_layer: FirstLayer,
    /// Whether the holders evaluate the ReLU after the first layer, so that the server does not see its input.
    pub private_activation: bool,
    /// By which circuit.
    pub activation_circuit: ActivationCircuit,
    /// How the gradient gets to the holders.
    pub gradient: Gradient,
    /// Initial weights that everybody knows, `[columns of all + 1, width]`, the bias last: for comparisons. Else nobody knows them.
    pub public_weights: Option<Array2<f32>>,
    /// The amount of work.
    pub schedule: Schedule,
    /// The order of the training rows.
    pub shuffle: Shuffle,
    /// The optimiser of all layers: SGD without momentum or weight decay, since a step on shares is an addition; or SGLD, whose noise each holder
    /// adds a part of.
    pub optimiser: OptimiserSpec,
    /// The job's digest.
    pub job: [u8; 32],
}

impl Terms {
    /// Everybody who has rows, in the order of names.
    pub fn holders(&self) -> impl Iterator<Item = &Party> {
        let all: BTreeSet<&Party> = self.columns.keys().chain([&self.label_holder]).collect();
        all.into_iter()
    }

    /// Who decides where to begin and when an epoch is settled.
    pub(super) fn scheduler(&self) -> &Party {
        self.coordinator.as_ref().unwrap_or(&self.server)
    }

    /// The place of a party among the holders of columns.
    pub(super) fn place(&self, party: &Party) -> Option<usize> {
        self.columns.keys().position(|holder| holder == party)
    }

    /// What the gradient of update `update` (from 1) is multiplied by: SGLD's steps are half of its rate.
    pub(super) fn rate(&self, update: u64) -> f64 {
        let rate = self.optimiser.rate(update);
        match self.optimiser {
            OptimiserSpec::Sgld { .. } => rate / 2.0,
            _ => rate,
        }
    }

    /// The deviation of the noise that one holder adds to each weight that it changes: the noise of all who change it adds up to the optimiser's.
    pub(super) fn noise_deviation(&self, update: u64) -> f64 {
        let who = match self.multiplies_each_batch() {
            true => self.columns.len() as f64,
            false => 1.0,
        };
        self.optimiser.noise_deviation(update) / who.sqrt()
    }

    /// Whether holders multiply with each other in every batch: on shares, unless all but the own weights stay as they are.
    pub(super) fn multiplies_each_batch(&self) -> bool {
        self.first_layer != FirstLayer::Plain && self.gradient == Gradient::Shared
    }

    /// The columns of each holder in order.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.columns.values().copied().collect()
    }

    /// A holder's rows, training before test.
    ///
    /// # Errors
    /// [`ProtocolError::Alignment`] for another number of columns than the job says.
    pub(super) fn rows_of(&self, place: usize, columns: &Columns) -> Result<Array2<f32>, ProtocolError> {
        let expected = self.columns.values().nth(place).copied().unwrap_or_default();
        let actual = [columns.train.ncols(), columns.test.ncols()];
        if actual != [expected; 2] {
            let why = format!(
                "expected {expected} columns, got {} of training and {} of test rows",
                actual[0], actual[1]
            );
            return Err(ProtocolError::Alignment(why));
        }
        Ok(concatenate(Axis(0), &[columns.train.view(), columns.test.view()]).expect("as many columns"))
    }

    /// The link to a party.
    pub(super) fn link_to<'a, C: Channel>(
        &self,
        party: &Party,
        links: &'a mut [Link<C>],
    ) -> Result<&'a mut Link<C>, ProtocolError> {
        let found = links.iter_mut().find(|link| link.peer() == party);
        found.ok_or_else(|| {
            ProtocolError::Wire(WireError::Local {
                what: format!("taking part with {party}"),
                cause: "it is not connected".into(),
            })
        })
    }

    /// Columns of all holders.
    pub fn features(&self) -> usize {
        self.columns.values().sum()
    }

    /// After so many passes over the same rows the server has as many numbers of each row as there are columns: then a binary column can be found
    /// by linear algebra.
    pub fn passes_until_span(&self) -> u32 {
        self.features().div_ceil(self.width) as u32
    }

    /// What each holder learns by finding the rows that all have.
    pub fn alignment_leaks(&self) -> Vec<Leak> {
        self.holders().map(|holder| Leak::new(holder.as_str(), IDS)).collect()
    }

    /// What each party learns.
    pub fn leaks(&self) -> Vec<Leak> {
        let server = self.server.as_str();
        let mut leaks = vec![
            Leak::new(server, self.output_leak()),
            Leak::new(server, &self.span_leak()),
            Leak::new(
                server,
                "the gradient at its own output of every training row, which can tell the row's label",
            ),
            Leak::new(server, "the number of common rows"),
        ];
        for holder in self.holders() {
            leaks.push(Leak::new(holder.as_str(), IDS));
            if self.shows_gradient() && self.columns.contains_key(holder) {
                leaks.push(Leak::new(
                    holder.as_str(),
                    "the gradient of every training row at the first layer's output, which in effect tells its label; with it the weights of its own \
                     columns up to their initial values",
                ));
            }
        }
        leaks.push(Leak::new(
            self.label_holder.as_str(),
            "the hidden layers' output of every row",
        ));
        if let Some(coordinator) = &self.coordinator {
            leaks.push(Leak::new(
                coordinator.as_str(),
                "the number of common rows, how far everybody is, and when",
            ));
        }
        if let Some(dealer) = &self.dealer {
            leaks.push(Leak::new(
                dealer.as_str(),
                "the numbers of rows and columns; together with any holder of columns that shows it what it sees, the others' columns, and the gradient of every \
                 training row at the first layer's output, which in effect tells its label",
            ));
        }
        leaks
    }

    /// Whether holders get the gradient as it is.
    fn shows_gradient(&self) -> bool {
        self.gradient == Gradient::Open || self.first_layer == FirstLayer::Plain
    }

    fn output_leak(&self) -> &'static str {
        match self.private_activation {
            _ if self.first_layer == FirstLayer::Plain => {
                "each holder's own part of the first layer's output of every training and test row, in every epoch, unprotected: a part made of few \
                 columns gives them away; no labels"
            }
            false => {
                "the first layer's output of every training and test row, in every epoch; no labels, no columns, no weights of that layer"
            }
            true => {
                "relu of the first layer's output of every training and test row, in every epoch: of what is negative, only that it is; no labels, no \
                 columns, no weights of that layer"
            }
        }
    }

    /// The same in a prediction.
    pub(super) fn prediction_leak(&self) -> &'static str {
        match (self.first_layer, self.private_activation) {
            (FirstLayer::Plain, _) => {
                "each holder's own part of the first layer's output of every row, unprotected, and how many rows there are"
            }
            (_, true) => "relu of the first layer's output of every row, and how many rows there are; no columns, no predictions",
            (_, false) => "the first layer's output of every row, and how many rows there are; no columns, no predictions",
        }
    }

    fn span_leak(&self) -> String {
        let (passes, epochs) = (self.passes_until_span(), self.schedule.epochs);
        let reached = match epochs >= passes {
            true => format!("this job makes {epochs}"),
            false => format!("this job makes {epochs}, which is fewer"),
        };
        format!(
            "from {passes} passes over the same rows on (columns / width), enough to find a binary column by linear algebra; {reached}"
        )
    }
}
