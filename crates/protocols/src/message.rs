//! Messages that several protocols share.

use cloven_wire::{DecodeError, Message, Reader};

use crate::Position;

/// Client to server, once: how much there is to do, and where the client could go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Training rows.
    pub train_rows: u64,
    /// Test rows.
    pub test_rows: u64,
    /// Checkpoints, at most [`Start::MAX_POSITIONS`].
    pub positions: Vec<Position>,
}

impl Start {
    /// More rows than this are refused: a count beyond it is a mistake or an attack.
    pub const MAX_ROWS: u64 = 1 << 40;
    /// More checkpoints than this are refused.
    pub const MAX_POSITIONS: usize = 16;
    /// Bytes without positions.
    pub(crate) const LEN: usize = 8 + 8 + 1;
}

/// Bytes of a position.
pub(crate) const POSITION: usize = 8;

pub(crate) fn put_position(out: &mut Vec<u8>, position: Position) {
    out.extend_from_slice(&position.epoch.to_le_bytes());
    out.extend_from_slice(&position.batch.to_le_bytes());
}

pub(crate) fn read_position(reader: &mut Reader<'_>) -> Result<Position, DecodeError> {
    let (epoch, batch) = (reader.u32()?, reader.u32()?);
    within("epoch", 1, u32::MAX.into(), epoch.into())?;
    Ok(Position { epoch, batch })
}

pub(crate) fn within(field: &'static str, least: u64, most: u64, got: u64) -> Result<u64, DecodeError> {
    match (least..=most).contains(&got) {
        true => Ok(got),
        false => Err(DecodeError::Field {
            field,
            expected: format!("{least} to {most}"),
            got: got.to_string(),
        }),
    }
}

impl Message for Start {
    const KIND: u8 = 1;
    const NAME: &'static str = "start";
    type Expect = ();

    fn max_len((): &()) -> usize {
        Self::LEN + Self::MAX_POSITIONS * POSITION
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.train_rows.to_le_bytes());
        out.extend_from_slice(&self.test_rows.to_le_bytes());
        out.push(self.positions.len() as u8);
        self.positions.iter().for_each(|position| put_position(out, *position));
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let train_rows = within("training rows", 1, Self::MAX_ROWS, reader.u64()?)?;
        let test_rows = within("test rows", 0, Self::MAX_ROWS, reader.u64()?)?;
        let positions = within("checkpoints", 0, Self::MAX_POSITIONS as u64, reader.u8()?.into())?;
        Ok(Self {
            train_rows,
            test_rows,
            positions: (0..positions).map(|_| read_position(reader)).collect::<Result<_, _>>()?,
        })
    }
}

/// Server to client, once, in answer to [`Start`]: how much there is to do in all, and where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// The number of clients.
    pub clients: u32,
    /// Training rows of all clients.
    pub train_rows: u64,
    /// The beginning, or one of the client's checkpoints.
    pub from: Position,
}

impl Begin {
    pub(crate) const LEN: usize = 4 + 8 + POSITION;
}

impl Message for Begin {
    const KIND: u8 = 15;
    const NAME: &'static str = "begin";
    /// The number of clients in the job, and what the receiver has to do.
    type Expect = (u32, Start);

    fn max_len(_: &Self::Expect) -> usize {
        Self::LEN
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.clients.to_le_bytes());
        out.extend_from_slice(&self.train_rows.to_le_bytes());
        put_position(out, self.from);
    }

    fn decode(reader: &mut Reader<'_>, (clients, own): &Self::Expect) -> Result<Self, DecodeError> {
        let clients = u64::from(*clients);
        let most = if clients == 1 {
            own.train_rows
        } else {
            Start::MAX_ROWS * clients
        };
        let (number, train_rows) = (reader.u32()?, reader.u64()?);
        within("clients", clients, clients, number.into())?;
        within("training rows of all clients", own.train_rows, most, train_rows)?;
        let from = read_position(reader)?;
        if from != Position::START && !own.positions.contains(&from) {
            return Err(DecodeError::Field {
                field: "checkpoint",
                expected: "the beginning, or one that this party has".into(),
                got: format!("epoch {}, batch {}", from.epoch, from.batch),
            });
        }
        Ok(Self {
            clients: number,
            train_rows,
            from,
        })
    }
}

/// Declares a message of bytes, at most so many: what is inside is checked by who reads it.
macro_rules! bounded_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(pub Vec<u8>);

        impl Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            /// The most bytes.
            type Expect = usize;

            fn max_len(most: &usize) -> usize {
                *most
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }

            fn decode(reader: &mut Reader<'_>, most: &usize) -> Result<Self, DecodeError> {
                let bytes = reader.rest();
                match bytes.len() <= *most {
                    true => Ok(Self(bytes.to_vec())),
                    false => Err(DecodeError::Field {
                        field: "length",
                        expected: format!("at most {most} bytes"),
                        got: bytes.len().to_string(),
                    }),
                }
            }
        }
    };
}
pub(crate) use bounded_message;

/// Declares a message that says that the checkpoint at the beginning of an epoch is on disk.
macro_rules! settled_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            /// From 2; one more than the job's epochs after the last.
            pub epoch: u32,
        }

        impl Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            /// The epoch.
            type Expect = u32;

            fn max_len(_: &u32) -> usize {
                4
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.epoch.to_le_bytes());
            }

            fn decode(reader: &mut Reader<'_>, epoch: &u32) -> Result<Self, DecodeError> {
                let got = reader.u32()?;
                within("epoch", (*epoch).into(), (*epoch).into(), got.into())?;
                Ok(Self { epoch: got })
            }
        }
    };
}

settled_message!(
    /// Client to server: its checkpoint at the beginning of `epoch` is on disk.
    Settled, 17, "settled"
);
settled_message!(
    /// Server to every client: that of every party is.
    AllSettled, 18, "all settled"
);

/// Declares a message that is one tensor of a shape the receiver knows: `[rows, ...]`.
macro_rules! tensor_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(pub ndarray::ArrayD<f32>);

        impl cloven_wire::Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            type Expect = [usize];

            fn max_len(shape: &[usize]) -> usize {
                cloven_wire::f32_array_len(shape)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                cloven_wire::put_f32_array(out, &self.0);
            }

            fn decode(reader: &mut cloven_wire::Reader<'_>, shape: &[usize]) -> Result<Self, cloven_wire::DecodeError> {
                reader.f32_array(shape).map(Self)
            }
        }
    };
}

pub(crate) use tensor_message;

/// Declares a message that is bytes of exactly the expected length: ciphertexts, or words of shares. What is inside is checked by the step that reads it.
macro_rules! bytes_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub Vec<u8>);

        impl cloven_wire::Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            type Expect = usize;

            fn max_len(len: &usize) -> usize {
                *len
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }

            fn decode(reader: &mut cloven_wire::Reader<'_>, len: &usize) -> Result<Self, cloven_wire::DecodeError> {
                reader.bytes(*len).map(|bytes| Self(bytes.to_vec()))
            }

            fn payload(&self) -> Option<&[u8]> {
                Some(&self.0)
            }

            fn from_payload(payload: &mut Vec<u8>, len: &usize) -> Result<Self, cloven_wire::DecodeError> {
                match payload.len() == *len {
                    true => Ok(Self(std::mem::take(payload))),
                    false => Self::decode_whole(payload, len),
                }
            }
        }
    };
}

pub(crate) use bytes_message;
