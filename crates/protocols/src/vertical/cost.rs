//! Declared messages and bytes of `vertical`: headers and payloads, without TLS; exact, in every form of the protocol.

use std::collections::BTreeMap;

use cloven_lattice::linear::ExactProduct;
use cloven_mpc::activation::MessageBytes;
use cloven_wire::{Header, Party, f32_array_len};

use super::{
    FirstLayer, Gradient, Terms,
    layer::{STRIP, relu, transfer_width},
    msg::{OutputShare, Positions},
    products::{Direction, exact_products, shape},
};
use crate::ProtocolError;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who sends it.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// Header and payload.
    pub bytes: u64,
    /// Whether it depends on random numbers only, or, where triples are made by encryption, on these and the columns: on no weights and no gradients.
    pub preprocessing: bool,
}

/// What the parties of a job send each other.
pub struct Cost<'a> {
    terms: &'a Terms,
    rows: [usize; 2],
    /// Shape of a row of the hidden layers' output.
    hidden: Vec<usize>,
    products: BTreeMap<[usize; 3], ExactProduct>,
}

impl<'a> Cost<'a> {
    /// Of a job with so many training and test rows; `hidden` is the shape of a row of the hidden layers' output.
    ///
    /// # Errors
    /// As when the training begins.
    pub fn new(terms: &'a Terms, rows: [usize; 2], hidden: &[usize]) -> Result<Self, ProtocolError> {
        Ok(Self {
            terms,
            rows,
            hidden: hidden.to_owned(),
            products: exact_products(terms, rows)?,
        })
    }

    /// Before the first batch: public keys, columns masked for a dealer's triples, and products that are computed once. Not the alignment, seeds, the base of
    /// oblivious transfers, and agreements on rows: some kB in all but the alignment.
    pub fn before(&self) -> Result<Vec<Frame>, ProtocolError> {
        let mut sent = Sent::default();
        let (terms, widths) = (self.terms, self.terms.widths());
        if let Some(product) = self.products.values().next() {
            let key = cloven_lattice::PublicKey::encoded_len(product.parameters());
            self.between(|from, to, _, _| sent.add(from, to, key, true));
        }
        if terms.first_layer == FirstLayer::Shares && terms.dealer.is_some() {
            let all = self.rows[0] + self.rows[1];
            self.between(|from, to, own, _| {
                for rows in super::products::piece_rows(all, widths[own]) {
                    sent.add(from, to, 8 * rows * widths[own], false);
                }
            });
        }
        if terms.first_layer != FirstLayer::Plain && terms.gradient == Gradient::Open {
            for rows in crate::schedule::sizes(self.rows[0] + self.rows[1], STRIP) {
                self.prepared(&mut sent, false, rows)?;
                self.product(&mut sent, false, rows)?;
            }
        }
        Ok(sent.0)
    }

    /// One training batch of `rows` rows.
    ///
    /// # Errors
    /// For a batch that the job has not.
    pub fn training_batch(&self, rows: usize) -> Result<Vec<Frame>, ProtocolError> {
        let terms = self.terms;
        let mut sent = self.outputs(true, rows)?;
        sent.add(&terms.label_holder, &terms.server, self.hidden_len(rows), false);
        if let Some(coordinator) = &terms.coordinator {
            sent.add(&terms.server, coordinator, Positions::OF_ONE, false);
        }
        let (words, tensor) = (8 * rows * terms.width, f32_array_len(&[rows, terms.width]));
        let delta = match terms.first_layer {
            FirstLayer::Plain => tensor,
            _ => words,
        };
        for holder in terms.columns.keys() {
            sent.add(&terms.server, holder, delta, false);
        }
        Ok(sent.0)
    }

    /// One evaluation batch.
    ///
    /// # Errors
    /// As of a training batch.
    pub fn evaluation_batch(&self, rows: usize) -> Result<Vec<Frame>, ProtocolError> {
        Ok(self.outputs(false, rows)?.0)
    }

