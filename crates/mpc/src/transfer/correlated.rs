//! Correlated transfers: the sender has delta and words q, the receiver bits c and words t, with t = q ^ c delta (SoftSpokenOT, figures 7 and 8
//! without the consistency check, which is for dishonest parties).
//!
//! Delta is cut into pieces of `width` bits. For each piece D the receiver owns a tree with 2^width leaves and the sender misses leaf D. From streams r_x of
//! the leaves, the receiver computes u = sum r_x and v = sum x r_x, the sender w = sum (x ^ D) r_x = v ^ D u, bit by bit. The receiver
//! sends u ^ c; the sender adds D (u ^ c) and has v ^ D c. The bits of v and w at one place, over all pieces, are one word t or q.

use super::{base, messages::ReceiverPads, messages::SenderPads, tree};
use crate::{
    Bits, MpcError, Session,
    hash::TweakedHash,
    prg::Prg,
    transposition::{COLUMN, Columns, TILE},
    wire::{WORD, expect_count, expect_length, put_words, words as read_words},
    words,
};
use rand::Rng;
use zeroize::{Zeroize, Zeroizing};

/// The most transfers that one call extends by.
pub const MAX_CHUNK: usize = 1 << 20;

/// Bits of delta, and base transfers.
const BITS: usize = 128;

/// Bits of delta that one seed tree stands for, 1 to 8: bytes against time. Each transfer takes 16 / `width` bytes and the generation of
/// 2^`width` * 16 / `width` pseudorandom bytes by either party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width(u32);

impl Width {
    /// Width 1: the extension of Ishai, Kilian, Nissim and Petrank.
    pub const IKNP: Self = Self(1);

    /// A width of 1 to 8.
    ///
    /// # Errors
    /// [`MpcError::Count`] outside of that.
    pub fn new(bits: u32) -> Result<Self, MpcError> {
        expect_count("bits to a seed tree", bits as usize, 1, 8).map(|()| Self(bits))
    }

    /// The bytes that the receiver sends for `count` transfers.
    pub fn message_bytes(self, count: usize) -> usize {
        self.pieces().len() * count.div_ceil(128) * WORD
    }

    /// First bit and number of bits of each piece of delta.
    fn pieces(self) -> Vec<(usize, usize)> {
        let step = self.0 as usize;
        (0..BITS).step_by(step).map(|first| (first, step.min(BITS - first))).collect()
    }
}

/// The sender's global difference. Wiped on drop.
pub struct Delta(Zeroizing<u128>);

impl Delta {
    /// A given difference: secret and uniform, but for bits that a caller fixes (garbling sets the lowest).
    pub fn new(bits: u128) -> Self {
        Self(Zeroizing::new(bits))
    }

    /// The uniform difference of `session`.
    pub fn random(session: &Session) -> Self {
        let mut bytes = Zeroizing::new([0; 16]);
        session.stream("delta").fill_bytes(&mut *bytes);
        Self::new(u128::from_le_bytes(*bytes))
    }

    /// The difference itself.
    pub fn expose(&self) -> u128 {
        *self.0
    }

    fn piece(&self, first: usize, bits: usize) -> u32 {
        (*self.0 >> first) as u32 & ((1 << bits) - 1)
    }
}

/// The receiver before the sender's points have come.
pub struct ReceiverSetup {
    base: base::Sender,
    expansion: tree::Expansion,
    roots: Zeroizing<Vec<u128>>,
    hash: TweakedHash,
    width: Width,
}

impl ReceiverSetup {
    /// Step 1: the receiver's announcement. Both parties give the same session context and width.
    pub fn new(session: &Session, width: Width) -> (Self, Vec<u8>) {
        let (base, message) = base::Sender::new(session);
        let mut roots = Zeroizing::new(vec![0u128; width.pieces().len()]);
        session
            .stream("seed tree: roots")
            .fill_bytes(bytemuck::cast_slice_mut(&mut roots));
        let setup = Self {
            base,
            expansion: tree::Expansion::new(session),
            roots,
            hash: TweakedHash::new(session, "transfer pads"),
            width,
        };
        (setup, message)
    }

    /// Step 3, on the points of [`SenderSetup::new`]: the sums of the tree's levels.
    ///
    /// # Errors
    /// [`MpcError::Length`], [`MpcError::Point`].
    pub fn finish(self, points: &[u8]) -> Result<(Receiver, Vec<u8>), MpcError> {
        let pads = self.base.finish(BITS, points)?;
        let (mut leaves, mut message) = (Vec::new(), Vec::new());
        for ((first, bits), root) in self.width.pieces().into_iter().zip(&*self.roots) {
            let (seeds, sums) = tree::grow(&self.expansion, *root, &pads[first..first + bits]);
            leaves.push(seeds.iter().map(|seed| Prg::new(*seed)).collect());
            put_words(&mut message, &sums);
        }
        let receiver = Receiver {
            pieces: Pieces::new(self.width, leaves),
            hash: self.hash,
        };
        Ok((receiver, message))
    }
}

