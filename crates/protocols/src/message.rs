//! Messages that several protocols share.

use cloven_wire::{DecodeError, Message, Reader};

/// Client to server, once: how much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Training rows.
    pub train_rows: u64,
    /// Test rows.
    pub test_rows: u64,
}

impl Start {
    /// More rows than this are refused: a count beyond it is a mistake or an attack.
    pub const MAX_ROWS: u64 = 1 << 40;
}

impl Message for Start {
    const KIND: u8 = 1;
    const NAME: &'static str = "start";
    type Expect = ();

    fn max_len((): &()) -> usize {
        16
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.train_rows.to_le_bytes());
        out.extend_from_slice(&self.test_rows.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let mut rows = |field, least| match reader.u64()? {
            n if (least..=Self::MAX_ROWS).contains(&n) => Ok(n),
            n => Err(DecodeError::Field {
                field,
                expected: format!("{least} to {}", Self::MAX_ROWS),
                got: n.to_string(),
            }),
        };
        Ok(Self {
            train_rows: rows("training rows", 1)?,
            test_rows: rows("test rows", 0)?,
        })
    }
}

/// Server to client, once, in answer to [`Start`]: how much there is to do in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// The number of clients.
    pub clients: u32,
    /// Training rows of all clients.
    pub train_rows: u64,
}

impl Message for Begin {
    const KIND: u8 = 15;
    const NAME: &'static str = "begin";
    /// The number of clients in the job, and the receiver's own training rows.
    type Expect = (u32, u64);

    fn max_len(_: &(u32, u64)) -> usize {
        12
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.clients.to_le_bytes());
        out.extend_from_slice(&self.train_rows.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>, (clients, own): &(u32, u64)) -> Result<Self, DecodeError> {
        let field = |field, least: u64, most: u64, got: u64| match (least..=most).contains(&got) {
            true => Ok(got),
            false => Err(DecodeError::Field {
                field,
                expected: format!("{least} to {most}"),
                got: got.to_string(),
            }),
        };
        let clients = u64::from(*clients);
        let most = if clients == 1 { *own } else { Start::MAX_ROWS * clients };
        Ok(Self {
            clients: field("clients", clients, clients, reader.u32()?.into())? as u32,
            train_rows: field("training rows of all clients", *own, most, reader.u64()?)?,
        })
    }
}

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
