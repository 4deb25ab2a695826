//! The messages of `vertical`. Matrices over Z_2^64 go as words, row by row, the lowest byte first; the receiver knows their shapes.

use cloven_mpc::{MpcError, shares::Matrix};
use cloven_wire::{DecodeError, Message, Reader};
use zeroize::Zeroizing;

use super::scales;
use crate::{
    AllSettled, Begin, Position, Settled, Start,
    message::{POSITION, bounded_message, bytes_message, put_position, read_position, tensor_message, within},
};

/// The name and kind of every message: those of every training, then the protocol's own in the order of first use.
pub const MESSAGES: [(&str, u8); 24] = [
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (SetSize::NAME, SetSize::KIND),
    (AlignmentStep::NAME, AlignmentStep::KIND),
    (Positions::NAME, Positions::KIND),
    (Work::NAME, Work::KIND),
    (Seed::NAME, Seed::KIND),
    (MaskedRows::NAME, MaskedRows::KIND),
    (ReceiverKey::NAME, ReceiverKey::KIND),
    (MaskedOperand::NAME, MaskedOperand::KIND),
    (EncryptedOperand::NAME, EncryptedOperand::KIND),
    (EncryptedProduct::NAME, EncryptedProduct::KIND),
    (TripleShares::NAME, TripleShares::KIND),
    (OutputShare::NAME, OutputShare::KIND),
    (Hidden::NAME, Hidden::KIND),
    (HiddenGradient::NAME, HiddenGradient::KIND),
    (MaskedGradient::NAME, MaskedGradient::KIND),
    (OpenGradient::NAME, OpenGradient::KIND),
    (PlainOutput::NAME, PlainOutput::KIND),
    (PlainGradient::NAME, PlainGradient::KIND),
    (ActivationStep::NAME, ActivationStep::KIND),
    (ActivationShare::NAME, ActivationShare::KIND),
];

/// Between holders, first: the number of distinct ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetSize(pub u64);

impl SetSize {
    /// More ids than this are refused.
    pub const MOST: u64 = cloven_mpc::oprf::MAX_SET as u64;
}

impl Message for SetSize {
    const KIND: u8 = 40;
    const NAME: &'static str = "number of ids";
    type Expect = ();

    fn max_len((): &()) -> usize {
        8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let got = reader.u64()?;
        match (1..=Self::MOST).contains(&got) {
            true => Ok(Self(got)),
            false => Err(DecodeError::Field {
                field: "ids",
                expected: format!("1 to {}", Self::MOST),
                got: got.to_string(),
            }),
        }
    }
}

bounded_message!(
    /// Between holders: a step of the set intersection.
    AlignmentStep, 41, "step of the alignment"
);
bounded_message!(
    /// Between holders, with `private_activation`: a step of the first ReLU on their shares.
    ActivationStep, 58, "step of the activation"
);

/// Declares a message that is 32 secret bytes. Neither `Debug` nor `Clone`; wiped on drop.
macro_rules! seed_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        pub struct $name(pub Zeroizing<[u8; 32]>);

        impl Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            type Expect = ();

            fn max_len((): &()) -> usize {
                32
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&*self.0);
            }

            fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
                reader.array().map(|bytes| Self(Zeroizing::new(bytes)))
            }
        }
    };
}

seed_message!(
    /// Both ways between two holders, or a holder and the dealer, once: half of the seed that they have in common. Holder to server, once: its part of the session; back:
    /// the holder's seed of the session, in which all have a part and of which its shares of gradients are made.
    Seed, 42, "half of a seed"
);

/// Server to coordinator: at the beginning where it could go on, after each training batch where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions(pub Vec<Position>);

impl Positions {
    /// Bytes of one position.
    pub(super) const OF_ONE: usize = 1 + POSITION;
}

impl Message for Positions {
    const KIND: u8 = 55;
    const NAME: &'static str = "positions";
    /// The only one, after a batch; at the beginning there may be any, at most [`Start::MAX_POSITIONS`].
    type Expect = Option<Position>;

    fn max_len(_: &Self::Expect) -> usize {
        1 + Start::MAX_POSITIONS * POSITION
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0.len() as u8);
        self.0.iter().for_each(|position| put_position(out, *position));
    }

    fn decode(reader: &mut Reader<'_>, reached: &Self::Expect) -> Result<Self, DecodeError> {
        let most = Start::MAX_POSITIONS as u64;
        let count = within("positions", 0, most, reader.u8()?.into())?;
        let positions: Vec<Position> = (0..count).map(|_| read_position(reader)).collect::<Result<_, _>>()?;
        match reached {
            Some(reached) if positions != [*reached] => Err(DecodeError::Field {
                field: "positions",
                expected: format!("{reached:?} alone"),
                got: format!("{positions:?}"),
            }),
            _ => Ok(Self(positions)),
        }
    }
}

