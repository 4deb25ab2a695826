//! The messages of `encrypted_activation`.

use std::collections::BTreeMap;

use cloven_wire::{DecodeError, Message, Party, Reader, f32_array_len, put_f32_array};
use ndarray::ArrayD;

use crate::{AllSettled, Begin, Settled, SignedKey, Start, message::bytes_message};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 12] = [
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (SealedActivation::NAME, SealedActivation::KIND),
    (SealedOutput::NAME, SealedOutput::KIND),
    (SealedGradient::NAME, SealedGradient::KIND),
    (SealedInputGradient::NAME, SealedInputGradient::KIND),
    (Reveal::NAME, Reveal::KIND),
    (MaskKey::NAME, MaskKey::KIND),
    (MaskKeys::NAME, MaskKeys::KIND),
    (MaskedReveal::NAME, MaskedReveal::KIND),
];

bytes_message!(
    /// Client to server: Enc(a).
    SealedActivation, 2, "sealed activation"
);
bytes_message!(
    /// Server to client: Enc(a U + bias).
    SealedOutput, 3, "sealed output"
);
bytes_message!(
    /// Client to server: Enc(dL/dy).
    SealedGradient, 4, "sealed gradient"
);
bytes_message!(
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

/// Client to server, with several clients: the public key of its masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskKey(pub SignedKey);

impl Message for MaskKey {
    const KIND: u8 = 9;
    const NAME: &'static str = "mask key";
    type Expect = ();

    fn max_len((): &()) -> usize {
        SignedKey::MAX_LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        SignedKey::read(reader).map(Self)
    }
}

/// Server to every client, with several clients: the mask keys of all, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskKeys(pub BTreeMap<Party, SignedKey>);

impl Message for MaskKeys {
    const KIND: u8 = 10;
    const NAME: &'static str = "mask keys";
    /// The clients of the job, in order.
    type Expect = [Party];

    fn max_len(clients: &[Party]) -> usize {
        clients
            .iter()
            .map(|client| 1 + client.as_str().len() + SignedKey::MAX_LEN)
            .sum()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (client, key) in &self.0 {
            out.push(client.as_str().len() as u8);
            out.extend_from_slice(client.as_str().as_bytes());
            key.put(out);
        }
    }

    fn decode(reader: &mut Reader<'_>, clients: &[Party]) -> Result<Self, DecodeError> {
        let mut keys = BTreeMap::new();
        for client in clients {
            let len = reader.u8()? as usize;
            let name = reader.bytes(len.min(Party::MAX_LEN))?;
            if name != client.as_str().as_bytes() {
                return Err(DecodeError::Field {
                    field: "client",
                    expected: client.to_string(),
                    got: String::from_utf8_lossy(name).escape_debug().to_string(),
                });
            }
            keys.insert(client.clone(), SignedKey::read(reader)?);
        }
        Ok(Self(keys))
    }
}

/// Client to server, with several clients: its share of V as fixed-point numbers under its masks; only the sum over all clients means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedReveal(pub Vec<u64>);

impl Message for MaskedReveal {
    const KIND: u8 = 11;
    const NAME: &'static str = "masked reveal";
    /// The number of values.
    type Expect = usize;

    fn max_len(values: &usize) -> usize {
        8 * values
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }

    fn decode(reader: &mut Reader<'_>, values: &usize) -> Result<Self, DecodeError> {
        (0..*values).map(|_| reader.u64()).collect::<Result<_, _>>().map(Self)
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
