//! The first layers of a network, whose weights the gateway has in the clear, between it and a user.
//!
//! Paper: SECO, "layers before the split", which are those of Delphi (Mishra et al., USENIX Security 2020). Every value is the sum modulo 2^k of a part that the user
//! has and one that the gateway has. The user's parts do not depend on its input, so that all encryption and garbling is over before there is one.
//!
//! **When they meet**: the gateway tells the steps of its layers; the user sends a public key; oblivious transfers, of which the user is the receiver.
//!
//! **Before an input**, step by step ([`user::Side::prepare`], [`gateway::Side::prepare`]); the user's first part r is random:
//!
//! 1. product with F: user: Enc(r)                                    → gateway
//! 2. gateway: Enc(F r) less a random part of its own, hidden         → user, whose part it decrypts
//! 3. activation: the user draws its next part r'; transfers for the bits of its two parts; garbled circuits → user
//! 4. the user's part of what leaves the layers, shared among the servers as an input is where the gateway has all layers → gateway → all
//!
//! **Online** ([`user::Side::ask`], [`gateway::Side::answer`]):
//!
//! 1. user: x - r                                                     → gateway
//! 2. product: the gateway's next part is F (x - r), its part of F r, and the bias. No message
//! 3. activation: labels of the gateway's part                        → user, who evaluates: y - r' → gateway
//! 4. what leaves the layers is shared: the gateway adds its part to its share of the user's, and the servers go on; or the gateway sends it to the user
//!
//! The user learns the steps and the shapes of these layers; that its decryptions tell more of their weights has statistical distance 2^-40 over a connection. The gateway learns nothing.

mod gateway;
mod part;
mod user;

pub use gateway::FirstLayers;
pub(super) use gateway::Side as GatewaySide;
pub(super) use user::Side as UserSide;

use cloven_lattice::{Parameters, linear::PrivateInputLinear};
use cloven_mpc::{
    nonlinear::{Next, Operation, Resume, Ring},
    two_party,
};
use cloven_nn::fixed_point::{Step, Structure};
use cloven_wire::{Channel, Link};

use super::{
    Output, Terms,
    msg::Step as StepMessage,
    plan::{Activation, circuit, misfit},
};
use crate::{ProtocolError, error::refused, linear_shape::encrypted_shape};

/// Weights are below 2 to this in magnitude, as numbers.
const LOG2_WEIGHT: u32 = 5;
/// Numbers that a user may decrypt under one key.
const REVEALED: u64 = 1 << 30;

/// What both know of the first layers.
struct Layers {
    structure: Structure,
    /// Of each product.
    products: Vec<PrivateInputLinear>,
    /// Of each activation.
    activations: Vec<Activation<two_party::Layer>>,
    /// Where the gateway has all layers, for an output that is the number of the largest: of the scores.
    largest: Option<Activation<two_party::Layer>>,
    /// Values that leave the layers.
    outputs: usize,
    ring_bits: u32,
}

impl Layers {
    /// # Errors
    /// [`ProtocolError::Structure`] for steps that do not fit the terms.
    fn new(structure: Structure, terms: &Terms) -> Result<Self, ProtocolError> {
        terms.check_structure(&structure)?;
        misfit("number of inputs", terms.inputs, structure.input.iter().product())?;
        match terms.remotes.is_empty() {
            true => terms.check_outputs(&structure)?,
            false => misfit(
                "number of the gateway's layers",
                terms.gateway_layers,
                structure.layer_ends.len(),
            )?,
        }
        if structure.linear().next().is_none() || structure.input_scale.is_some() {
            let problem = "the gateway's layers have no weights, or are not the first: take more of them";
            return Err(ProtocolError::Structure(problem.into()));
        }
        let shapes: Vec<_> = structure.linear().map(encrypted_shape).collect();
        let products = PrivateInputLinear::for_shapes(&shapes, terms.ring_bits, weight_bits(terms), REVEALED)?;
        let mut activations = Vec::new();
        for (step, values) in structure.steps.iter().zip(structure.sizes()?) {
            if let Step::NonLinear {
                operation, truncation, ..
            } = step
            {
                let outputs = operation.outputs(values);
                let (operation, window) = circuit(*operation);
                let layer = layer(operation, terms, *truncation)?;
                activations.push(Activation { layer, window, outputs });
            }
        }
        let largest = match (terms.remotes.is_empty(), terms.output) {
            (true, Output::ArgMax) => Some(Activation {
                layer: layer(Operation::ArgMax { classes: terms.outputs }, terms, 0)?,
                window: None,
                outputs: 1,
            }),
            _ => None,
        };
        Ok(Self {
            products,
            activations,
            largest,
            outputs: structure.outputs()?,
            ring_bits: terms.ring_bits,
            structure,
        })
    }

    /// Values of an input.
    fn inputs(&self) -> usize {
        self.structure.input.iter().product()
    }

    /// Of the user's key.
    fn parameters(&self) -> &Parameters {
        self.products[0].parameters()
    }

    /// Refuses more inputs in one connection than its key may reveal outputs of.
    fn check_rows(&self, rows: u64) -> Result<(), ProtocolError> {
        let revealed: usize = self.products.iter().map(|product| product.shape().outputs()).sum();
        let most = REVEALED / revealed.max(1) as u64;
        match rows <= most {
            true => Ok(()),
            false => Err(ProtocolError::Input(format!(
                "expected at most {most} rows for these layers at a time, got {rows}"
            ))),
        }
    }
}

/// What tells a product from every other under the same keys.
fn context(round: u64, product: usize) -> [u8; 16] {
    let mut context = [0; 16];
    context[..8].copy_from_slice(&round.to_le_bytes());
    context[8..].copy_from_slice(&(product as u64).to_le_bytes());
    context
}

fn weight_bits(terms: &Terms) -> u32 {
    terms.fraction_bits + LOG2_WEIGHT + 1
}

fn layer(operation: Operation, terms: &Terms, truncation: u32) -> Result<two_party::Layer, ProtocolError> {
    let ring = Ring {
        bits: terms.ring_bits as usize,
        truncation: truncation as usize,
    };
    Ok(two_party::Layer::new(operation, ring)?)
}

/// Runs a computation of two to its end.
async fn run<M: StepMessage, S: Resume, C: Channel>(
    mut next: Next<S>,
    link: &mut Link<C>,
    round: u64,
) -> Result<S::Output, ProtocolError> {
    loop {
        match next {
            Next::Done(output) => return Ok(output),
            Next::Exchange(mut exchange) => {
                for message in exchange.outgoing().into_iter().filter(|message| !message.is_empty()) {
                    link.send(round, &M::from(message)).await?;
                }
                let received: Vec<u8> = match exchange.expected().first() {
                    Some(expected @ 1..) => link.receive::<M>(round, expected).await?.into(),
                    _ => Vec::new(),
                };
                let received = exchange.receive(&[received]);
                next = received.map_err(|cause| refused(link.peer(), round, M::NAME, &cause))?;
            }
        }
    }
}
