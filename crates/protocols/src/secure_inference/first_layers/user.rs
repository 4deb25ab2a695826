//! The user's side.

use cloven_lattice::{PublicKey, RandomnessKey, SecretKey};
use cloven_mpc::{
    PartySecret, Session,
    two_party::{self, user},
};
use cloven_nn::fixed_point::Step;
use cloven_wire::{Channel, Link, Message};
use rand_chacha::{ChaCha20Rng, rand_core::Rng};
use zeroize::Zeroizing;

use super::{Activation, Layers, part::Part, run};
use crate::{
    ProtocolError,
    error::malformed,
    secure_inference::{
        Terms,
        msg::{GatewayLayers, UserActivation, UserInput, UserKey, UserProduct, UserStep, UserTransfer},
        words,
    },
};

/// A user that knows the gateway's layers.
pub(in crate::secure_inference) struct Side {
    layers: Layers,
    secret: SecretKey,
    randomness: RandomnessKey,
    preparer: user::Preparer,
}

/// An input's way through the layers, prepared. It is used once, by value.
pub(in crate::secure_inference) struct Prepared {
    /// What is subtracted from the input.
    mask: Zeroizing<Vec<u64>>,
    /// The chunks of each activation.
    activations: Vec<Vec<user::Prepared>>,
    largest: Vec<user::Prepared>,
    /// The user's part of what leaves the layers.
    pub(in crate::secure_inference) part: Zeroizing<Vec<u64>>,
}

impl Side {
    /// Meets the gateway.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the gateway, for a message that cannot be.
    pub(in crate::secure_inference) async fn set_up<C: Channel>(
        terms: &Terms,
        rows: u64,
        link: &mut Link<C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, ProtocolError> {
        let GatewayLayers(structure) = link.receive(0, &()).await?;
        let layers = Layers::new(structure, terms)?;
        layers.check_rows(rows)?;
        let mut seed = || {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *seed);
            seed
        };
        let (randomness, transfers) = (RandomnessKey::new(*seed()), PartySecret::new(*seed()));
        let secret = SecretKey::generate(layers.parameters(), rng);
        let mut key = Vec::new();
        PublicKey::generate(&secret, &randomness, b"user")?.encode(&mut key);
        link.send(0, &UserKey(key)).await?;
        let session = Session::new(&transfers, &terms.job);
        let preparer = run::<UserTransfer, _, _>(user::Setup::start(&session)?, link, 0).await?;
        Ok(Self {
            layers,
            secret,
            randomness,
            preparer,
        })
    }

    /// Prepares one input, that of `round`.
    pub(in crate::secure_inference) async fn prepare<C: Channel>(
        &mut self,
        link: &mut Link<C>,
        round: u64,
        rng: &mut ChaCha20Rng,
    ) -> Result<Prepared, ProtocolError> {
        let ring_bits = self.layers.ring_bits;
        let mask = random_words(self.layers.inputs(), ring_bits, rng);
        let mut part = Part::new(mask.to_vec(), words::mask(ring_bits), false);
        let (mut product, mut activations) = (0, Vec::new());
        for step in &self.layers.structure.steps {
            match step {
                Step::Linear { .. } => {
                    let linear = &self.layers.products[product];
                    let context = super::context(round, product);
                    let upload = linear.encrypt(&part.current, &self.secret, &self.randomness, &context)?;
                    link.send(round, &UserProduct(upload)).await?;
                    let UserProduct(response) = link.receive(round, &linear.response_len()).await?;
                    let own = linear.decrypt(&response, &self.secret);
                    let own = own.map_err(|cause| malformed(link.peer(), round, UserProduct::NAME, cause))?;
                    part.set(own.to_vec());
                    product += 1;
                }
                Step::NonLinear { .. } => {
                    let activation = &self.layers.activations[activations.len()];
                    let shares = Zeroizing::new(activation.words(&part.current));
                    let next = random_words(activation.outputs, ring_bits, rng);
                    activations.push(chunks(&mut self.preparer, activation, (&shares, &next), (link, round)).await?);
                    part.set(next.to_vec());
                }
                local => part.step(local),
            }
        }
        let largest = match &self.layers.largest {
            None => Vec::new(),
            Some(largest) => chunks(&mut self.preparer, largest, (&part.current, &[]), (link, round)).await?,
        };
        Ok(Prepared {
            mask,
            activations,
            largest,
            part: Zeroizing::new(part.current.clone()),
        })
    }

    /// Sends the input, of which only the difference from what is random is seen; the user's part of the output where the gateway has all layers.
    pub(in crate::secure_inference) async fn ask<C: Channel>(
        &self,
        prepared: Prepared,
        input: &[u64],
        link: &mut Link<C>,
        round: u64,
    ) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
        let ring_bits = self.layers.ring_bits;
        let masked: Vec<u64> = input
            .iter()
            .zip(prepared.mask.iter())
            .map(|(word, mask)| word.wrapping_sub(*mask) & words::mask(ring_bits))
            .collect();
        let mut message = Vec::new();
        words::put(&masked, ring_bits, &mut message);
        link.send(round, &UserInput(message)).await?;
        for (activation, chunks) in self.layers.activations.iter().zip(prepared.activations) {
            run::<UserStep, _, _>(user::Online::start(&activation.layer, chunks)?, link, round).await?;
        }
        match &self.layers.largest {
            None => Ok(prepared.part),
            Some(largest) => {
                let next = user::Online::start(&largest.layer, prepared.largest)?;
                Ok(run::<UserStep, _, _>(next, link, round).await?.unwrap_or_default())
            }
        }
    }
}

fn random_words(count: usize, ring_bits: u32, rng: &mut ChaCha20Rng) -> Zeroizing<Vec<u64>> {
    Zeroizing::new((0..count).map(|_| rng.next_u64() & words::mask(ring_bits)).collect())
}

/// Prepares all chunks of an activation for the user's words and what is subtracted from each output.
async fn chunks<C: Channel>(
    preparer: &mut user::Preparer,
    activation: &Activation<two_party::Layer>,
    (words, masks): (&[u64], &[u64]),
    (link, round): (&mut Link<C>, u64),
) -> Result<Vec<user::Prepared>, ProtocolError> {
    let window = activation.layer.operation().window();
    let (mut words, mut masks) = (words, masks);
    let mut prepared = Vec::new();
    for outputs in activation.layer.chunks(activation.outputs)? {
        let (chunk, rest) = words.split_at(outputs * window);
        let (own, others) = masks.split_at(outputs.min(masks.len()));
        let next = preparer.prepare(&activation.layer, chunk, own)?;
        prepared.push(run::<UserActivation, _, _>(next, link, round).await?);
        (words, masks) = (rest, others);
    }
    Ok(prepared)
}
