//! From a recording to numbers by batch.

use std::collections::BTreeMap;

use cloven_nn::{InputGradient, Network};
use cloven_wire::{Reader, recording::Received};
use ndarray::{Array2, ArrayD, IxDyn};

use crate::AuditError;

mod upload;

pub use upload::Upload;

/// What a party received of a batch, one line a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Numbers in the clear.
    Numbers(Array2<f32>),
    /// Ciphertext bytes, brought to mean 0 and deviation 1: each row the part of its batch's ciphertext that is its by position.
    Bytes(Array2<f32>),
}

impl Seen {
    /// The numbers, whatever they mean.
    pub fn values(&self) -> &Array2<f32> {
        match self {
            Self::Numbers(values) | Self::Bytes(values) => values,
        }
    }
}

/// What a party received in one training batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The activations, or their ciphertexts.
    pub activation: Option<Seen>,
    /// The gradients at the server's output, or their ciphertexts.
    pub gradient: Option<Seen>,
    /// The gradient of the layer's weight, `[outputs, inputs]`.
    pub weight_gradient: Option<Array2<f64>>,
    /// The gradients at the front's output; what a client receives.
    pub input_gradient: Option<ArrayD<f32>>,
}

/// A party's view of the first training batches, by round from 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// By batch, without gaps.
    pub batches: Vec<Batch>,
    /// The message that the first activations came in; empty if there was none.
    pub activation_in: String,
    /// The message that the first gradients came in; empty if there was none.
    pub gradient_in: String,
    /// Whether the activations are the client's rows themselves, uploaded before the first batch.
    pub uploaded: bool,
}

impl View {
    /// Sorts messages into batches; of a protocol that sends activations. `sizes` are the rows of each, round 1 first. What comes after them is not looked at.
    ///
    /// # Errors
    /// [`AuditError`] for a damaged recording or a payload that is not what its name says.
    pub fn read<E: Into<AuditError>>(
        messages: impl IntoIterator<Item = Result<Received, E>>,
        sizes: &[usize],
    ) -> Result<Self, AuditError> {
        let mut rounds: BTreeMap<usize, Batch> = BTreeMap::new();
        let mut view = Self::default();
        for message in messages {
            let message = message.map_err(Into::into)?;
            let at = match message.round {
                0 => continue,
                round if round as usize > sizes.len() => break,
                round => round as usize - 1,
            };
            let batch = rounds.entry(at).or_default();
            let rows = sizes[at];
            match message.name.as_str() {
                "activation" => batch.activation = Some(Seen::Numbers(flat(&message, 0, rows)?)),
                "output gradient" => batch.gradient = Some(Seen::Numbers(flat(&message, 0, rows)?)),
                "sealed activation" => batch.activation = Some(Seen::Bytes(bytes(&message.payload, rows))),
                "sealed gradient" => batch.gradient = Some(Seen::Bytes(bytes(&message.payload, rows))),
                "gradients" => {
                    batch.gradient = Some(Seen::Numbers(flat(&message, 0, rows)?));
                    batch.weight_gradient = Some(tensor_as_matrix(&message, 1)?.mapv(f64::from));
                }
                "input gradient" => batch.input_gradient = Some(tensors(&message, 1)?.swap_remove(0)),
                _ => continue,
            }
            match message.name.as_str() {
                "activation" | "sealed activation" if view.activation_in.is_empty() => view.activation_in = message.name,
                "output gradient" | "sealed gradient" | "gradients" if view.gradient_in.is_empty() => {
                    view.gradient_in = message.name;
                }
                _ => (),
            }
        }
        let known = rounds.into_iter().enumerate().take_while(|(n, (at, _))| n == at);
        view.batches = known.map(|(_, (_, batch))| batch).collect();
        Ok(view)
    }
}

/// The activations that a client's front gave in each batch: the front from its initial weights, trained again with the gradients that the
/// client received. Bit for bit what it computed, as long as all of them were in the clear.
///
/// # Errors
/// Whatever the front refuses.
pub fn replay(mut front: Network, inputs: &[ArrayD<f32>], client: &View) -> Result<Vec<Array2<f64>>, AuditError> {
    let mut all = Vec::new();
    for (at, (x, batch)) in inputs.iter().zip(&client.batches).enumerate() {
        let Some(gradient) = &batch.input_gradient else { break };
        let a = front.forward_train(at as u64 + 1, x)?;
        let rows = a.shape()[0];
        let width = a.len() / rows.max(1);
        all.push(Array2::from_shape_fn((rows, width), |_| 0.0));
        if let (Some(last), Some(values)) = (all.last_mut(), a.as_slice()) {
            last.iter_mut().zip(values).for_each(|(to, from)| *to = f64::from(*from));
        }
        front.backward(gradient, InputGradient::NotWanted)?;
        front.update()?;
    }
    Ok(all)
}

/// Each row's part of a ciphertext. A byte of a ciphertext is uniform: mean 127.5, deviation 73.9.
fn bytes(payload: &[u8], rows: usize) -> Array2<f32> {
    let width = payload.len() / rows.max(1);
    Array2::from_shape_fn((rows, width), |(row, column)| {
        (f32::from(payload[row * width + column]) - 127.5) / 73.9
    })
}

