//! Products by homomorphic encryption: the operand goes encrypted under its holder's key, the other multiplies by its columns in the clear, masks, re-randomises,
//! floods, and returns the holder's share ([`ExactProduct`]).

use std::collections::{BTreeMap, BTreeSet};

use cloven_lattice::{
    Parameters, PublicKey, RandomnessKey, SecretKey,
    linear::{ExactPlaintext, ExactProduct, Masking},
};
use cloven_mpc::shares::Matrix;
use cloven_wire::{Channel, Message};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{Crossed, Crossing, Direction, Step, shape};
use crate::{
    ProtocolError,
    error::malformed,
    vertical::{
        FirstLayer, Gradient, Terms,
        layer::STRIP,
        msg::{EncryptedOperand, EncryptedProduct, ReceiverKey},
        peers::{Fellow, Peers},
        scales,
    },
};

/// Bits of columns, the sign included.
const COLUMN_BITS: u32 = scales::COLUMNS + 9;

pub(in crate::vertical) struct Encrypted {
    place: usize,
    widths: Vec<usize>,
    width: usize,
    products: BTreeMap<[usize; 3], ExactProduct>,
    secret: SecretKey,
    encryption: RandomnessKey,
    masks: RandomnessKey,
    /// Of the fellows, in order.
    keys: Vec<PublicKey>,
}

