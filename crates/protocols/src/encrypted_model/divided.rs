//! An encrypted layer that helpers of the server hold, each some blocks of inputs: Enc(W) never is in one place, but for checkpoints.
//!
//! A batch's products are the sums of what all parts add to them, which the server adds up and compresses ([`WeightProduct::respond_to_sums`]); an update
//! goes to all parts. The server keeps what a helper was given and the updates since, so that a part that is lost can be made again. When the updates have become
//! as long as the part, the helper's part as it stands takes the place of both.

use std::{ops::Range, sync::Arc};

use cloven_lattice::{
    LatticeError,
    linear::{EncodedRows, EncryptedWeights, WeightProduct},
};
use futures_util::future::try_join_all;

use super::{
    layer::{LayerEncryption, PART},
    server::nothing_held,
};
use crate::{
    ProtocolError,
    helpers::{Helpers, LayerForm, Request, Station},
};

/// The server's side.
pub(super) struct DividedWeights<'h> {
    encryption: LayerEncryption,
    /// Has the keys for merging, and no block.
    merging: EncryptedWeights,
    /// Of all updates so far.
    energy: f64,
    parts: Vec<Part<'h>>,
}

/// Some blocks of inputs, and how a helper comes to have them.
struct Part<'h> {
    station: Station<'h>,
    blocks: Range<usize>,
    /// The same of a row of samples.
    columns: Range<usize>,
    given: Given,
    /// Since then.
    updates: Vec<Update>,
}

/// What a helper was given, in order.
enum Given {
    Fresh(Vec<Vec<u8>>),
    Held(Vec<Vec<u8>>),
}

struct Update {
    /// Of the part's columns.
    rows: Vec<i16>,
    delta: Arc<[u8]>,
}

impl<'h> DividedWeights<'h> {
    /// Of which no block has come yet; `merge_keys` are valid.
    pub(super) fn new(encryption: &LayerEncryption, merge_keys: &[u8], helpers: &'h dyn Helpers) -> Result<Self, LatticeError> {
        let mut merging = EncryptedWeights::empty();
        encryption.give_merge_keys(&mut merging, merge_keys)?;
        let product = encryption.product();
        let (all, count) = (product.input_blocks(), helpers.count().min(product.input_blocks()));
        let part = |of: usize| {
            let blocks = of * all / count..(of + 1) * all / count;
            let each = product.block_inputs();
            Part {
                station: Station::new(helpers, of),
                columns: blocks.start * each..encryption.width().min(blocks.end * each),
                blocks,
                given: Given::Fresh(Vec::new()),
                updates: Vec::new(),
            }
        };
        Ok(Self {
            parts: (0..count).map(part).collect(),
            encryption: encryption.clone(),
            merging,
            energy: 0.0,
        })
    }

    /// Takes the next blocks of inputs, freshly encrypted. Every residue is checked.
    pub(super) fn receive(&mut self, blocks: Range<usize>, fresh: &[u8]) -> Result<(), LatticeError> {
        let product = self.encryption.product();
        product.check_weights_parts(fresh, blocks.len())?;
        let len = product.weights_part_len();
        self.give(blocks, fresh, len);
        Ok(())
    }

    /// Takes all blocks as [`DividedWeights::hold_all`] gave them. Every residue is checked.
    pub(super) fn restore(&mut self, held: &[u8]) -> Result<(), LatticeError> {
        let product = self.encryption.product();
        let (all, len) = (product.input_blocks(), product.encoded_part_len());
        product.check_encoded_parts(held, all)?;
        let energy = WeightProduct::energy_of_part(held)?;
        for part in held.chunks(len) {
            let actual = WeightProduct::energy_of_part(part)?;
            if !(actual >= 0.0 && actual == energy) {
                return Err(LatticeError::Energy {
                    expected: energy,
                    actual,
                });
            }
        }
        self.parts.iter_mut().for_each(|part| part.given = Given::Held(Vec::new()));
        let each = (8 * PART / len).max(1);
        for first in (0..all).step_by(each) {
            let blocks = first..all.min(first + each);
            let bytes = &held[blocks.start * len..blocks.end * len];
            self.give(blocks, bytes, len);
        }
        self.energy = energy;
        Ok(())
    }