/// The sender before the sums of the trees have come.
pub struct SenderSetup {
    pads: Zeroizing<Vec<u128>>,
    delta: Delta,
    expansion: tree::Expansion,
    hash: TweakedHash,
    width: Width,
}

impl SenderSetup {
    /// Step 2, on the announcement of [`ReceiverSetup::new`]: the sender's points.
    ///
    /// # Errors
    /// [`MpcError::Length`], [`MpcError::Point`].
    pub fn new(session: &Session, width: Width, delta: Delta, announcement: &[u8]) -> Result<(Self, Vec<u8>), MpcError> {
        let of_piece = |(first, bits)| (0..bits).map(move |level| (first, bits, level));
        let places = width.pieces().into_iter().flat_map(of_piece);
        let choices: Zeroizing<Vec<bool>> = Zeroizing::new(
            places
                .map(|(first, bits, level)| tree::choice(delta.piece(first, bits), bits, level))
                .collect(),
        );
        let (pads, points) = base::receive(session, &Bits::from_bools(&choices), announcement)?;
        let setup = Self {
            pads,
            delta,
            expansion: tree::Expansion::new(session),
            hash: TweakedHash::new(session, "transfer pads"),
            width,
        };
        Ok((setup, points))
    }

    /// Step 4, on the sums of [`ReceiverSetup::finish`].
    ///
    /// # Errors
    /// [`MpcError::Length`].
    pub fn finish(self, sums: &[u8]) -> Result<Sender, MpcError> {
        expect_length(sums, 2 * BITS * WORD)?;
        let sums: Vec<u128> = read_words(sums).collect();
        let of_piece = |(first, bits): (usize, usize)| {
            let (pads, sums) = (&self.pads[first..first + bits], &sums[2 * first..2 * (first + bits)]);
            let seeds = tree::regrow(&self.expansion, self.delta.piece(first, bits), pads, sums);
            seeds.iter().map(|seed| Prg::new(*seed)).collect()
        };
        let leaves = self.width.pieces().into_iter().map(of_piece).collect();
        Ok(Sender {
            pieces: Pieces::new(self.width, leaves),
            delta: self.delta,
            hash: self.hash,
        })
    }
}

/// The receiver of any number of transfers.
pub struct Receiver {
    pieces: Pieces,
    hash: TweakedHash,
}

impl Receiver {
    /// Step 5: words t with t = q ^ c delta for the choices c, and the message for [`Sender::extend`].
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond [`MAX_CHUNK`] choices or with none.
    pub fn extend(&mut self, choices: &Bits) -> Result<(Zeroizing<Vec<u128>>, Vec<u8>), MpcError> {
        expect_count("transfers", choices.len(), 1, MAX_CHUNK)?;
        let mut message = Vec::with_capacity(self.pieces.width.message_bytes(choices.len()));
        let mut words = Zeroizing::new(vec![0; choices.len()]);
        let tiles = words.chunks_mut(TILE).zip(choices.words().chunks(COLUMN));
        tiles.for_each(|(rows, choices)| {
            self.pieces.tile(choices.len(), rows, |_, sum, _| {
                words::xor_assign(sum, choices);
                put_words(&mut message, &sum[..choices.len()]);
            });
        });
        Ok((words, message))
    }

    /// Random transfers: the pads of the choices, and the message for [`Sender::random`] or [`Sender::encrypt`].
    ///
    /// # Errors
    /// As [`Receiver::extend`].
    pub fn random(&mut self, choices: &Bits) -> Result<(ReceiverPads, Vec<u8>), MpcError> {
        let first = self.pieces.first_transfer();
        let (mut pads, message) = self.extend(choices)?;
        self.hash.hash(first, &mut pads);
        Ok((ReceiverPads::new(pads, choices.clone()), message))
    }
}

/// The sender of any number of transfers.
pub struct Sender {
    pieces: Pieces,
    delta: Delta,
    hash: TweakedHash,
}

impl Sender {
    /// The global difference.
    pub fn delta(&self) -> &Delta {
        &self.delta
    }

