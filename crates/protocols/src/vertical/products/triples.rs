//! Products on shares, by one-sided matrix triples ([`cloven_mpc::triples`]): from the dealer, or made by encryption between the two holders.
//!
//! A dealer's triples need a mask of the columns. Under encryption the columns' holder multiplies them itself, a random operand under the other's key by its
//! columns: its triples depend on its columns, and on no weights or gradients. So they are preprocessing too.

use cloven_mpc::{
    circuit::Party as Number,
    shares::Matrix,
    triples::{DataHalf, DataMask, MaskedData, OperandHalf, OperandMask, Product, Shape, TripleId, TripleSecret},
};
use cloven_wire::{Channel, Message};
use futures_util::future::try_join_all;
use zeroize::Zeroizing;

use super::{Crossed, Crossing, Direction, Encrypted, Step};
use crate::{
    ProtocolError,
    error::refused,
    vertical::{
        Terms,
        msg::{MaskedOperand, MaskedRows, Seed, TripleShares},
        peers::{Fellow, Peers},
    },
};

/// Words of masked rows in a message, unless a row has more.
const PIECE: usize = 1 << 18;
/// Numbers of batches' triples begin here; below are those of strips.
const BATCHES: u64 = 1 << 40;

pub(in crate::vertical) struct Triples {
    place: usize,
    widths: Vec<usize>,
    width: usize,
    secret: TripleSecret,
    source: Source,
}

/// Where c_i and c_j come from.
enum Source {
    Dealer(Box<Dealt>),
    /// A = X, which nobody else sees: no E.
    Encryption(Box<Encrypted>),
}

struct Dealt {
    half: [u8; 32],
    /// A.
    mask: DataMask,
    /// E of every fellow, in order.
    masked: Vec<Matrix>,
}

/// This holder's halves of the triples of a step: with its data, and with its operands.
type Halves = (Vec<DataHalf>, Vec<OperandHalf>);

impl Triples {
    /// Keys; or seeds, and the masked rows of all holders.
    pub(super) async fn begin<C: Channel>(
        place: usize,
        terms: &Terms,
        secret: &[u8; 32],
        x: &Matrix,
        rows: [usize; 2],
        peers: &mut Peers<'_, C>,
    ) -> Result<Self, ProtocolError> {
        let before = peers.traffic();
        let own = Zeroizing::new(blake3::derive_key("cloven v1 vertical: seed of triples", secret));
        let (secret, source) = match &mut peers.dealer {
            Some(dealer) => {
                dealer.send(0, &Seed(own.clone())).await?;
                let Seed(half) = dealer.receive(0, &()).await?;
                peers.count_prepared(before);
                let mut secret = TripleSecret::new(Number(place as u8), dealt_seed(terms, place, [&own, &half]));
                let mut mask = secret.data_mask(x.rows(), x.columns())?;
                let pieces = pieces(&mut mask, x)?;
                let masked = exchange_rows(peers, &pieces, x.rows(), &terms.widths()).await?;
                let half = *half;
                (secret, Source::Dealer(Box::new(Dealt { half, mask, masked })))
            }
            None => {
                let encrypted = Encrypted::begin(place, terms, secret, rows, peers).await?;
                peers.count_prepared(before);
                let secret = TripleSecret::new(Number(place as u8), own);
                (secret, Source::Encryption(Box::new(encrypted)))
            }
        };
        Ok(Self {
            place,
            width: terms.width,
            widths: terms.widths(),
            secret,
            source,
        })
    }

    pub(super) fn dealer_half(&self) -> [u8; 32] {
        match &self.source {
            Source::Dealer(dealt) => dealt.half,
            Source::Encryption(_) => [0; 32],
        }
    }