    /// Appends to parts what is theirs of these blocks, `len` bytes each.
    fn give(&mut self, blocks: Range<usize>, bytes: &[u8], len: usize) {
        for part in &mut self.parts {
            let (start, end) = (blocks.start.max(part.blocks.start), blocks.end.min(part.blocks.end));
            if start < end {
                let mine = &bytes[(start - blocks.start) * len..(end - blocks.start) * len];
                part.given.chunks().push(mine.to_vec());
            }
        }
    }

    /// Enc(x W) of whole rows ([`LayerEncryption::widened`]).
    pub(super) async fn forward(&mut self, rows: &[i16]) -> Result<Vec<u8>, ProtocolError> {
        let (encryption, width) = (&self.encryption, self.encryption.width());
        let count = rows.len() / width;
        let sums = self.parts.iter_mut().map(async |part| {
            let rows = part.of(rows, width);
            part.ask(encryption, &Request::Sums { rows: &rows }).await
        });
        let sums = try_join_all(sums).await?;
        let sums: Vec<&[u8]> = sums.iter().map(Vec::as_slice).collect();
        Ok(encryption.product().respond_to_sums(&sums, count, &self.merging)?)
    }

    /// W <- W + x^T delta; nothing changes if `delta` is no ciphertext.
    pub(super) async fn update(&mut self, rows: &[i16], delta: &[u8]) -> Result<(), ProtocolError> {
        let (encryption, width) = (&self.encryption, self.encryption.width());
        encryption.product().check_delta(delta, rows.len() / width)?;
        let energy = encryption.product().energy(&encryption.floats(rows))?;
        let delta: Arc<[u8]> = delta.into();
        let updates = self
            .parts
            .iter_mut()
            .map(|part| part.update(encryption, part.of(rows, width), delta.clone()));
        try_join_all(updates).await?;
        self.energy += energy;
        Ok(())
    }

    /// These blocks of inputs of Enc(W) as they stand.
    pub(super) async fn hold(&mut self, blocks: Range<usize>) -> Result<Vec<u8>, ProtocolError> {
        let encryption = &self.encryption;
        let held = self.parts.iter_mut().map(async |part| {
            let (start, end) = (blocks.start.max(part.blocks.start), blocks.end.min(part.blocks.end));
            match start < end {
                true => {
                    part.hold(encryption, start - part.blocks.start..end - part.blocks.start)
                        .await
                }
                false => Ok(Vec::new()),
            }
        });
        let mut held = try_join_all(held).await?.concat();
        for part in held.chunks_mut(encryption.product().encoded_part_len()) {
            WeightProduct::set_energy_of_part(part, self.energy)?;
        }
        Ok(held)
    }

    /// Enc(W) as it stands; it takes the place of what helpers were given and of the updates since.
    pub(super) async fn hold_all(&mut self) -> Result<Vec<u8>, ProtocolError> {
        let encryption = &self.encryption;
        try_join_all(self.parts.iter_mut().map(|part| part.renew(encryption))).await?;
        let len = encryption.product().encoded_part_len();
        let mut held: Vec<u8> = self.parts.iter_mut().flat_map(|part| part.given.chunks().concat()).collect();
        for part in held.chunks_mut(len) {
            WeightProduct::set_energy_of_part(part, self.energy)?;
        }
        Ok(held)
    }
}

