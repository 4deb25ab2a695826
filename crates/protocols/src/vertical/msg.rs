//! The messages of `vertical`. Matrices over Z_2^64 go as words, row by row, the lowest byte first; the receiver knows their shapes.

use cloven_wire::{DecodeError, Message, Reader};
use zeroize::Zeroizing;

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
    (GradientShare::NAME, GradientShare::KIND),
    (GradientSeed::NAME, GradientSeed::KIND),
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
    /// the holder's seed of the session, in which all have a part.
    Seed, 42, "half of a seed"
);
seed_message!(
    /// Server to every holder but the last: what its share of the gradient at h1 is expanded from.
    GradientSeed, 55, "seed of a share of the gradient"
);

/// Server to dealer, once: how much there is to do and where to begin.
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
    type Expect = ();

    fn max_len((): &()) -> usize {
        8 + 8 + POSITION
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.train_rows.to_le_bytes());
        out.extend_from_slice(&self.test_rows.to_le_bytes());
        put_position(out, self.from);
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self {
            train_rows: within("training rows", 1, Start::MAX_ROWS, reader.u64()?)?,
            test_rows: within("test rows", 0, Start::MAX_ROWS, reader.u64()?)?,
            from: read_position(reader)?,
        })
    }
}

bytes_message!(
    /// Between holders, once a run, with a dealer: rows of E = X - A, the sender's columns under the mask that all its triples share.
    MaskedRows, 44, "masked rows"
);
bytes_message!(
    /// Between holders, for each product: W - B or D - B, the sender's share of the receiver's weights or of the gradient under a fresh mask.
    MaskedOperand, 45, "masked operand"
);
bytes_message!(
    /// Dealer to a holder, for each batch and direction: its shares c of the products of masks, one matrix after the other for every other holder.
    TripleShares, 46, "shares of triples"
);
bytes_message!(
    /// Holder to server: its share of h1, `[rows, width]`.
    OutputShare, 47, "share of the first layer's output"
);
bytes_message!(
    /// Holder to server, with `private_activation` instead of its share of h1: its share of the bits of relu(h1).
    ActivationShare, 59, "share of the activation"
);
bytes_message!(
    /// Server to the last holder: its share of the gradient at h1, `[rows, width]`; the other shares come from seeds.
    GradientShare, 48, "share of the gradient"
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