    /// Messages of a training batch that wait for each other, one way after the other.
    ///
    /// # Errors
    /// As of a training batch.
    pub fn one_way_messages(&self, rows: usize) -> Result<usize, ProtocolError> {
        let terms = self.terms;
        let products = match (terms.first_layer, &terms.dealer) {
            _ if !terms.multiplies_each_batch() => 0,
            (FirstLayer::Plain, _) => 0,
            // Dealt shares come ahead.
            (FirstLayer::Shares, Some(_)) => 2,
            // Those of both directions go together.
            (FirstLayer::HomomorphicEncryption, _) => 2,
            // The triples and the backward products are made together.
            (FirstLayer::Shares, None) => 3,
        };
        let activation = match self.activation(rows)? {
            Some(MessageBytes { prepared, opened }) => prepared.len() + opened.len(),
            None => 0,
        };
        // h1, the hidden output, the gradient back, delta.
        Ok(4 + products + activation)
    }

    /// Bytes of rows, masks and encrypted or masked columns that a holder of columns keeps in memory; a part of what its process takes.
    pub fn held_bytes(&self, holder: &Party) -> u64 {
        let Some(place) = self.terms.place(holder) else { return 0 };
        let (rows, widths) = ((self.rows[0] + self.rows[1]) as u64, self.terms.widths());
        let all: usize = widths.iter().sum();
        let words = match (self.terms.first_layer, &self.terms.dealer) {
            (FirstLayer::Plain, _) => return 4 * rows * widths[place] as u64,
            // The columns, their mask, and the others' masked ones.
            (FirstLayer::Shares, Some(_)) => all + widths[place],
            (FirstLayer::HomomorphicEncryption, _) | (FirstLayer::Shares, None) => widths[place],
        };
        let constant = match self.terms.gradient {
            Gradient::Open => self.terms.width,
            Gradient::Shared => 0,
        };
        8 * rows * (words + constant) as u64
    }

    /// The products of a batch, the activation, outputs and hidden outputs.
    fn outputs(&self, training: bool, rows: usize) -> Result<Sent, ProtocolError> {
        let terms = self.terms;
        let mut sent = Sent::default();
        if terms.multiplies_each_batch() {
            self.prepared(&mut sent, training, rows)?;
            self.product(&mut sent, training, rows)?;
        }
        let activation = self.activation(rows)?;
        if let Some(MessageBytes { prepared, opened }) = &activation {
            self.between(|from, to, _, _| {
                prepared.iter().for_each(|bytes| sent.add(from, to, *bytes, true));
                opened.iter().for_each(|bytes| sent.add(from, to, *bytes, false));
            });
        }
        let share = match (terms.first_layer, activation) {
            (FirstLayer::Plain, _) => f32_array_len(&[rows, terms.width]),
            (_, Some(_)) => relu(terms.columns.len(), terms.activation_circuit)?.reveal_bytes(rows * terms.width)?,
            (_, None) => OutputShare::len(rows, terms.width),
        };
        for holder in terms.columns.keys() {
            sent.add(holder, &terms.server, share, false);
        }
        sent.add(&terms.server, &terms.label_holder, self.hidden_len(rows), false);
        Ok(sent)
    }

    fn activation(&self, rows: usize) -> Result<Option<MessageBytes>, ProtocolError> {
        if !self.terms.private_activation {
            return Ok(None);
        }
        let relu = relu(self.terms.columns.len(), self.terms.activation_circuit)?;
        Ok(Some(relu.message_bytes(rows * self.terms.width, transfer_width()?)?))
    }

