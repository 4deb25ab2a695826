//! Declared messages and bytes of `vertical`: headers and payloads, without TLS.

use std::collections::BTreeMap;

use cloven_wire::{Header, Party, f32_array_len};

use super::{FirstLayer, Gradient, Terms};

/// What a party sends to all others together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Sent {
    fn words(&mut self, messages: usize, words: usize) {
        self.add(messages, 8 * words);
    }

    fn add(&mut self, messages: usize, bytes: usize) {
        self.messages += messages as u64;
        self.bytes += (messages * (Header::LEN + bytes)) as u64;
    }
}

/// One training batch of `rows` rows on shares with a dealer, or without protection, by party. `hidden` is the shape of a row of the hidden layers' output.
pub fn training_batch(terms: &Terms, rows: usize, hidden: &[usize]) -> BTreeMap<Party, Sent> {
    let mut sent = outputs(terms, rows, hidden);
    let holders = terms.columns.len();
    let output = rows * terms.width;
    let tensor = f32_array_len(&[rows, terms.width]);
    sent.entry(terms.label_holder.clone())
        .or_default()
        .add(1, row_len(rows, hidden));
    let server = sent.entry(terms.server.clone()).or_default();
    match (terms.first_layer, terms.gradient) {
        (FirstLayer::Plain, _) => server.add(holders, tensor),
        (_, Gradient::Open) => server.words(holders, output),
        (_, Gradient::Shared) => {
            server.words(1, output);
            server.add(holders - 1, 32);
        }
    }
    if let (true, Some(dealer)) = (terms.multiplies_each_batch(), &terms.dealer) {
        for holder in terms.columns.keys() {
            sent.entry(holder.clone()).or_default().words(holders - 1, output);
        }
        let columns: usize = terms.widths().iter().sum();
        for own in terms.widths() {
            sent.entry(dealer.clone())
                .or_default()
                .words(1, (columns - own) * terms.width);
        }
    }
    sent
}

/// One evaluation batch.
pub fn evaluation_batch(terms: &Terms, rows: usize, hidden: &[usize]) -> BTreeMap<Party, Sent> {
    outputs(terms, rows, hidden)
}

fn row_len(rows: usize, shape: &[usize]) -> usize {
    f32_array_len(&[&[rows], shape].concat())
}

fn outputs(terms: &Terms, rows: usize, hidden: &[usize]) -> BTreeMap<Party, Sent> {
    let mut sent: BTreeMap<Party, Sent> = BTreeMap::new();
    let (holders, output) = (terms.columns.len(), rows * terms.width);
    for (place, holder) in terms.columns.keys().enumerate() {
        let own = sent.entry(holder.clone()).or_default();
        match terms.first_layer {
            FirstLayer::Plain => own.add(1, f32_array_len(&[rows, terms.width])),
            _ => own.words(1, output),
        }
        if terms.multiplies_each_batch() && terms.dealer.is_some() {
            for (other, columns) in terms.widths().into_iter().enumerate() {
                if other != place {
                    own.words(1, columns * terms.width);
                }
            }
        }
    }
    sent.entry(terms.server.clone()).or_default().add(1, row_len(rows, hidden));
    if let (true, Some(dealer)) = (terms.multiplies_each_batch(), &terms.dealer) {
        sent.entry(dealer.clone()).or_default().words(holders, (holders - 1) * output);
    }
    sent
}