impl Encrypted {
    /// Sends this holder's public key to all fellows and takes theirs. `rows` are training and test rows.
    pub(in crate::vertical) async fn begin<C: Channel>(
        place: usize,
        terms: &Terms,
        secret: &[u8; 32],
        rows: [usize; 2],
        peers: &mut Peers<'_, C>,
    ) -> Result<Self, ProtocolError> {
        let shapes: Vec<[usize; 3]> = shapes(terms, rows).into_iter().collect();
        let all = ExactProduct::for_shapes(&shapes, COLUMN_BITS, revealed(terms, rows))?;
        let parameters = all.first().map(|product| product.parameters().clone());
        let Some(parameters) = parameters else {
            return Err(ProtocolError::Alignment("no product to compute".into()));
        };
        let derive = |purpose| Zeroizing::new(blake3::derive_key(purpose, secret));
        let mut rng = ChaCha20Rng::from_seed(*derive("cloven v1 vertical: secret key for products"));
        let masks = RandomnessKey::new(*derive("cloven v1 vertical: masks of products"));
        let encryption = RandomnessKey::new(*derive("cloven v1 vertical: encryption of operands"));
        let secret = SecretKey::generate(&parameters, &mut rng);
        let public = PublicKey::generate(&secret, &encryption, b"vertical")?;
        let mut bytes = Vec::new();
        public.encode(&mut bytes);
        let len = PublicKey::encoded_len(&parameters);
        let count = peers.fellows.len();
        let received = peers.exchange(0, vec![ReceiverKey(bytes); count], &vec![len; count]).await?;
        let read = |(fellow, ReceiverKey(bytes)): (&_, &ReceiverKey)| {
            let fellow: &Fellow<'_, C> = fellow;
            PublicKey::decode(&parameters, bytes).map_err(|cause| malformed(fellow.link.peer(), 0, ReceiverKey::NAME, cause))
        };
        let keys = peers.fellows.iter().zip(&received).map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            place,
            widths: terms.widths(),
            width: terms.width,
            products: shapes.into_iter().zip(all).collect(),
            masks,
            secret,
            encryption,
            keys,
        })
    }

    /// The products of a step, and perhaps of another one of the same round, with all fellows, in one exchange of operands and one of results. `x` are the own columns'
    /// rows.
    pub(super) async fn cross<C: Channel>(
        &self,
        peers: &mut Peers<'_, C>,
        x: &Matrix,
        first: Crossing<'_>,
        second: Option<Crossing<'_>>,
    ) -> Result<(Crossed, Option<Crossed>), ProtocolError> {
        let (rows, round) = (x.rows(), first.step.round);
        let crossings: &[Crossing<'_>] = &[first].into_iter().chain(second).collect::<Vec<_>>();
        let mine = self.products_of(crossings, rows, self.place)?;
        let of_fellow = |fellow: &Fellow<'_, C>| self.products_of(crossings, rows, fellow.place);
        let theirs: Vec<Vec<&ExactProduct>> = peers.fellows.iter().map(of_fellow).collect::<Result<_, _>>()?;

        let mut uploads = Vec::with_capacity(theirs.len());
        for (index, (fellow, products)) in peers.fellows.iter().zip(&theirs).enumerate() {
            let mut upload = Vec::with_capacity(products.iter().map(|product| product.upload_len()).sum());
            for (crossing, product) in crossings.iter().zip(products) {
                let context = context(crossing.step, self.place, fellow.place);
                let words = crossing.operands[index].words();
                product.encrypt(words, &self.secret, &self.encryption, &context, &mut upload)?;
            }
            uploads.push(EncryptedOperand(upload));
        }
        let len = mine.iter().map(|product| product.upload_len()).sum();
        let received = peers.exchange(round, uploads, &vec![len; theirs.len()]).await?;

        let plaintexts = self.plaintexts(crossings, &mine, x)?;
        let (mut own, mut responses) = (Vec::new(), Vec::new());
        for ((fellow, receiver), EncryptedOperand(upload)) in peers.fellows.iter().zip(&self.keys).zip(&received) {
            let (mut shares, mut rest) = (Vec::new(), &upload[..]);
            let mut message = Vec::with_capacity(mine.iter().map(|product| product.response_len()).sum());
            for ((crossing, product), plaintext) in crossings.iter().zip(&mine).zip(&plaintexts) {
                let (upload, after) = rest.split_at(product.upload_len());
                rest = after;
                let masking = Masking {
                    receiver,
                    key: &self.masks,
                    context: &context(crossing.step, fellow.place, self.place),
                };
                let response = product
                    .respond(plaintext, upload, &masking)
                    .map_err(|cause| malformed(fellow.link.peer(), round, EncryptedOperand::NAME, cause))?;
                message.extend(response.message);
                shares.push(Matrix::new(product.shape()[0], self.width, response.share)?);
            }
            responses.push(EncryptedProduct(message));
            own.push(shares);
        }
        let response_len = |products: &Vec<&ExactProduct>| products.iter().map(|product| product.response_len()).sum();
        let lens: Vec<usize> = theirs.iter().map(response_len).collect();
        let received = peers.exchange(round, responses, &lens).await?;

        let mut read = Vec::with_capacity(theirs.len());
        for ((fellow, products), EncryptedProduct(response)) in peers.fellows.iter().zip(&theirs).zip(&received) {
            let (mut shares, mut rest) = (Vec::new(), &response[..]);
            for product in products {
                let (response, after) = rest.split_at(product.response_len());
                rest = after;
                let words = product
                    .decrypt(response, &self.secret)
                    .map_err(|cause| malformed(fellow.link.peer(), round, EncryptedProduct::NAME, cause))?;
                shares.push(Matrix::new(product.shape()[0], self.width, words)?);
            }
            read.push(shares);
        }
        let mut crossed = by_crossing(crossings.len(), own, read);
        let second = crossed.split_off(1).pop();
        Ok((crossed.swap_remove(0), second))
    }

    /// The own columns, as the products of each step multiply them.
    fn plaintexts(
        &self,
        crossings: &[Crossing<'_>],
        products: &[&ExactProduct],
        x: &Matrix,
    ) -> Result<Vec<ExactPlaintext>, ProtocolError> {
        let prepare = |(crossing, product): (&Crossing<'_>, &&ExactProduct)| {
            Ok(match crossing.step.direction {
                Direction::Forward => product.prepare(&signed(x))?,
                Direction::Backward => product.prepare(&transposed(x))?,
            })
        };
        crossings.iter().zip(products).map(prepare).collect()
    }

    /// The products of each step with the columns of the holder at `place`.
    fn products_of(&self, crossings: &[Crossing<'_>], rows: usize, place: usize) -> Result<Vec<&ExactProduct>, ProtocolError> {
        let of = |crossing: &Crossing<'_>| self.product(crossing.step.direction, rows, place);
        crossings.iter().map(of).collect()
    }

    /// The product with the columns of the holder at `place`.
    fn product(&self, direction: Direction, rows: usize, place: usize) -> Result<&ExactProduct, ProtocolError> {
        let shape = shape(direction, rows, self.widths[place], self.width);
        self.products
            .get(&shape)
            .ok_or_else(|| ProtocolError::Alignment(format!("no product of the shape {shape:?} belongs to the job")))
    }
}

/// What fellows' products gave, by crossing instead of by fellow.
fn by_crossing(count: usize, own: Vec<Vec<Matrix>>, theirs: Vec<Vec<Matrix>>) -> Vec<Crossed> {
    let [mut own, mut theirs] = [own, theirs].map(|all| all.into_iter().map(Vec::into_iter).collect::<Vec<_>>());
    let next = |all: &mut Vec<std::vec::IntoIter<Matrix>>| all.iter_mut().filter_map(Iterator::next).collect();
    (0..count)
        .map(|_| Crossed {
            own: next(&mut own),
            theirs: next(&mut theirs),
        })
        .collect()
}

/// Names a product between holders: whose operand, whose columns.
fn context(step: Step, operand: usize, columns: usize) -> Vec<u8> {
    let backward = step.direction == Direction::Backward;
    let mut context = vec![u8::from(step.once), u8::from(backward), operand as u8, columns as u8];
    context.extend_from_slice(&step.round.to_le_bytes());
    context
}

fn signed(x: &Matrix) -> Vec<i64> {
    x.words().iter().map(|word| *word as i64).collect()
}

fn transposed(x: &Matrix) -> Vec<i64> {
    let columns = (0..x.columns()).map(|column| x.words().iter().skip(column).step_by(x.columns()));
    columns.flatten().map(|word| *word as i64).collect()
}

/// The products that a job of so many training and test rows computes by encryption, by shape; none with a dealer, or unprotected.
///
/// # Errors
/// As when the training begins.
pub(in crate::vertical) fn exact_products(
    terms: &Terms,
    rows: [usize; 2],
) -> Result<BTreeMap<[usize; 3], ExactProduct>, ProtocolError> {
    match (terms.first_layer, &terms.dealer) {
        (FirstLayer::HomomorphicEncryption, _) | (FirstLayer::Shares, None) => {}
        (FirstLayer::Shares, Some(_)) | (FirstLayer::Plain, _) => return Ok(BTreeMap::new()),
    }
    let shapes: Vec<[usize; 3]> = shapes(terms, rows).into_iter().collect();
    let all = ExactProduct::for_shapes(&shapes, COLUMN_BITS, revealed(terms, rows))?;
    Ok(shapes.into_iter().zip(all).collect())
}

/// The encryption's parameters, where a job of so many training and test rows computes products by it.
///
/// # Errors
/// As when the training begins.
pub fn encryption_parameters(terms: &Terms, rows: [usize; 2]) -> Result<Option<Parameters>, ProtocolError> {
    let products = exact_products(terms, rows)?;
    Ok(products.values().next().map(|product| product.parameters().clone()))
}

/// Every product of the job: both directions, whole and last batches, all holders' columns.
fn shapes(terms: &Terms, [train, test]: [usize; 2]) -> BTreeSet<[usize; 3]> {
    let schedule = terms.schedule;
    let mut forward: BTreeSet<usize> = schedule.evaluation_sizes(test).collect();
    let training: BTreeSet<usize> = schedule.training_sizes(train).collect();
    let mut shapes = BTreeSet::new();
    match terms.gradient {
        Gradient::Shared => forward.extend(&training),
        Gradient::Open => forward = crate::schedule::sizes(train + test, STRIP).collect(),
    }
    for columns in terms.widths() {
        shapes.extend(
            forward
                .iter()
                .map(|&rows| shape(Direction::Forward, rows, columns, terms.width)),
        );
        if terms.gradient == Gradient::Shared {
            shapes.extend(
                training
                    .iter()
                    .map(|&rows| shape(Direction::Backward, rows, columns, terms.width)),
            );
        }
    }
    shapes
}

/// Results that are decrypted in the whole job, by all holders.
fn revealed(terms: &Terms, [train, test]: [usize; 2]) -> u64 {
    let (holders, columns) = (terms.columns.len() as u64, terms.widths().iter().sum::<usize>() as u64);
    let (rows, batches) = ((train + test) as u64, terms.schedule.batches(train) as u64);
    let epoch = rows * holders * (holders - 1) + batches * columns * (holders - 1);
    u64::from(terms.schedule.epochs) * epoch * terms.width as u64
}
