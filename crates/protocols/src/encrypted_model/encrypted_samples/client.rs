//! The client's script.

use cloven_lattice::LatticeError;
use cloven_nn::{BatchTargets, InputGradient as Wish, Network};
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis, Slice};

use super::msg::{EncryptedDelta, EncryptedGradient, EncryptedRows, Relinearisation, RowsHeld, Upload};
use crate::{
    Observe, Parts, Position, ProtocolError, Task,
    checkpoint::part,
    encrypted_model::{EncryptedOutput, EncryptedWeights, ProductKey, product::Purpose},
    error::malformed,
    training::{self, ClientRounds, Cohort},
};

/// What the client brings.
pub struct Client {
    /// The server's layer with its initial weights and its optimiser, any.
    pub layer: Network,
    /// The layers after it; may be empty.
    pub tail: Network,
    /// The key of the server's layer.
    pub key: ProductKey,
}

/// What a training leaves at the client: the whole network.
pub struct TrainedClient {
    /// The server's layer.
    pub layer: Network,
    /// The layers after it.
    pub tail: Network,
}

/// Trains with the server at the other end of `link`.
pub async fn client<C: Channel>(
    me: Client,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<TrainedClient, ProtocolError> {
    let mut rounds = Rounds { me, task };
    training::client(&mut rounds, &task, link, observe).await?;
    let Client { layer, tail, .. } = rounds.me;
    Ok(TrainedClient { layer, tail })
}

struct Rounds<'a> {
    me: Client,
    task: Task<'a>,
}

impl<C: Channel> ClientRounds<C> for Rounds<'_> {
    async fn begin(&mut self, link: &mut Link<C>, cohort: &Cohort) -> Result<(), ProtocolError> {
        let key = &self.me.key;
        self.upload(link).await?;
        link.send(0, &Relinearisation(key.relinearisation_key()?)).await?;
        if cohort.from == [Position::START] {
            link.send(0, &EncryptedWeights(key.encrypt_weights(&self.me.layer)?)).await?;
        }
        Ok(())
    }

    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        // 1.
        let y = self.receive_output(link, round, t.len()).await?;
        // 2.
        let Client { layer, tail, key } = &mut self.me;
        let z = tail.forward_train(round, &y)?;
        let (loss, dz) = self.task.loss.value_and_gradient(&z, t)?;
        let dy = tail.backward(&dz, Wish::Wanted)?.unwrap_or(dz);
        let (delta, lift) = key.encrypt_delta(x, &dy, round)?;
        link.send(round, &EncryptedDelta(delta)).await?;
        tail.update()?;
        // 3.
        let len = key.encryption().product().gradient_len();
        let EncryptedGradient(answer) = link.receive(round, &len).await?;
        let dw = key.decrypt_gradient(&answer);
        let dw = dw.map_err(|cause| malformed(link.peer(), round, EncryptedGradient::NAME, cause))?;
        // 4.
        key.learn(layer, &dw, [x, &dy], lift)?;
        link.send(round, &EncryptedWeights(key.encrypt_weights(layer)?)).await?;
        Ok(loss)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        let y = self.receive_output(link, round, x.len_of(Axis(0))).await?;
        Ok(self.me.tail.forward(&y)?)
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let Client { layer, tail, .. } = &self.me;
        Ok([
            ("layer".to_owned(), layer.checkpoint()?),
            ("tail".to_owned(), tail.checkpoint()?),
        ]
        .into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.me.layer.restore(part(parts, "layer")?)?;
        Ok(self.me.tail.restore(part(parts, "tail")?)?)
    }
}

impl Rounds<'_> {
    /// Sends the rows that the server does not have: of training, then of test.
    async fn upload<C: Channel>(&self, link: &mut Link<C>) -> Result<(), ProtocolError> {
        let (key, sets) = (&self.me.key, [&self.task.train.x, &self.task.test.x]);
        let upload = Upload {
            key: key.fingerprint(),
            rows: key.secrets.fingerprint_of(sets.iter().flat_map(|x| x.iter())),
        };
        link.send(0, &upload).await?;
        let [train, test] = sets.map(|x| x.len_of(Axis(0)));
        let RowsHeld(held) = link.receive(0, &((train + test) as u64)).await?;
        let mut done = held as usize;
        for rows in key.encryption().row_parts(train + test - done) {
            let mut part = Vec::new();
            for (x, first, end) in [(sets[0], 0, train), (sets[1], train, train + test)] {
                let (from, to) = (done.max(first), (done + rows).min(end));
                if from < to {
                    let x = x.slice_axis(Axis(0), Slice::from(from - first..to - first)).to_owned();
                    part.extend(key.encrypt_rows(&x, |index| Purpose::Row((from + index) as u64))?);
                }
            }
            link.send(0, &EncryptedRows(part)).await?;
            done += rows;
        }
        Ok(())
    }

    async fn receive_output<C: Channel>(
        &self,
        link: &mut Link<C>,
        round: u64,
        rows: usize,
    ) -> Result<ArrayD<f32>, ProtocolError> {
        receive_output(&self.me.key, &self.me.layer, link, round, rows).await
    }
}

/// The layer's outputs on the `rows` rows of a batch.
pub(super) async fn receive_output<C: Channel>(
    key: &ProductKey,
    layer: &Network,
    link: &mut Link<C>,
    round: u64,
    rows: usize,
) -> Result<ArrayD<f32>, ProtocolError> {
    let len = key.encryption().product().outputs_len(rows);
    let EncryptedOutput(answer) = link.receive(round, &len).await?;
    let y = key.decrypt_outputs(&answer, rows, layer);
    y.map_err(|cause: LatticeError| malformed(link.peer(), round, EncryptedOutput::NAME, cause))
}