/// To the dealer, once: how much there is to do and where to begin. Coordinator to server: the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Training rows, at least 1.
    pub train_rows: u64,
    /// Test rows.
    pub test_rows: u64,
    /// Where to begin.
    pub from: Position,
}

impl Message for Work {
    const KIND: u8 = 43;
    const NAME: &'static str = "work";
    /// Where the receiver could begin, but for the very beginning, if it is not free to begin anywhere.
    type Expect = Option<Vec<Position>>;

    fn max_len(_: &Self::Expect) -> usize {
        8 + 8 + POSITION
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.train_rows.to_le_bytes());
        out.extend_from_slice(&self.test_rows.to_le_bytes());
        put_position(out, self.from);
    }

    fn decode(reader: &mut Reader<'_>, own: &Self::Expect) -> Result<Self, DecodeError> {
        let train_rows = within("training rows", 1, Start::MAX_ROWS, reader.u64()?)?;
        let test_rows = within("test rows", 0, Start::MAX_ROWS, reader.u64()?)?;
        let from = read_position(reader)?;
        match own {
            Some(own) if from != Position::START && !own.contains(&from) => Err(DecodeError::Field {
                field: "checkpoint",
                expected: "the beginning, or one that this party has".into(),
                got: format!("epoch {}, batch {}", from.epoch, from.batch),
            }),
            _ => Ok(Self {
                train_rows,
                test_rows,
                from,
            }),
        }
    }
}

bytes_message!(
    /// Between holders, once a run, with a dealer: rows of E = X - A, the sender's columns under the mask that all its triples share.
    MaskedRows, 44, "masked rows"
);
bytes_message!(
    /// Between holders, for each product on triples: W - B or R - B, the sender's share of the receiver's weights or of the gradient under a fresh mask.
    MaskedOperand, 45, "masked operand"
);
bytes_message!(
    /// Dealer to a holder, for each batch and direction: its shares c of the products of masks, one matrix after the other for every other holder.
    TripleShares, 46, "shares of triples"
);
bytes_message!(
    /// Holder to server: its share of h1, `[rows, width]`; of each word the upper half, rounded: the rest is noise ([`scales::OUTPUT_NOISE`]).
    OutputShare, 47, "share of the first layer's output"
);

impl OutputShare {
    /// The lowest bits of a word stay here.
    const DROPPED: u32 = 32;

    /// Bytes for a batch.
    pub(super) fn len(rows: usize, width: usize) -> usize {
        4 * rows * width
    }

    /// Of the words of a share.
    pub(super) fn of(share: &Matrix) -> Self {
        const { assert!(Self::DROPPED < scales::OUTPUT_NOISE) };
        let upper = |word: &u64| (word.wrapping_add(1 << (Self::DROPPED - 1)) >> Self::DROPPED) as u32;
        Self(share.words().iter().flat_map(|word| upper(word).to_le_bytes()).collect())
    }

    /// The words, with zeros for what is left out.
    pub(super) fn words(&self, rows: usize, width: usize) -> Result<Matrix, MpcError> {
        let (halves, _) = self.0.as_chunks();
        let words = halves
            .iter()
            .map(|half| u64::from(u32::from_le_bytes(*half)) << Self::DROPPED);
        Matrix::new(rows, width, words.collect())
    }
}
bytes_message!(
    /// Holder to server, with `private_activation` instead of its share of h1: its share of the bits of relu(h1).
    ActivationShare, 59, "share of the activation"
);
bytes_message!(
    /// Server to every holder: the gradient at h1 times the learning rate less all holders' shares of it, which they have already, `[rows, width]`.
    MaskedGradient, 48, "masked gradient"
);
bytes_message!(
    /// Server to every holder, with `gradient = "open"`: the gradient at h1 times the learning rate, `[rows, width]`.
    OpenGradient, 49, "open gradient"
);
bytes_message!(
    /// Between holders, once: the public key under which the sender gets products back.
    ReceiverKey, 50, "key for products"
);
bytes_message!(
    /// Between holders, for each product: the sender's share of the receiver's weights, or of the gradient, encrypted under the sender's key.
    EncryptedOperand, 51, "encrypted operand"
);
bytes_message!(
    /// The answer to [`EncryptedOperand`]: the receiver's share of the product.
    EncryptedProduct, 52, "encrypted share of a product"
);
tensor_message!(
    /// Server to label holder: the hidden layers' output, `[rows, shape]`.
    Hidden, 53, "hidden output"
);
tensor_message!(
    /// Label holder to server: the loss's gradient at it.
    HiddenGradient, 54, "hidden gradient"
);
tensor_message!(
    /// Holder to server, with `first_layer = "plain"`: its part of h1, `[rows, width]`.
    PlainOutput, 56, "part of the first layer's output"
);
tensor_message!(
    /// Server to every holder, with `first_layer = "plain"`: the gradient at h1 times the learning rate.
    PlainGradient, 57, "gradient at the first layer's output"
);