    /// As [`super::Products::forward`]. All but the forward products is preprocessing: triples, and the backward products, which depend on no gradient.
    pub(super) async fn multiply<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        step: Step,
        rows: &[usize],
        x: &Matrix,
        operands: &[&Matrix],
        share: Option<&Matrix>,
    ) -> Result<(Crossed, Option<Crossed>), ProtocolError> {
        let before = peers.traffic();
        let masks = self.operand_masks(peers, step, rows.len())?;
        let (halves, backward) = match &self.source {
            Source::Encryption(encrypted) => self.encrypted(encrypted, peers, step, x, masks, share).await?,
            Source::Dealer(_) => {
                let forward = self.dealt(peers, step, rows.len(), masks).await?;
                let backward = match share {
                    Some(share) => {
                        let step = Step::of_batch(Direction::Backward, step.round);
                        let masks = self.operand_masks(peers, step, rows.len())?;
                        let halves = self.dealt(peers, step, rows.len(), masks).await?;
                        let operands = vec![share; peers.fellows.len()];
                        Some(self.use_up(peers, step, rows, x, halves, &operands).await?)
                    }
                    None => None,
                };
                (forward, backward)
            }
        };
        peers.count_prepared(before);
        Ok((self.use_up(peers, step, rows, x, halves, operands).await?, backward))
    }

    /// This holder's masks of its operands of a step.
    fn operand_masks<C: Channel>(
        &mut self,
        peers: &Peers<'_, C>,
        step: Step,
        batch: usize,
    ) -> Result<Vec<OperandMask>, ProtocolError> {
        let mut masks = Vec::with_capacity(peers.fellows.len());
        for Fellow { place, .. } in &peers.fellows {
            masks.push(
                self.secret
                    .operand_mask(id(step, *place, self.place), self.shape(batch, *place))?,
            );
        }
        Ok(masks)
    }

    /// By encryption: triples for a forward step, and at the same time the products with the share of the gradient, which need none.
    async fn encrypted<C: Channel>(
        &self,
        encrypted: &Encrypted,
        peers: &mut Peers<'_, C>,
        step: Step,
        x: &Matrix,
        masks: Vec<OperandMask>,
        share: Option<&Matrix>,
    ) -> Result<(Halves, Option<Crossed>), ProtocolError> {
        let own = self.shape(x.rows(), self.place);
        let operands = masks.iter().map(OperandMask::matrix).collect();
        let of_share = share.map(|share| Crossing::of_share(step.round, share, masks.len()));
        let (Crossed { own: shares, theirs }, backward) =
            encrypted.cross(peers, x, Crossing { step, operands }, of_share).await?;
        let with_data = shares.into_iter().map(|c| DataHalf::new(product(step), own, c));
        let with_operands = masks.into_iter().zip(theirs).map(|(mask, c)| mask.with(c));
        let halves = (with_data.collect::<Result<_, _>>()?, with_operands.collect::<Result<_, _>>()?);
        Ok((halves, backward))
    }

    /// The dealer's triples for a step.
    async fn dealt<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        step: Step,
        batch: usize,
        masks: Vec<OperandMask>,
    ) -> Result<Halves, ProtocolError> {
        let Some(dealer) = &mut peers.dealer else {
            return Err(ProtocolError::Alignment("the dealer is not connected".into()));
        };
        let places: Vec<usize> = peers.fellows.iter().map(|fellow| fellow.place).collect();
        let lens = places.iter().map(|&place| result_len(step, self.shape(batch, place)));
        let lens: Vec<usize> = lens.collect();
        let TripleShares(bytes) = dealer.receive(step.round, &lens.iter().sum()).await?;
        let (mut rest, mut with_operands) = (&bytes[..], Vec::with_capacity(places.len()));
        for (mask, len) in masks.into_iter().zip(lens) {
            let (first, after) = rest.split_at(len);
            with_operands.push(mask.receive(first)?);
            rest = after;
        }
        let own = self.shape(batch, self.place);
        let with_data = places
            .iter()
            .map(|&place| self.secret.data_half(id(step, self.place, place), own));
        Ok((with_data.collect::<Result<_, _>>()?, with_operands))
    }

    /// Uses up the triples of a step.
    async fn use_up<C: Channel>(
        &self,
        peers: &mut Peers<'_, C>,
        step: Step,
        rows: &[usize],
        x: &Matrix,
        (halves, others): Halves,
        operands: &[&Matrix],
    ) -> Result<Crossed, ProtocolError> {
        let mask = match &self.source {
            Source::Dealer(dealt) => &dealt.mask.select(rows)?,
            Source::Encryption(_) => x,
        };
        let (mut theirs, mut messages) = (Vec::new(), Vec::new());
        for (index, (half, operand)) in others.into_iter().zip(operands).enumerate() {
            let (share, message) = match &self.source {
                Source::Dealer(dealt) => half.multiply(&dealt.masked[index].select(rows)?, operand)?,
                Source::Encryption(_) => half.hide(operand)?,
            };
            theirs.push(share);
            messages.push(MaskedOperand(message));
        }
        let operand_rows = match step.direction {
            Direction::Forward => self.widths[self.place],
            Direction::Backward => rows.len(),
        };
        let lens = vec![8 * operand_rows * self.width; operands.len()];
        let received = peers.exchange(step.round, messages, &lens).await?;
        let own = halves.into_iter().zip(&received).zip(&peers.fellows);
        let own = own.map(|((half, MaskedOperand(message)), fellow)| {
            let share = half.multiply(mask, message);
            share.map_err(|cause| refused(fellow.link.peer(), step.round, MaskedOperand::NAME, &cause))
        });
        let own = own.collect::<Result<_, _>>()?;
        Ok(Crossed { own, theirs })
    }

    fn shape(&self, batch: usize, place: usize) -> Shape {
        Shape {
            batch,
            columns: self.widths[place],
            width: self.width,
        }
    }
}

