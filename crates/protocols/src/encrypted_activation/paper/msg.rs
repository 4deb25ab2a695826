//! The messages of mode `paper`: those of the encrypted forward product, and two in the clear.

use cloven_nn::Network;
use cloven_wire::{DecodeError, Message, Reader, put_f32_array};
use ndarray::ArrayD;

use crate::{
    AllSettled, Begin, Settled, Start,
    encrypted_activation::msg::{SealedActivation, SealedOutput, arrays_len, read_arrays},
    message::tensor_message,
};

/// The name and kind of every message, in the order of first use. No kind means one thing here and another in `sealed`.
pub const MESSAGES: [(&str, u8); 8] = [
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (SealedActivation::NAME, SealedActivation::KIND),
    (SealedOutput::NAME, SealedOutput::KIND),
    (Gradients::NAME, Gradients::KIND),
    (InputGradient::NAME, InputGradient::KIND),
];

/// Client to server, in the clear: everything that the server needs to recover the activations.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// dL/dy, `[rows, outputs]`.
    pub output: ArrayD<f32>,
    /// dL/dW and dL/dbias, in the layouts of `cloven_nn::Network::parameters`.
    pub layer: Vec<ArrayD<f32>>,
}

impl Gradients {
    /// What the receiver expects for a batch of `rows` rows: the shape of dy, then those of the layer's parameters.
    pub fn shapes(layer: &Network, rows: usize) -> Vec<Vec<usize>> {
        let output = [&[rows], layer.output_shape()].concat();
        let parameters = layer.parameters().into_iter().map(|(_, value)| value.shape().to_vec());
        std::iter::once(output).chain(parameters).collect()
    }
}

impl Message for Gradients {
    const KIND: u8 = 7;
    const NAME: &'static str = "gradients";
    /// [`Gradients::shapes`].
    type Expect = [Vec<usize>];

    fn max_len(shapes: &[Vec<usize>]) -> usize {
        arrays_len(shapes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_f32_array(out, &self.output);
        self.layer.iter().for_each(|array| put_f32_array(out, array));
    }

    fn decode(reader: &mut Reader<'_>, shapes: &[Vec<usize>]) -> Result<Self, DecodeError> {
        let mut arrays = read_arrays(reader, shapes)?;
        let layer = arrays.split_off(1);
        let output = arrays.remove(0);
        Ok(Self { output, layer })
    }
}

tensor_message!(
    /// Server to client, in the clear: `dL/da`, shaped as `a`.
    InputGradient, 8, "input gradient"
);
