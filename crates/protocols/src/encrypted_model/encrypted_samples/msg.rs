//! The messages of training with encrypted samples.

use cloven_wire::{DecodeError, Message, Reader};

use crate::{
    AllSettled, Begin, Settled, Start,
    encrypted_model::{EncryptedOutput, EncryptedWeights, Fingerprint},
    message::bytes_message,
};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 13] = [
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (Upload::NAME, Upload::KIND),
    (RowsHeld::NAME, RowsHeld::KIND),
    (EncryptedRows::NAME, EncryptedRows::KIND),
    (Relinearisation::NAME, Relinearisation::KIND),
    (EncryptedWeights::NAME, EncryptedWeights::KIND),
    (EncryptedOutput::NAME, EncryptedOutput::KIND),
    (EncryptedDelta::NAME, EncryptedDelta::KIND),
    (EncryptedInputGradient::NAME, EncryptedInputGradient::KIND),
    (EncryptedGradient::NAME, EncryptedGradient::KIND),
];

/// Client to server, once: what it is about to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// Which key all ciphertexts are under.
    pub key: Fingerprint,
    /// Which rows: a pseudorandom function of all of them.
    pub rows: Fingerprint,
}

impl Message for Upload {
    const KIND: u8 = 8;
    const NAME: &'static str = "upload";
    /// What the receiver's rows are, if it has any.
    type Expect = Option<Upload>;

    fn max_len(_: &Self::Expect) -> usize {
        2 * Fingerprint::LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.0);
        out.extend_from_slice(&self.rows.0);
    }

    fn decode(reader: &mut Reader<'_>, held: &Self::Expect) -> Result<Self, DecodeError> {
        let got = Self {
            key: Fingerprint(reader.array()?),
            rows: Fingerprint(reader.array()?),
        };
        let other = |field, held: Fingerprint, got: Fingerprint| DecodeError::Field {
            field,
            expected: format!("{held}, of which rows are held here"),
            got: got.to_string(),
        };
        match held {
            Some(held) if held.key != got.key => Err(other("encryption key", held.key, got.key)),
            Some(held) if held.rows != got.rows => Err(other("samples", held.rows, got.rows)),
            _ => Ok(got),
        }
    }
}

/// Server to client, in answer to [`Upload`]: how many of the rows it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsHeld(pub u64);

impl Message for RowsHeld {
    const KIND: u8 = 9;
    const NAME: &'static str = "rows held";
    /// The number of all rows.
    type Expect = u64;

    fn max_len(_: &u64) -> usize {
        8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>, all: &u64) -> Result<Self, DecodeError> {
        match reader.u64()? {
            rows if rows <= *all => Ok(Self(rows)),
            other => Err(DecodeError::Field {
                field: "rows held",
                expected: format!("at most {all}"),
                got: other.to_string(),
            }),
        }
    }
}

bytes_message!(
    /// Client to server: Enc(x) of some rows.
    EncryptedRows, 10, "encrypted rows"
);
bytes_message!(
    /// Client to server, once: with it the server makes ciphertexts of products as short as others.
    Relinearisation, 11, "relinearisation key"
);
bytes_message!(
    /// Client to server: Enc(2^e dL/dy).
    EncryptedDelta, 12, "encrypted delta"
);
bytes_message!(
    /// Server to client: Enc(2^e dL/dW).
    EncryptedGradient, 13, "encrypted gradient"
);
bytes_message!(
    /// Server to client: Enc(2^e dL/dx) of a layer after the first.
    EncryptedInputGradient, 14, "encrypted input gradient"
);