impl Part<'_> {
    /// This part's columns of whole rows.
    fn of(&self, rows: &[i16], width: usize) -> Vec<i16> {
        rows.chunks(width)
            .flat_map(|row| &row[self.columns.clone()])
            .copied()
            .collect()
    }

    async fn ask(&mut self, encryption: &LayerEncryption, request: &Request<'_>) -> Result<Vec<u8>, ProtocolError> {
        let (form, blocks) = (encryption.form(), self.blocks.clone());
        let given = |chunk| match &self.given {
            Given::Fresh(_) => Request::Fresh(chunk),
            Given::Held(_) => Request::Held(chunk),
        };
        let (Given::Fresh(chunks) | Given::Held(chunks)) = &self.given;
        let mut before = vec![Request::Layer { form, blocks }];
        before.extend(chunks.iter().map(|chunk| given(chunk)));
        before.extend(
            self.updates
                .iter()
                .map(|Update { rows, delta }| Request::Update { rows, delta }),
        );
        self.station.ask(&before, request).await
    }

    async fn update(&mut self, encryption: &LayerEncryption, rows: Vec<i16>, delta: Arc<[u8]>) -> Result<(), ProtocolError> {
        let request = Request::Update {
            rows: &rows,
            delta: &delta,
        };
        self.ask(encryption, &request).await?;
        self.updates.push(Update { rows, delta });
        let updates: usize = self
            .updates
            .iter()
            .map(|update| 2 * update.rows.len() + update.delta.len())
            .sum();
        match updates > self.blocks.len() * encryption.product().encoded_part_len() {
            true => self.renew(encryption).await,
            false => Ok(()),
        }
    }

    /// Blocks of this part, counted from its first.
    async fn hold(&mut self, encryption: &LayerEncryption, blocks: Range<usize>) -> Result<Vec<u8>, ProtocolError> {
        let len = blocks.len() * encryption.product().encoded_part_len();
        let held = self.ask(encryption, &Request::Blocks(blocks)).await?;
        match held.len() == len {
            true => Ok(held),
            false => Err(nothing_held()),
        }
    }

    /// Keeps the part as it stands instead of what it was made of.
    async fn renew(&mut self, encryption: &LayerEncryption) -> Result<(), ProtocolError> {
        let (all, each) = (self.blocks.len(), (8 * PART / encryption.product().encoded_part_len()).max(1));
        let mut held = Vec::new();
        for first in (0..all).step_by(each) {
            held.push(self.hold(encryption, first..all.min(first + each)).await?);
        }
        (self.given, self.updates) = (Given::Held(held), Vec::new());
        Ok(())
    }
}

impl Given {
    fn chunks(&mut self) -> &mut Vec<Vec<u8>> {
        let (Self::Fresh(chunks) | Self::Held(chunks)) = self;
        chunks
    }
}

/// A helper's side: some blocks of inputs of Enc(W).
pub(crate) struct LayerPart {
    encryption: LayerEncryption,
    product: WeightProduct,
    weights: EncryptedWeights,
    /// The last rows, ready for products: the same are for an update next.
    last: Option<(Vec<i16>, EncodedRows)>,
}

impl LayerPart {
    /// Of which nothing has come yet.
    pub(crate) fn new(form: LayerForm, blocks: Range<usize>) -> Result<Self, LatticeError> {
        let encryption = LayerEncryption::of_form(form)?;
        Ok(Self {
            product: encryption.product().part(blocks)?,
            encryption,
            weights: EncryptedWeights::empty(),
            last: None,
        })
    }

    /// Does what is asked for of a layer.
    pub(crate) fn answer(&mut self, request: Request<'_>) -> Result<Vec<u8>, ProtocolError> {
        match request {
            Request::Fresh(bytes) => {
                let mut parts = bytes.chunks(self.product.weights_part_len());
                parts.try_for_each(|part| self.product.receive_weights_part(&mut self.weights, part))?;
                Ok(Vec::new())
            }
            Request::Held(bytes) => {
                let mut parts = bytes.chunks(self.product.encoded_part_len());
                parts.try_for_each(|part| self.product.decode_weights_part(&mut self.weights, part))?;
                Ok(Vec::new())
            }
            Request::Sums { rows } => {
                let x = self.encoded(rows)?;
                let sums = self.product.sums(&self.weights, &x)?;
                self.last = Some((rows.to_vec(), x));
                Ok(sums)
            }
            Request::Update { rows, delta } => {
                let x = self.encoded(rows)?;
                self.product.update(&mut self.weights, &x, delta)?;
                Ok(Vec::new())
            }
            Request::Blocks(mut blocks) => blocks.try_fold(Vec::new(), |mut held, q| {
                held.extend(self.product.encode_weights_part(&self.weights, q)?);
                Ok(held)
            }),
            other => Err(ProtocolError::Structure(format!("{other:?} is not for a layer's blocks"))),
        }
    }

    fn encoded(&mut self, rows: &[i16]) -> Result<EncodedRows, LatticeError> {
        match self.last.take() {
            Some((last, encoded)) if last == rows => Ok(encoded),
            _ => self.product.encode_rows(&self.encryption.floats(rows)),
        }
    }
}
