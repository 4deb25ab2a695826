//! The messages of `encrypted_activation`.

use cloven_wire::{DecodeError, Message, Reader, f32_array_len, put_f32_array};
use ndarray::ArrayD;

use crate::Start;

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 6] = [
    (Start::NAME, Start::KIND),
    (SealedActivation::NAME, SealedActivation::KIND),
    (SealedOutput::NAME, SealedOutput::KIND),
    (SealedGradient::NAME, SealedGradient::KIND),
    (SealedInputGradient::NAME, SealedInputGradient::KIND),
    (Reveal::NAME, Reveal::KIND),
];

/// Declares a message that is ciphertext bytes of exactly the expected length. What is inside is checked by the cipher that reads it.
macro_rules! sealed_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub Vec<u8>);

        impl Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            type Expect = usize;

            fn max_len(len: &usize) -> usize {
                *len
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }

            fn decode(reader: &mut Reader<'_>, len: &usize) -> Result<Self, DecodeError> {
                reader.bytes(*len).map(|bytes| Self(bytes.to_vec()))
            }
        }
    };
}

sealed_message!(
    /// Client to server: Enc(a).
    SealedActivation, 2, "sealed activation"
);
sealed_message!(
    /// Server to client: Enc(a U + bias).
    SealedOutput, 3, "sealed output"
);
sealed_message!(
    /// Client to server: Enc(dL/dy).
    SealedGradient, 4, "sealed gradient"
);
sealed_message!(
    /// Server to client: Enc(dL/dy U^T).
    SealedInputGradient, 5, "sealed input gradient"
);

/// Client to server: V and its bias in the clear, in the layouts of `cloven_nn::Network::parameters`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reveal(pub Vec<ArrayD<f32>>);

impl Message for Reveal {
    const KIND: u8 = 6;
    const NAME: &'static str = "reveal";
    /// The shapes of the layer's parameters.
    type Expect = [Vec<usize>];

    fn max_len(shapes: &[Vec<usize>]) -> usize {
        arrays_len(shapes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|array| put_f32_array(out, array));
    }

    fn decode(reader: &mut Reader<'_>, shapes: &[Vec<usize>]) -> Result<Self, DecodeError> {
        read_arrays(reader, shapes).map(Self)
    }
}

/// The length of arrays of these shapes, one after the other.
pub(super) fn arrays_len(shapes: &[Vec<usize>]) -> usize {
    shapes.iter().map(|shape| f32_array_len(shape)).sum()
}

/// Reads arrays of these shapes, one after the other.
pub(super) fn read_arrays(reader: &mut Reader<'_>, shapes: &[Vec<usize>]) -> Result<Vec<ArrayD<f32>>, DecodeError> {
    shapes.iter().map(|shape| reader.f32_array(shape)).collect()
}