    /// With triples, these for the forward products of every two holders, and in a training batch the backward products.
    fn prepared(&self, sent: &mut Sent, training: bool, rows: usize) -> Result<(), ProtocolError> {
        let (terms, widths) = (self.terms, self.terms.widths());
        if terms.first_layer != FirstLayer::Shares {
            return Ok(());
        }
        let directions = directions(training);
        let Some(dealer) = &terms.dealer else {
            return self.encrypted(sent, directions, rows, true);
        };
        for direction in directions {
            let result = |place: usize| match direction {
                Direction::Forward => rows,
                Direction::Backward => widths[place],
            };
            // To each the results of its operands' masks, for the columns of all others, in one message.
            for (place, holder) in terms.columns.keys().enumerate() {
                let others = (0..widths.len()).filter(|other| *other != place);
                sent.add(
                    dealer,
                    holder,
                    others.map(|other| 8 * result(other) * terms.width).sum(),
                    true,
                );
            }
        }
        if directions.contains(&Direction::Backward) {
            // Shares of gradients, which are random, under masks of the triples.
            self.between(|from, to, _, _| sent.add(from, to, 8 * rows * terms.width, true));
        }
        Ok(())
    }

    /// What depends on weights: the forward products of every two holders; without triples also the backward ones, which go with them.
    fn product(&self, sent: &mut Sent, training: bool, rows: usize) -> Result<(), ProtocolError> {
        let (terms, widths) = (self.terms, self.terms.widths());
        match terms.first_layer {
            FirstLayer::Plain => Ok(()),
            FirstLayer::HomomorphicEncryption => self.encrypted(sent, directions(training), rows, false),
            FirstLayer::Shares => {
                self.between(|from, to, _, other| sent.add(from, to, 8 * widths[other] * terms.width, false));
                Ok(())
            }
        }
    }

    /// Encrypted products of these directions of every two holders: the operands in one message, and the answers.
    fn encrypted(
        &self,
        sent: &mut Sent,
        directions: &[Direction],
        rows: usize,
        preprocessing: bool,
    ) -> Result<(), ProtocolError> {
        let (terms, widths) = (self.terms, self.terms.widths());
        let mut lens = vec![[0, 0]; widths.len()];
        for (place, len) in lens.iter_mut().enumerate() {
            for &direction in directions {
                let shape = shape(direction, rows, widths[place], terms.width);
                let known = self.products.get(&shape);
                let product = known
                    .ok_or_else(|| ProtocolError::Alignment(format!("no product of the shape {shape:?} belongs to the job")))?;
                *len = [len[0] + product.upload_len(), len[1] + product.response_len()];
            }
        }
        self.between(|from, to, own, other| {
            // The operands for the other's columns, and the answer to the other's operands for the own ones.
            sent.add(from, to, lens[other][0], preprocessing);
            sent.add(from, to, lens[own][1], preprocessing);
        });
        Ok(())
    }

    /// Every two holders of columns, each way, with their places.
    fn between(&self, mut each: impl FnMut(&Party, &Party, usize, usize)) {
        for (own, from) in self.terms.columns.keys().enumerate() {
            for (other, to) in self.terms.columns.keys().enumerate().filter(|(other, _)| *other != own) {
                each(from, to, own, other);
            }
        }
    }

    fn hidden_len(&self, rows: usize) -> usize {
        f32_array_len(&[&[rows], &self.hidden[..]].concat())
    }
}

/// The directions of a batch's products.
fn directions(training: bool) -> &'static [Direction] {
    match training {
        true => &[Direction::Forward, Direction::Backward],
        false => &[Direction::Forward],
    }
}

#[derive(Default)]
struct Sent(Vec<Frame>);

impl Sent {
    /// Nobody sends to itself.
    fn add(&mut self, from: &Party, to: &Party, payload: usize, preprocessing: bool) {
        self.0.push(Frame {
            from: from.clone(),
            to: to.clone(),
            bytes: (Header::LEN + payload) as u64,
            preprocessing,
        });
    }
}

/// Sizes of a schedule's batches, and how many there are of each.
pub fn counted(sizes: impl Iterator<Item = usize>) -> BTreeMap<usize, u64> {
    let mut counts = BTreeMap::new();
    sizes.for_each(|size| *counts.entry(size).or_insert(0) += 1);
    counts
}
