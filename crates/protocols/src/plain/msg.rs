//! The messages of `plain`.

use cloven_wire::{DecodeError, Message, Reader, f32_array_len, put_f32_array};
use ndarray::ArrayD;

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 5] = [
    (Start::NAME, Start::KIND),
    (Activation::NAME, Activation::KIND),
    (Output::NAME, Output::KIND),
    (OutputGradient::NAME, OutputGradient::KIND),
    (InputGradient::NAME, InputGradient::KIND),
];

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

/// Declares a message that is one tensor of a shape the receiver knows: `[rows, ...]`.
macro_rules! tensor_message {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name(pub ArrayD<f32>);

        impl Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = $text;
            type Expect = [usize];

            fn max_len(shape: &[usize]) -> usize {
                f32_array_len(shape)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                put_f32_array(out, &self.0);
            }

            fn decode(reader: &mut Reader<'_>, shape: &[usize]) -> Result<Self, DecodeError> {
                reader.f32_array(shape).map(Self)
            }
        }
    };
}

tensor_message!(
    /// Client to server: the front's output `a`, `[rows, shape at the server's input]`.
    Activation, 2, "activation"
);
tensor_message!(
    /// Server to client: `y = middle(a)`, `[rows, shape at the server's output]`.
    Output, 3, "output"
);
tensor_message!(
    /// Client to server: `dL/dy`, shaped as `y`.
    OutputGradient, 4, "output gradient"
);
tensor_message!(
    /// Server to client: `dL/da`, shaped as `a`.
    InputGradient, 5, "input gradient"
);