/// A tensor of the message as `[rows, numbers of a row]`.
pub(crate) fn flat(message: &Received, index: usize, rows: usize) -> Result<Array2<f32>, AuditError> {
    let tensor = tensors(message, index + 1)?.swap_remove(index);
    if tensor.shape().first() != Some(&rows) {
        return Err(wrong(message, format!("{rows} rows"), format!("shape {:?}", tensor.shape())));
    }
    matrix(message, tensor)
}

fn tensor_as_matrix(message: &Received, index: usize) -> Result<Array2<f32>, AuditError> {
    matrix(message, tensors(message, index + 1)?.swap_remove(index))
}

fn matrix(message: &Received, tensor: ArrayD<f32>) -> Result<Array2<f32>, AuditError> {
    let (rows, total) = (tensor.shape().first().copied().unwrap_or(0), tensor.len());
    let shape = tensor.shape().to_vec();
    let values = tensor.into_raw_vec_and_offset().0;
    match rows {
        0 => Err(wrong(message, "rows".into(), format!("shape {shape:?}"))),
        rows => {
            Array2::from_shape_vec((rows, total / rows), values).map_err(|e| wrong(message, "a matrix".into(), e.to_string()))
        }
    }
}

/// The first tensors of a payload, of whatever shapes they say; a shape is believed only as far as there are bytes.
fn tensors(message: &Received, count: usize) -> Result<Vec<ArrayD<f32>>, AuditError> {
    let mut rest = &message.payload[..];
    let mut all = Vec::new();
    for _ in 0..count {
        let mut head = Reader::new(rest);
        let failed = |e: cloven_wire::DecodeError| wrong(message, "a tensor".into(), e.to_string());
        let rank = head.u8().map_err(failed)? as usize;
        let shape = (0..rank)
            .map(|_| head.u32().map(|d| d as usize))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let numbers = shape.iter().try_fold(1usize, |product, d| product.checked_mul(*d));
        let length = numbers
            .and_then(|n| n.checked_mul(4))
            .and_then(|n| n.checked_add(1 + 4 * rank));
        let Some(length) = length.filter(|length| *length <= rest.len()) else {
            return Err(wrong(
                message,
                format!("a tensor within {} bytes", rest.len()),
                format!("shape {shape:?}"),
            ));
        };
        let tensor = Reader::new(&rest[..length]).f32_array(&shape).map_err(failed)?;
        all.push(
            tensor
                .into_shape_with_order(IxDyn(&shape))
                .map_err(|e| wrong(message, "a tensor".into(), e.to_string()))?,
        );
        rest = &rest[length..];
    }
    Ok(all)
}

pub(crate) fn wrong(message: &Received, expected: String, got: String) -> AuditError {
    AuditError::Payload {
        name: message.name.clone(),
        round: message.round,
        expected,
        got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, round: u64, payload: Vec<u8>) -> Result<Received, AuditError> {
        Ok(Received {
            peer: "hospital".parse().unwrap(),
            name: name.into(),
            kind: 2,
            round,
            payload,
        })
    }

    fn payload(shapes: &[&[usize]]) -> Vec<u8> {
        let mut out = Vec::new();
        shapes
            .iter()
            .for_each(|shape| cloven_wire::put_f32_array(&mut out, &ArrayD::ones(IxDyn(shape))));
        out
    }

    #[test]
    fn messages_become_batches_up_to_the_first_gap() {
        let messages = [
            message("activation", 1, payload(&[&[2, 3, 4]])),
            message("gradients", 1, payload(&[&[2, 5], &[5, 12], &[5]])),
            message("sealed activation", 2, vec![0; 100]),
            message("activation", 4, payload(&[&[1, 2]])),
            message("activation", 9, vec![]),
        ];
        let view = View::read(messages, &[2, 2, 2, 1]).unwrap();
        assert_eq!(view.batches.len(), 2);
        assert_eq!(
            (view.activation_in.as_str(), view.gradient_in.as_str()),
            ("activation", "gradients")
        );
        assert_eq!(view.batches[0].activation.as_ref().unwrap().values().dim(), (2, 12));
        assert_eq!(view.batches[0].weight_gradient.as_ref().unwrap().dim(), (5, 12));
        assert_eq!(view.batches[1].activation.as_ref().unwrap().values().dim(), (2, 50));
    }

    #[test]
    fn payloads_that_are_something_else_are_named() {
        let huge = [
            &[4u8][..],
            &u32::MAX.to_le_bytes(),
            &u32::MAX.to_le_bytes(),
            &u32::MAX.to_le_bytes(),
            &u32::MAX.to_le_bytes(),
        ]
        .concat();
        for bad in [vec![], huge, payload(&[&[3, 2]]), payload(&[&[2, 2]])[..10].to_vec()] {
            let error = View::read([message("activation", 1, bad)], &[2]).unwrap_err();
            assert!(error.to_string().contains("activation of round 1"), "{error}");
        }
    }
}
