//! The client's script.

use cloven_lattice::LatticeError;
use cloven_nn::{BatchTargets, InputGradient as Wish, Network, OptimiserSpec, WeightedLoss};
use cloven_wire::{Channel, Link, Message};
use ndarray::{ArrayD, Axis};

use super::{
    layer::LayerKey,
    msg::{EncryptedOutput, EncryptedStep, EncryptedWeights, HeldWeights, Key, MergeKeys, Samples},
    precision::Precision,
    product::ProductKey,
    products::Products,
};
use crate::{
    Observe, Parts, Position, ProtocolError, Task,
    checkpoint::{number, part},
    error::malformed,
    training::{self, ClientRounds, Cohort},
};

/// What the client brings.
pub struct Client {
    /// The server's layer with its initial weights, which are encrypted and sent at the beginning of a training.
    pub layer: Network,
    /// The layers after it; may be empty. Those of the server's have their products [outside](Network::with_products_outside).
    pub tail: Network,
    /// The key of the server's first layer.
    pub key: LayerKey,
    /// The key of each layer outside.
    pub inner: Vec<ProductKey>,
    /// How the server's first layer learns: SGD without momentum.
    pub optimiser: OptimiserSpec,
    /// Largest error of the layer's outputs that is accepted, in units of the output.
    pub precision: f64,
}

/// What a training leaves at the client.
pub struct TrainedClient {
    /// The layers after the server's.
    pub tail: Network,
    /// The server's weights are its ciphertexts times this factor.
    pub factor: f64,
}

/// Trains with the server at the other end of `link`.
pub async fn client<C: Channel>(
    me: Client,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<TrainedClient, ProtocolError> {
    let precision = Precision::plan(me.key.encryption(), me.precision, &task)?;
    let mut me = me;
    let mut rounds = Rounds {
        inner: Products::new(std::mem::take(&mut me.inner)),
        me,
        loss: task.weighted_loss(),
        task,
        precision,
        factor: 1.0,
        updates: 0,
        encryptions: 0,
    };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(TrainedClient {
        tail: rounds.me.tail,
        factor: rounds.factor,
    })
}

struct Rounds<'a> {
    me: Client,
    /// The server's layers after the first.
    inner: Products,
    loss: WeightedLoss,
    task: Task<'a>,
    precision: Precision,
    /// s in W = s W~, where the server holds Enc(W~): weight decay is a change of s.
    factor: f64,
    /// Steps so far.
    updates: u64,
    /// How often W was encrypted.
    encryptions: u64,
}

/// W~ is encrypted anew when s is below this, before its scale runs out.
const LEAST_FACTOR: f64 = 0.25;

