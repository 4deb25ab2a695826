//! An inference on an input that is shared: products on what is opened, activations by circuits, and between them nothing but additions.

use cloven_wire::Channel;
use zeroize::Zeroizing;

use super::{
    mesh::{Mesh, Place},
    msg::MaskedInput,
    plan::{Evaluated, Planned},
    preparation::Prepared,
    words,
    worker::Worker,
};
use crate::ProtocolError;

/// A value in the middle of an inference.
#[derive(Clone)]
enum Value {
    /// All servers know it less its mask; by its number.
    Opened(usize),
    /// This server's additive share.
    Shared(Vec<u64>),
}

/// An inference that goes on.
struct Inference<'w, 'k> {
    worker: &'w Worker<'k>,
    prepared: Prepared,
    /// The opened values, less their masks.
    opened: Vec<Vec<u64>>,
    current: Value,
    waiting: Vec<Value>,
}

impl Worker<'_> {
    /// This server's share of the answer to an input of which it has the additive share `share`.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the server whose message cannot be.
    pub(super) async fn infer<C: Channel>(
        &mut self,
        mesh: &mut Mesh<'_, C>,
        prepared: Prepared,
        share: &[u64],
    ) -> Result<Vec<u64>, ProtocolError> {
        mesh.enter(Some(Place::Answering(Place::OTHER)));
        let (opened, current) = match self.plan.opens_input {
            true => (
                self.open(mesh, &prepared.masked_input(share, self.mask)).await?,
                Value::Opened(0),
            ),
            false => (Vec::new(), Value::Shared(share.to_vec())),
        };
        let mut inference = Inference {
            worker: self,
            prepared,
            opened: vec![opened],
            current,
            waiting: Vec::new(),
        };
        for step in &self.plan.steps {
            inference.take(step, mesh).await?;
        }
        inference.finish(mesh).await
    }

    /// The sum of what all servers have.
    async fn open<C: Channel>(&self, mesh: &mut Mesh<'_, C>, share: &[u64]) -> Result<Vec<u64>, ProtocolError> {
        let mut message = Vec::new();
        words::put(share, self.ring_bits, &mut message);
        let mut sum = vec![0u64; share.len()];
        for (server, message) in mesh.broadcast::<MaskedInput>(message).await?.iter().enumerate() {
            let share = words::get(message, self.ring_bits).map_err(|cause| mesh.malformed(server, "masked input", cause))?;
            sum.iter_mut()
                .zip(share)
                .for_each(|(sum, word)| *sum = sum.wrapping_add(word));
        }
        sum.iter_mut().for_each(|word| *word &= self.mask);
        Ok(sum)
    }
}

impl Inference<'_, '_> {
    async fn take<C: Channel>(&mut self, step: &Planned, mesh: &mut Mesh<'_, C>) -> Result<(), ProtocolError> {
        let gateway = self.worker.me == 0;
        match step {
            Planned::Product(number) => self.current = Value::Shared(self.product(*number)),
            Planned::Activation(number) => self.activation(*number, mesh).await?,
            Planned::SumPool { window, multiplier } => {
                let mut sums = window.sums(&self.shares());
                sums.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(*multiplier as u64));
                self.current = Value::Shared(sums);
            }
            Planned::Offset(value) => {
                let mut shares = self.shares();
                if gateway {
                    shares.iter_mut().for_each(|share| *share = share.wrapping_add(*value as u64));
                }
                self.current = Value::Shared(shares);
            }
            Planned::Fork => self.waiting.push(self.current.clone()),
            Planned::Turn => {
                if let Some(top) = self.waiting.last_mut() {
                    std::mem::swap(top, &mut self.current);
                }
            }
            Planned::Join {
                body_shift,
                shortcut_shift,
            } => {
                let mut sum = self.shares();
                let body = self.waiting.pop().map_or_else(Vec::new, |body| self.shares_of(&body));
                for (shortcut, body) in sum.iter_mut().zip(body) {
                    *shortcut = (*shortcut << shortcut_shift).wrapping_add(body << body_shift);
                }
                self.current = Value::Shared(sum);
            }
        }
        Ok(())
    }

    /// F^j z + E^j + b^j, where z is the input less its mask.
    fn product(&self, number: usize) -> Vec<u64> {
        let product = &self.worker.plan.products[number];
        let (weight, bias) = self.worker.weights[number];
        let mut output = product.shape.wrapping_product(weight, &self.opened[product.input]);
        for (word, masked) in output.iter_mut().zip(&self.prepared.products[number][..]) {
            *word = word.wrapping_add(*masked);
        }
        product.shape.wrapping_add_bias(&mut output, bias);
        output
    }

    async fn activation<C: Channel>(&mut self, number: usize, mesh: &mut Mesh<'_, C>) -> Result<(), ProtocolError> {
        let Evaluated { activation, opened, of } = &self.worker.plan.activations[number];
        let shares = Zeroizing::new(activation.words(&self.reduced()));
        let chunks = std::mem::take(&mut self.prepared.activations[number]);
        let masks = &self.prepared.masks[*opened];
        mesh.enter(Some(Place::Answering(*of)));
        let masked = self.worker.evaluate(&activation.layer, chunks, &shares, masks, mesh).await?;
        mesh.enter(Some(Place::Answering(Place::OTHER)));
        self.opened.push(masked);
        self.current = Value::Opened(*opened);
        Ok(())
    }

    /// This server's share of the scores, or of the number of the largest.
    async fn finish<C: Channel>(mut self, mesh: &mut Mesh<'_, C>) -> Result<Vec<u64>, ProtocolError> {
        let shares = self.reduced();
        match &self.worker.plan.largest {
            None => Ok(shares),
            Some(layer) => {
                let chunks = std::mem::take(&mut self.prepared.largest);
                mesh.enter(Some(Place::Answering(self.worker.plan.layers.len() - 1)));
                let share = self.worker.evaluate(layer, chunks, &shares, &[], mesh).await;
                mesh.enter(Some(Place::Answering(Place::OTHER)));
                share
            }
        }
    }

    fn reduced(&self) -> Vec<u64> {
        let mut shares = self.shares();
        shares.iter_mut().for_each(|share| *share &= self.worker.mask);
        shares
    }

    fn shares(&self) -> Vec<u64> {
        self.shares_of(&self.current)
    }

    /// Of an opened value a server's share is that of the mask, and the gateway's the rest besides.
    fn shares_of(&self, value: &Value) -> Vec<u64> {
        match value {
            Value::Shared(shares) => shares.clone(),
            Value::Opened(number) => {
                let mut shares = self.prepared.masks[*number].to_vec();
                if self.worker.me == 0 {
                    let opened = shares.iter_mut().zip(&self.opened[*number]);
                    opened.for_each(|(share, opened)| *share = share.wrapping_add(*opened));
                }
                shares
            }
        }
    }
}
