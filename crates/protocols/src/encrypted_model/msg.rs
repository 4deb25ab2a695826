//! The messages of `encrypted_model`.

use cloven_wire::{DecodeError, Message, Reader};

use super::{
    encrypted_samples::{EncryptedDelta, EncryptedGradient, EncryptedInputGradient, EncryptedRows, Relinearisation},
    key::Fingerprint,
};
use crate::{AllSettled, Begin, Settled, Start, message::bytes_message};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 16] = [
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (Key::NAME, Key::KIND),
    (MergeKeys::NAME, MergeKeys::KIND),
    (Samples::NAME, Samples::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (EncryptedWeights::NAME, EncryptedWeights::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
    (EncryptedRows::NAME, EncryptedRows::KIND),
    (EncryptedDelta::NAME, EncryptedDelta::KIND),
    (EncryptedInputGradient::NAME, EncryptedInputGradient::KIND),
    (EncryptedGradient::NAME, EncryptedGradient::KIND),
    (EncryptedStep::NAME, EncryptedStep::KIND),
    (HeldWeights::NAME, HeldWeights::KIND),
];

/// Client to server, once: which key its ciphertexts are under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub Fingerprint);

impl Message for Key {
    const KIND: u8 = 2;
    const NAME: &'static str = "key";
    /// What the receiver's ciphertexts are under, if it has any.
    type Expect = Option<Fingerprint>;

    fn max_len(_: &Self::Expect) -> usize {
        Fingerprint::LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.0);
    }

    fn decode(reader: &mut Reader<'_>, held: &Self::Expect) -> Result<Self, DecodeError> {
        let got = Fingerprint(reader.array()?);
        match held {
            Some(held) if *held != got => Err(DecodeError::Field {
                field: "encryption key",
                expected: format!("{held}, under which the weights here are encrypted"),
                got: got.to_string(),
            }),
            _ => Ok(Self(got)),
        }
    }
}

/// Client to server: rows of samples in the clear, as integers at the job's scale, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples(pub Vec<i16>);

impl Message for Samples {
    const KIND: u8 = 3;
    const NAME: &'static str = "samples";
    /// The number of integers.
    type Expect = usize;

    fn max_len(numbers: &usize) -> usize {
        2 * numbers
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }

    fn decode(reader: &mut Reader<'_>, numbers: &usize) -> Result<Self, DecodeError> {
        let bytes = reader.bytes(2 * numbers)?;
        let pairs = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Ok(Self(pairs.collect()))
    }
}

/// Client to server, once in a prediction: how the rows will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputForm {
    /// As [`Samples`].
    Clear,
    /// As [`EncryptedRows`].
    Encrypted,
}

impl Message for InputForm {
    const KIND: u8 = 19;
    const NAME: &'static str = "input form";
    type Expect = ();

    fn max_len((): &()) -> usize {
        1
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(matches!(self, Self::Encrypted).into());
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Clear),
            1 => Ok(Self::Encrypted),
            other => Err(DecodeError::Field {
                field: "input form",
                expected: "0 or 1".into(),
                got: other.to_string(),
            }),
        }
    }
}

bytes_message!(
    /// Client to server, once, in stride layout: what responses are merged with.
    MergeKeys, 8, "merge keys"
);
bytes_message!(
    /// Client to server: a part of Enc(W), freshly encrypted.
    EncryptedWeights, 4, "encrypted weights"
);
bytes_message!(
    /// Server to client: Enc(x W).
    EncryptedOutput, 5, "encrypted output"
);
bytes_message!(
    /// Server to client: a part of Enc(W) as it stands.
    HeldWeights, 7, "held weights"
);

/// Client to server: Enc(-rate dL/dy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedStep {
    /// Whether the server sends Enc(W) after this step, to be encrypted anew.
    pub refresh: bool,
    /// Ciphertexts.
    pub delta: Vec<u8>,
}

impl Message for EncryptedStep {
    const KIND: u8 = 6;
    const NAME: &'static str = "encrypted step";
    /// The length of the ciphertexts.
    type Expect = usize;

    fn max_len(len: &usize) -> usize {
        1 + len
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.refresh.into());
        out.extend_from_slice(&self.delta);
    }

    fn decode(reader: &mut Reader<'_>, len: &usize) -> Result<Self, DecodeError> {
        let refresh = match reader.u8()? {
            flag @ 0..=1 => flag == 1,
            other => {
                return Err(DecodeError::Field {
                    field: "refresh",
                    expected: "0 or 1".into(),
                    got: other.to_string(),
                });
            }
        };
        let delta = reader.bytes(*len)?.to_vec();
        Ok(Self { refresh, delta })
    }
}
