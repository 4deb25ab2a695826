//! The gateway's side.

use cloven_lattice::{PublicKey, RandomnessKey, linear::PreparedWeights};
use cloven_mpc::{
    PartySecret, Session,
    nonlinear::Outcome,
    two_party::{self, gateway},
};
use cloven_nn::{
    LinearShape,
    fixed_point::{FixedModel, Step},
};
use cloven_wire::{Channel, Link, Message, WireError};
use zeroize::Zeroizing;

use super::{Activation, Layers, part::Part, run};
use crate::{
    ProtocolError,
    error::malformed,
    linear_shape::laid_out,
    secure_inference::{
        Terms,
        msg::{GatewayLayers, UserActivation, UserInput, UserKey, UserProduct, UserStep, UserTransfer},
        words,
    },
};

/// The layers whose weights the gateway has in the clear, ready for any number of users.
pub struct FirstLayers {
    layers: Layers,
    products: Vec<Weights>,
}

/// Of one product.
struct Weights {
    shape: LinearShape,
    weight: Zeroizing<Vec<u64>>,
    bias: Zeroizing<Vec<u64>>,
    encoded: PreparedWeights,
}

impl FirstLayers {
    /// # Errors
    /// [`ProtocolError::Structure`] for layers that are not the job's, and for weights of 32 or more.
    pub fn new(model: &FixedModel, terms: &Terms) -> Result<Self, ProtocolError> {
        let layers = Layers::new(model.structure().clone(), terms)?;
        let mask = words::mask(terms.ring_bits);
        let words = |values: &[i64]| Zeroizing::new(values.iter().map(|value| *value as u64 & mask).collect::<Vec<_>>());
        let each = layers.products.iter().zip(model.structure().linear()).zip(model.weights());
        let products = each.map(|((linear, shape), (weight, bias))| {
            let weight = words(weight);
            Ok(Weights {
                shape,
                encoded: linear.prepare(&laid_out(shape, &weight))?,
                weight,
                bias: words(bias),
            })
        });
        Ok(Self {
            products: products.collect::<Result<_, ProtocolError>>()?,
            layers,
        })
    }

    /// Values that leave the layers.
    pub(in crate::secure_inference) fn outputs(&self) -> usize {
        self.layers.outputs
    }
}

/// What the gateway has of one user's connection.
pub(in crate::secure_inference) struct Side<'l> {
    first: &'l FirstLayers,
    user: PublicKey,
    randomness: RandomnessKey,
    preparer: gateway::Preparer,
}

/// An input's way through the layers, prepared. It is used once, by value.
pub(in crate::secure_inference) struct Prepared {
    /// The gateway's part of each product.
    products: Vec<Zeroizing<Vec<u64>>>,
    activations: Vec<Vec<gateway::Prepared>>,
    largest: Vec<gateway::Prepared>,
}

impl<'l> Side<'l> {
    /// Meets a user who asks for so many inputs; `secret` is for this connection only.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the user, for a message that cannot be.
    pub(in crate::secure_inference) async fn set_up<C: Channel>(
        first: &'l FirstLayers,
        terms: &Terms,
        (rows, secret): (u64, &[u8; 32]),
        link: &mut Link<C>,
    ) -> Result<Self, ProtocolError> {
        first.layers.check_rows(rows)?;
        link.send(0, &GatewayLayers(first.layers.structure.clone())).await?;
        let parameters = first.layers.parameters();
        let UserKey(key) = link.receive(0, &PublicKey::encoded_len(parameters)).await?;
        let user = PublicKey::decode(parameters, &key).map_err(|cause| malformed(link.peer(), 0, UserKey::NAME, cause))?;
        let derive = |purpose| blake3::derive_key(purpose, secret);
        let transfers = PartySecret::new(derive("cloven v1 secure inference: transfers with a user"));
        let session = Session::new(&transfers, &terms.job);
        let preparer = run::<UserTransfer, _, _>(gateway::Setup::start(&session)?, link, 0).await?;
        Ok(Self {
            first,
            user,
            randomness: RandomnessKey::new(derive("cloven v1 secure inference: products for a user")),
            preparer,
        })
    }

