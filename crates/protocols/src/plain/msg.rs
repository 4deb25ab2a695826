//! The messages of `plain`.

use cloven_wire::Message;

use crate::{AllSettled, Begin, Settled, Start, message::tensor_message};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 8] = [
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (Activation::NAME, Activation::KIND),
    (Output::NAME, Output::KIND),
    (OutputGradient::NAME, OutputGradient::KIND),
    (InputGradient::NAME, InputGradient::KIND),
];

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