    /// Step 6, on the message of [`Receiver::extend`] with `count` choices: words q.
    ///
    /// # Errors
    /// [`MpcError::Length`]; [`MpcError::Count`] beyond [`MAX_CHUNK`] transfers or with none.
    pub fn extend(&mut self, count: usize, message: &[u8]) -> Result<Zeroizing<Vec<u128>>, MpcError> {
        expect_count("transfers", count, 1, MAX_CHUNK)?;
        expect_length(message, self.pieces.width.message_bytes(count))?;
        let mut received = read_words(message);
        let mut words = Zeroizing::new(vec![0; count]);
        let delta = &self.delta;
        for rows in words.chunks_mut(TILE) {
            let used = rows.len().div_ceil(128);
            self.pieces.tile(used, rows, |(first, bits), sum, columns| {
                // The sum over the leaves means nothing here; its place takes what was received.
                sum[..used].iter_mut().zip(&mut received).for_each(|(sum, word)| *sum = word);
                for bit in first..first + bits {
                    let mask = (delta.expose() >> bit & 1).wrapping_neg();
                    words::xor_masked(&mut columns.column(bit)[..used], &sum[..used], mask);
                }
            });
        }
        Ok(words)
    }

    /// Random transfers, on the message of [`Receiver::random`] with `count` choices: both pads of each.
    ///
    /// # Errors
    /// As [`Sender::extend`].
    pub fn random(&mut self, count: usize, message: &[u8]) -> Result<SenderPads, MpcError> {
        let first = self.pieces.first_transfer();
        let mut zero = self.extend(count, message)?;
        let mut one = zero.clone();
        one.iter_mut().for_each(|word| *word ^= self.delta.expose());
        self.hash.hash(first, &mut zero);
        self.hash.hash(first, &mut one);
        Ok(SenderPads::new(zero, one))
    }

    /// Chosen messages, on the message of [`Receiver::random`] with as many choices: what [`ReceiverPads::decrypt`] opens.
    ///
    /// # Errors
    /// As [`Sender::extend`].
    pub fn encrypt(&mut self, pairs: &[[u128; 2]], message: &[u8]) -> Result<Vec<u8>, MpcError> {
        self.random(pairs.len(), message)?.encrypt(pairs)
    }
}

/// The seed trees of all pieces of delta, and how far their streams are used.
struct Pieces {
    width: Width,
    leaves: Vec<Vec<Prg>>,
    /// Words of every stream that are used up.
    position: u64,
    scratch: Scratch,
}

/// Wiped on drop.
struct Scratch {
    columns: Columns,
    current: [u128; COLUMN],
    /// Sums over whole subtrees of 1, 2, 4, ... leaves that wait for their right neighbours.
    waiting: Vec<[u128; COLUMN]>,
}

impl Pieces {
    fn new(width: Width, leaves: Vec<Vec<Prg>>) -> Self {
        let scratch = Scratch {
            columns: Columns::new(BITS),
            current: [0; COLUMN],
            waiting: vec![[0; COLUMN]; width.0 as usize + 1],
        };
        Self {
            width,
            leaves,
            position: 0,
            scratch,
        }
    }

    /// The number of the next transfer: never the same for two of them.
    fn first_transfer(&self) -> u64 {
        self.position * 128
    }

    /// Takes `used` words of every stream and writes the bits of v to `rows`, after `finish` has seen each piece with the sum u of its streams and the columns.
    fn tile(&mut self, used: usize, rows: &mut [u128], mut finish: impl FnMut((usize, usize), &mut [u128], &mut Columns)) {
        for (piece, leaves) in self.width.pieces().into_iter().zip(&self.leaves) {
            self.scratch.fold(self.position, used, piece, leaves);
            let (sum, columns) = (&mut self.scratch.waiting[piece.1], &mut self.scratch.columns);
            finish(piece, sum, columns);
        }
        self.position += used as u64;
        self.scratch.columns.write_rows(rows);
    }
}

impl Scratch {
    /// Leaves sum r_x in `waiting[bits]` and sum x r_x, bit by bit, in the piece's columns. Two additions for each leaf: a subtree that is a right
    /// child of level l counts for bit l of x as a whole.
    fn fold(&mut self, position: u64, used: usize, (first, bits): (usize, usize), leaves: &[Prg]) {
        (first..first + bits).for_each(|column| self.columns.column(column).fill(0));
        let current = &mut self.current[..used];
        for (leaf, x) in leaves.iter().zip(0u32..) {
            leaf.fill(position, current);
            let level = x.trailing_ones() as usize;
            for below in 0..level {
                words::fold(&mut self.columns.column(first + below)[..used], current, &self.waiting[below]);
            }
            self.waiting[level][..used].copy_from_slice(current);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.current.zeroize();
        self.waiting.zeroize();
    }
}