    /// Prepares one input, that of `round`.
    pub(in crate::secure_inference) async fn prepare<C: Channel>(
        &mut self,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<Prepared, ProtocolError> {
        let layers = &self.first.layers;
        let (mut products, mut activations) = (Vec::new(), Vec::new());
        for step in &layers.structure.steps {
            match step {
                Step::Linear { .. } => {
                    let (number, place) = (products.len(), super::context(round, products.len()));
                    let linear = &layers.products[number];
                    let UserProduct(upload) = link.receive(round, &linear.upload_len()).await?;
                    let weights = &self.first.products[number].encoded;
                    let response = linear
                        .respond(weights, &upload, &self.user, &self.randomness, &place)
                        .map_err(|cause| malformed(link.peer(), round, UserProduct::NAME, cause))?;
                    link.send(round, &UserProduct(response.response)).await?;
                    products.push(response.share);
                }
                Step::NonLinear { .. } => {
                    let activation = &layers.activations[activations.len()];
                    activations.push(chunks(&mut self.preparer, activation, link, round).await?);
                }
                _ => {}
            }
        }
        let largest = match &layers.largest {
            None => Vec::new(),
            Some(largest) => chunks(&mut self.preparer, largest, link, round).await?,
        };
        Ok(Prepared {
            products,
            activations,
            largest,
        })
    }

    /// The gateway's part of what leaves the layers for the user's input, or of the output where it has all layers.
    pub(in crate::secure_inference) async fn answer<C: Channel>(
        &self,
        prepared: Prepared,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<Zeroizing<Vec<u64>>, ProtocolError> {
        let layers = &self.first.layers;
        let len = layers.inputs() * words::width(layers.ring_bits);
        let UserInput(input) = link.receive(round, &len).await?;
        let masked = words::get(&input, layers.ring_bits).map_err(|cause| WireError::Malformed {
            party: link.peer().clone(),
            round,
            what: UserInput::NAME,
            cause,
        })?;
        let mut part = Part::new(masked, words::mask(layers.ring_bits), true);
        let mut products = self.first.products.iter().zip(&prepared.products);
        let mut activations = layers.activations.iter().zip(prepared.activations);
        for step in &layers.structure.steps {
            match step {
                Step::Linear { .. } => {
                    let Some((weights, share)) = products.next() else { continue };
                    part.set(weights.product(&part.current, share));
                }
                Step::NonLinear { .. } => {
                    let Some((activation, chunks)) = activations.next() else {
                        continue;
                    };
                    let shares = Zeroizing::new(activation.words(&part.current));
                    part.set(evaluate(&activation.layer, chunks, &shares, link, round).await?);
                }
                local => part.step(local),
            }
        }
        match &layers.largest {
            None => Ok(Zeroizing::new(part.current.clone())),
            Some(largest) => {
                let shares = evaluate(&largest.layer, prepared.largest, &part.current, link, round).await?;
                Ok(Zeroizing::new(shares))
            }
        }
    }
}

/// Prepares all chunks of an activation.
async fn chunks<C: Channel>(
    preparer: &mut gateway::Preparer,
    activation: &Activation<two_party::Layer>,
    link: &mut Link<C>,
    round: u64,
) -> Result<Vec<gateway::Prepared>, ProtocolError> {
    let mut prepared = Vec::new();
    for outputs in activation.layer.chunks(activation.outputs)? {
        let next = preparer.prepare(&activation.layer, outputs)?;
        prepared.push(run::<UserActivation, _, _>(next, link, round).await?);
    }
    Ok(prepared)
}

/// The gateway's part of what comes out of an activation, or its share of the number of the largest.
async fn evaluate<C: Channel>(
    layer: &two_party::Layer,
    chunks: Vec<gateway::Prepared>,
    shares: &[u64],
    link: &mut Link<C>,
    round: u64,
) -> Result<Vec<u64>, ProtocolError> {
    let next = gateway::Online::start(layer, chunks, shares)?;
    Ok(match run::<UserStep, _, _>(next, link, round).await? {
        Outcome::Opened(words) => words,
        Outcome::Shares(words) => words.to_vec(),
    })
}

impl Weights {
    /// F z + the gateway's part of F r + b.
    fn product(&self, masked: &[u64], share: &[u64]) -> Vec<u64> {
        let mut output = self.shape.wrapping_product(&self.weight, masked);
        for (word, share) in output.iter_mut().zip(share) {
            *word = word.wrapping_add(*share);
        }
        self.shape.wrapping_add_bias(&mut output, &self.bias);
        output
    }
}
