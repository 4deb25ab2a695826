//! Predicting with a network that `vertical` trained, all holders online: alignment of the new ids, then for each batch steps 1 to 3 of training, as in evaluation.
//!
//! Before the first batch the label holder says to the server how many rows there are (`ask`), and the server says so to a dealer. Keys and masks are fresh in each
//! prediction, and no gradient is sent.
//!
//! **Who learns what.** [`leaks`] says it in full.

use cloven_nn::Network;
use cloven_wire::{Channel, Link, Party};
use ndarray::{Array2, ArrayD, Axis, concatenate, s};

use super::{Columns, Gradient, Terms, layer, layer::Layer, msg::Hidden, peers::Peers};
use crate::{Ask, Event, Leak, Observe, Position, ProtocolError, schedule::sizes};

/// What a holder brings.
pub struct Holder<'a> {
    /// Its name.
    pub party: Party,
    /// Its columns of the common rows, in the common order, `[rows, columns]`, if it has any.
    pub columns: Option<Array2<f32>>,
    /// What the training left it: [`super::TrainedHolder::shares`].
    pub shares: &'a [u8],
    /// The label holder's layers.
    pub tail: Option<&'a Network>,
    /// Common rows; at least one.
    pub rows: usize,
    /// Fresh in each prediction.
    pub secret: &'a [u8; 32],
}

/// Steps 1 and 2 for all rows; at the label holder, the network's outputs, `[rows, outputs]`. `links` are in the order of names.
///
/// # Errors
/// [`ProtocolError`], naming the party that sent what cannot be.
pub async fn holder<C: Channel>(
    me: Holder<'_>,
    terms: &Terms,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<Option<ArrayD<f32>>, ProtocolError> {
    let terms = &once(terms);
    let mut layer = match (&me.columns, terms.place(&me.party)) {
        (Some(x), Some(place)) => {
            let columns = Columns {
                train: x.slice(s![..0, ..]).to_owned(),
                test: x.clone(),
            };
            let mut layer = Layer::new(place, terms, &columns, me.secret)?;
            layer.restore(me.shares)?;
            Some(layer)
        }
        _ => None,
    };
    let mut peers = Peers::new(&me.party, terms, links)?;
    if me.tail.is_some() {
        peers.server.send(0, &Ask { rows: me.rows as u64 }).await?;
    }
    let (rows, traffic) = (me.rows, peers.traffic());
    observe(Event::Asked { rows, traffic })?;
    if let Some(layer) = &mut layer {
        // Secrets are fresh, and weights are those of the training.
        layer.begin(Position::START, &[0; 32], &mut peers).await?;
    }
    let (mut parts, mut done) = (Vec::new(), 0);
    for (round, size) in (1..).zip(sizes(rows, terms.schedule.evaluation_batch)) {
        if let Some(layer) = &mut layer {
            let rows: Vec<usize> = (done..done + size).collect();
            layer.send_outputs(&mut peers, round, &rows, false).await?;
        }
        if let Some(tail) = me.tail {
            let Hidden(y) = peers.server.receive(round, &tail.batch_shape(size)[..]).await?;
            parts.push(tail.forward(&y)?);
        }
        done += size;
        let traffic = peers.traffic();
        observe(Event::Predicted { rows: done, traffic })?;
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let outputs = concatenate(Axis(0), &views);
    Ok(me.tail.map(|_| outputs.expect("every part has the network's output shape")))
}

/// Step 3 for all rows.
///
/// # Errors
/// [`ProtocolError`], naming the party that sent what cannot be.
pub async fn server<C: Channel>(
    hidden: &Network,
    terms: &Terms,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let Ask { rows } = terms.link_to(&terms.label_holder, links)?.receive(0, &()).await?;
    if let Some(dealer) = &terms.dealer {
        terms.link_to(dealer, links)?.send(0, &Ask { rows }).await?;
    }
    let rows = rows as usize;
    let traffic = |links: &[Link<C>]| links.iter().map(Link::traffic).sum();
    observe(Event::Asked {
        rows,
        traffic: traffic(links),
    })?;
    let mut done = 0;
    for (round, size) in (1..).zip(sizes(rows, terms.schedule.evaluation_batch)) {
        let h1 = layer::outputs(terms, links, round, size).await?;
        let y = Hidden(hidden.forward(&h1)?);
        terms.link_to(&terms.label_holder, links)?.send(round, &y).await?;
        done += size;
        observe(Event::Predicted {
            rows: done,
            traffic: traffic(links),
        })?;
    }
    Ok(())
}

/// Weights stay as they are: every product is computed in its batch, whatever the training did. There is nothing to coordinate.
pub(super) fn once(terms: &Terms) -> Terms {
    Terms {
        gradient: Gradient::Shared,
        coordinator: None,
        ..terms.clone()
    }
}

/// What each party learns by predicting.
pub fn leaks(terms: &Terms) -> Vec<Leak> {
    let mut all = vec![
        Leak::new(terms.server.as_str(), terms.prediction_leak()),
        Leak::new(
            terms.label_holder.as_str(),
            "the hidden layers' output of every row, and the predictions",
        ),
    ];
    let ids = "which of its ids all holders have, and how many distinct ids each of them has";
    all.extend(terms.holders().map(|holder| Leak::new(holder.as_str(), ids)));
    if let Some(dealer) = &terms.dealer {
        all.push(Leak::new(dealer.as_str(), "the number of rows"));
    }
    all
}