/// The seed of the holder at `place` and the dealer, from the holder's half and the dealer's.
pub(in crate::vertical) fn dealt_seed(terms: &Terms, place: usize, halves: [&[u8; 32]; 2]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key("cloven v1 vertical: seed of a holder and the dealer");
    hasher
        .update(&terms.job)
        .update(&[place as u8])
        .update(halves[0])
        .update(halves[1]);
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// The triple of a step for the columns of one holder and the operand of another.
pub(in crate::vertical) fn id(step: Step, data: usize, operand: usize) -> TripleId {
    TripleId {
        data: Number(data as u8),
        operand: Number(operand as u8),
        product: product(step),
        batch: if step.once { step.round } else { BATCHES + step.round },
    }
}

fn product(step: Step) -> Product {
    match step.direction {
        Direction::Forward => Product::Forward,
        Direction::Backward => Product::Gradient,
    }
}

fn result_len(step: Step, shape: Shape) -> usize {
    let rows = match step.direction {
        Direction::Forward => shape.batch,
        Direction::Backward => shape.columns,
    };
    8 * rows * shape.width
}

/// All rows, masked, in messages.
fn pieces(mask: &mut DataMask, x: &Matrix) -> Result<Vec<MaskedRows>, ProtocolError> {
    let rows: Vec<usize> = (0..x.rows()).collect();
    let pieces = rows
        .chunks(rows_of_piece(x.columns()))
        .map(|rows| Ok(MaskedRows(mask.hide(&x.select(rows)?)?)));
    pieces.collect()
}

/// Rows of each message of masked rows.
pub(in crate::vertical) fn piece_rows(rows: usize, columns: usize) -> impl Iterator<Item = usize> {
    crate::schedule::sizes(rows, rows_of_piece(columns))
}

fn rows_of_piece(columns: usize) -> usize {
    (PIECE / columns.max(1)).max(1)
}

/// This holder's masked rows for those of every fellow.
async fn exchange_rows<C: Channel>(
    peers: &mut Peers<'_, C>,
    pieces: &[MaskedRows],
    rows: usize,
    widths: &[usize],
) -> Result<Vec<Matrix>, ProtocolError> {
    let each = peers
        .fellows
        .iter_mut()
        .map(|fellow| fellow.exchange_rows(pieces, rows, widths[fellow.place]));
    try_join_all(each).await
}

impl<C: Channel> Fellow<'_, C> {
    /// This holder's masked rows for the fellow's, `[rows, columns]`.
    async fn exchange_rows(&mut self, pieces: &[MaskedRows], rows: usize, columns: usize) -> Result<Matrix, ProtocolError> {
        let mut masked = MaskedData::new(rows, columns)?;
        let mut sizes = piece_rows(rows, columns);
        let mut own = pieces.iter();
        for round in 0.. {
            let received = match (own.next(), sizes.next().map(|size| 8 * size * columns)) {
                (Some(piece), Some(len)) => self.link.exchange(round, piece, &len).await?,
                (None, Some(len)) => self.link.receive(round, &len).await?,
                (Some(piece), None) => {
                    self.link.send(round, piece).await?;
                    continue;
                }
                (None, None) => break,
            };
            let MaskedRows(piece) = received;
            masked
                .accept(&piece)
                .map_err(|cause| refused(self.link.peer(), round, MaskedRows::NAME, &cause))?;
        }
        Ok(masked.finish()?)
    }
}
