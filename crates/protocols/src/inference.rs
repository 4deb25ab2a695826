//! The loop that every prediction with a trained network shares, between one client and one server: the client says how many rows it has,
//! then the network's outputs on them are worked out batch by batch. What happens inside a batch is the protocol's own; it is what happens
//! in a batch of evaluation, so nothing is sent in a prediction that is not sent in training (but where a client hides what it showed in training,
//! [`crate::encrypted_model::predict::hidden`]).
//!
//! With several clients each predicts alone with the server.

use cloven_nn::ModelError;
use cloven_wire::{Channel, DecodeError, Link, Message, Reader};
use ndarray::{ArrayD, Axis, Slice, concatenate};

use crate::{Event, Observe, ProtocolError, Start, schedule::sizes};

/// What a client wants the network's outputs on.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// Inputs, `[rows, sample shape...]`; at least one row.
    pub x: &'a ArrayD<f32>,
    /// Rows in a batch, from the shared job; the last batch may be smaller.
    pub batch: usize,
}

/// Client to server, once: the number of rows to predict. The counterpart of `start`, of another kind, so that a party that trains and one
/// that predicts refuse each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Rows; at least one.
    pub rows: u64,
}

impl Message for Ask {
    const KIND: u8 = 16;
    const NAME: &'static str = "ask";
    type Expect = ();

    fn max_len((): &()) -> usize {
        8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rows.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        match reader.u64()? {
            rows @ 1..=Start::MAX_ROWS => Ok(Self { rows }),
            other => Err(DecodeError::Field {
                field: "rows to predict",
                expected: format!("1 to {}", Start::MAX_ROWS),
                got: other.to_string(),
            }),
        }
    }
}

/// The network's outputs on all rows, in order: `[rows, outputs]`. `outputs` is the client's part in a batch: link, round, inputs.
pub(crate) async fn client<C: Channel>(
    queries: Queries<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
    mut outputs: impl AsyncFnMut(&mut Link<C>, u64, &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError>,
) -> Result<ArrayD<f32>, ProtocolError> {
    let rows = queries.x.shape().first().copied().unwrap_or(0);
    if rows == 0 {
        return Err(ProtocolError::Model(ModelError::Shape {
            what: "rows to predict",
            expected: "[batch, ...] with at least one row".into(),
            actual: queries.x.shape().to_vec(),
        }));
    }
    link.send(0, &Ask { rows: rows as u64 }).await?;
    let mut traffic = link.traffic();
    observe(Event::Asked { rows, traffic })?;
    let (mut parts, mut done) = (Vec::new(), 0);
    for (round, size) in (1..).zip(sizes(rows, queries.batch)) {
        let x = queries.x.slice_axis(Axis(0), Slice::from(done..done + size)).to_owned();
        parts.push(outputs(link, round, &x).await?);
        done += size;
        traffic = link.traffic();
        observe(Event::Predicted { rows: done, traffic })?;
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(Axis(0), &views).expect("every part has the network's output shape"))
}

/// Answers until the client has all it asked for. `answer` is the server's part in a batch: link, round, number of rows.
pub(crate) async fn server<C: Channel>(
    batch: usize,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
    mut answer: impl AsyncFnMut(&mut Link<C>, u64, usize) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    let Ask { rows } = link.receive(0, &()).await?;
    let rows = rows as usize;
    let mut traffic = link.traffic();
    observe(Event::Asked { rows, traffic })?;
    let mut done = 0;
    for (round, size) in (1..).zip(sizes(rows, batch)) {
        answer(link, round, size).await?;
        done += size;
        traffic = link.traffic();
        observe(Event::Predicted { rows: done, traffic })?;
    }
    Ok(())
}
