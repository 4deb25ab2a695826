//! The server's side of the first layer: h1 from what the holders send, and the gradient at it back to them.

use std::collections::BTreeMap;

use cloven_mpc::shares::{FixedPoint, reconstruct};
use cloven_nn::ModelError;
use cloven_wire::{Channel, Link, Party};
use futures_util::future::try_join_all;
use ndarray::{ArrayD, IxDyn};
use zeroize::Zeroizing;

use super::{activation::relu, gradient_share};
use crate::{
    ProtocolError,
    vertical::{
        FirstLayer, Gradient, Terms,
        msg::{ActivationShare, MaskedGradient, OpenGradient, OutputShare, PlainGradient, PlainOutput},
        scales,
    },
};

/// Step 3: h1 of a batch, `[rows, width]`; or relu(h1).
pub(in crate::vertical) async fn outputs<C: Channel>(
    terms: &Terms,
    links: &mut [Link<C>],
    round: u64,
    rows: usize,
) -> Result<ArrayD<f32>, ProtocolError> {
    let shape = [rows, terms.width];
    let holders = links.iter_mut().filter(|link| terms.place(link.peer()).is_some());
    let h1 = if terms.first_layer == FirstLayer::Plain {
        let parts = holders.map(async |link| {
            let PlainOutput(part) = link.receive(round, &shape[..]).await?;
            Ok::<_, ProtocolError>(part)
        });
        let parts = try_join_all(parts).await?;
        parts.iter().fold(ArrayD::zeros(IxDyn(&shape)), |sum, part| sum + part)
    } else if terms.private_activation {
        let relu = relu(terms.columns.len(), terms.activation_circuit)?;
        let (values, len) = (rows * terms.width, relu.reveal_bytes(rows * terms.width)?);
        let shares = holders.map(async |link| {
            let ActivationShare(share) = link.receive(round, &len).await?;
            Ok::<_, ProtocolError>(share)
        });
        let words = relu.reveal(values, &try_join_all(shares).await?)?;
        numbers(&shape, &words)?
    } else {
        let shares = holders.map(async |link| {
            let share: OutputShare = link.receive(round, &OutputShare::len(rows, terms.width)).await?;
            Ok::<_, ProtocolError>(share.words(rows, terms.width)?)
        });
        let sum = reconstruct(&try_join_all(shares).await?)?;
        numbers(&shape, sum.words())?
    };
    match h1.iter().all(|value| f64::from(value.abs()) < scales::OUTPUT_BOUND) {
        true => Ok(h1),
        false => Err(ModelError::Diverged {
            what: "the first layer's output",
        }
        .into()),
    }
}

fn numbers(shape: &[usize], words: &[u64]) -> Result<ArrayD<f32>, ProtocolError> {
    let point = FixedPoint::new(scales::OUTPUT)?;
    let numbers = words.iter().map(|word| point.decode(*word) as f32).collect();
    Ok(ArrayD::from_shape_vec(IxDyn(shape), numbers).expect("one number for each word"))
}

/// Step 5: the gradient at h1 times the learning rate, as it is, or less the shares of it that holders have by their seeds.
pub(in crate::vertical) async fn send_gradient<C: Channel>(
    terms: &Terms,
    sessions: &BTreeMap<Party, Zeroizing<[u8; 32]>>,
    links: &mut [Link<C>],
    round: u64,
    delta: ArrayD<f32>,
) -> Result<(), ProtocolError> {
    let holders: Vec<_> = links.iter_mut().filter(|link| terms.place(link.peer()).is_some()).collect();
    if terms.first_layer == FirstLayer::Plain {
        let delta = PlainGradient(delta);
        for link in holders {
            link.send(round, &delta).await?;
        }
        return Ok(());
    }
    let values: Vec<f32> = delta.iter().copied().collect();
    let mut delta = FixedPoint::new(scales::GRADIENT)?.encode(values.len() / terms.width, terms.width, &values)?;
    if terms.gradient == Gradient::Open {
        for link in holders {
            link.send(round, &OpenGradient(delta.encode())).await?;
        }
        return Ok(());
    }
    for (_, session) in sessions.iter().filter(|(holder, _)| terms.place(holder).is_some()) {
        delta.sub_assign(&gradient_share(session, round, delta.rows(), terms.width)?)?;
    }
    let masked = MaskedGradient(delta.encode());
    for link in holders {
        link.send(round, &masked).await?;
    }
    Ok(())
}