impl<C: Channel> ClientRounds<C> for Rounds<'_> {
    async fn begin(&mut self, link: &mut Link<C>, cohort: &Cohort) -> Result<(), ProtocolError> {
        link.send(0, &Key(self.me.key.fingerprint())).await?;
        send_merge_keys(&self.me.key, link, 0).await?;
        for x in [&self.task.train.x, &self.task.test.x] {
            self.send_samples(link, x).await?;
        }
        self.inner.send_relinearisation(link, 0).await?;
        if cohort.from == [Position::START] {
            let encryption = self.me.key.encryption();
            let matrix = encryption.matrix(&self.me.layer);
            for blocks in encryption.weight_parts() {
                let part = self.me.key.encrypt_weights(&matrix, blocks, 0)?;
                link.send(0, &EncryptedWeights(part)).await?;
            }
            self.encryptions = 1;
            self.inner.send_weights(&self.me.tail, link, 0).await?;
        }
        Ok(())
    }

    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        // 1.
        let y = self.receive_output(link, round, t.len()).await?;
        // 2.
        let (me, inner) = (&mut self.me, &mut self.inner);
        let z = inner.forward_train(&mut me.tail, &y, link, round).await?;
        let (loss, dz) = self.loss.value_and_gradient(&z, t)?;
        let dy = inner
            .backward(&mut me.tail, &dz, Wish::Wanted, link, round)
            .await?
            .unwrap_or(dz);
        self.updates += 1;
        let rate = me.optimiser.rate(self.updates);
        self.factor *= 1.0 - rate * me.optimiser.weight_decay();
        let refresh = self.precision.after(x) || self.factor.abs() < LEAST_FACTOR;
        let delta = me.key.encrypt_step(&dy, rate / self.factor, round)?;
        link.send(round, &EncryptedStep { refresh, delta }).await?;
        me.tail.update()?;
        // 3., if it is due.
        if refresh {
            self.refresh(link, round).await?;
        }
        self.inner.send_weights(&self.me.tail, link, round).await?;
        Ok(loss)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        let y = self.receive_output(link, round, x.len_of(Axis(0))).await?;
        self.inner.forward(&self.me.tail, &y, link, round).await
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let number = |name: &str, value: u64| (name.to_owned(), value.to_le_bytes().to_vec());
        Ok([
            ("tail".to_owned(), self.me.tail.checkpoint()?),
            number("factor", self.factor.to_bits()),
            number("updates", self.updates),
            number("encryptions", self.encryptions),
            number("energy", self.precision.energy().to_bits()),
        ]
        .into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.me.tail.restore(part(parts, "tail")?)?;
        self.inner.forget_weights();
        self.factor = f64::from_bits(number(parts, "factor")?);
        self.updates = number(parts, "updates")?;
        self.encryptions = number(parts, "encryptions")?;
        self.precision.set_energy(f64::from_bits(number(parts, "energy")?));
        Ok(())
    }
}

impl Rounds<'_> {
    async fn send_samples<C: Channel>(&self, link: &mut Link<C>, x: &ArrayD<f32>) -> Result<(), ProtocolError> {
        let encryption = self.me.key.encryption();
        let mut done = 0;
        for rows in encryption.sample_parts(x.len_of(Axis(0))) {
            let part = x.slice_axis(Axis(0), (done..done + rows).into()).to_owned();
            link.send(0, &Samples(encryption.integers(&part)?)).await?;
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
        receive_output(&self.me.key, self.factor, link, round, rows).await
    }

    /// Takes W~ and gives it back freshly encrypted, with s = 1, part by part.
    async fn refresh<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let encryption = self.me.key.encryption();
        for blocks in encryption.weight_parts() {
            let HeldWeights(held) = link.receive(round, &encryption.held_part_len(blocks.len())).await?;
            let fresh = self.me.key.refresh(&held, blocks.start, self.factor, self.encryptions);
            let fresh = fresh.map_err(|cause| malformed(link.peer(), round, HeldWeights::NAME, cause))?;
            link.send(round, &EncryptedWeights(fresh)).await?;
        }
        self.encryptions += 1;
        self.factor = 1.0;
        self.precision.set_energy(0.0);
        Ok(())
    }
}

/// In stride layout, what the server merges responses with.
pub(super) async fn send_merge_keys<C: Channel>(key: &LayerKey, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
    match key.encryption().merge_keys_len() {
        0 => Ok(()),
        _ => Ok(link.send(round, &MergeKeys(key.merge_keys()?)).await?),
    }
}

/// The layer's outputs on the `rows` rows of a batch.
pub(super) async fn receive_output<C: Channel>(
    key: &LayerKey,
    factor: f64,
    link: &mut Link<C>,
    round: u64,
    rows: usize,
) -> Result<ArrayD<f32>, ProtocolError> {
    let EncryptedOutput(bytes) = link.receive(round, &key.encryption().output_len(rows)).await?;
    key.decrypt(&bytes, rows, factor).map_err(|cause: LatticeError| {
        // An output out of range is no fault of the bytes' form.
        malformed(link.peer(), round, EncryptedOutput::NAME, cause)
    })
}
