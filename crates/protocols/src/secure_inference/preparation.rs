//! What is computed for an inference before its input is known: masks, shares of their products with the weights, and what circuits consume.

use cloven_mpc::nonlinear;
use cloven_wire::Channel;
use zeroize::Zeroizing;

use super::{
    mesh::{Mesh, Place},
    msg::ActivationPreparation,
    plan::Evaluated,
    worker::Worker,
};
use crate::ProtocolError;

/// An inference that is prepared. It is used once, by value; its secrets are wiped on drop.
pub(super) struct Prepared {
    number: u64,
    /// This server's share of the mask of each opened value.
    pub(super) masks: Vec<Zeroizing<Vec<u64>>>,
    /// Its share of the weights times the mask of the input, of each product.
    pub(super) products: Vec<Zeroizing<Vec<u64>>>,
    /// The chunks of each activation.
    pub(super) activations: Vec<Vec<nonlinear::Prepared>>,
    /// The chunks of the largest score's number.
    pub(super) largest: Vec<nonlinear::Prepared>,
}

impl Prepared {
    /// Which inference it is, counted from 0 since the servers met.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// This server's share of the input less its mask.
    pub(super) fn masked_input(&self, share: &[u64], mask: u64) -> Vec<u64> {
        let pairs = share.iter().zip(self.masks[0].iter());
        pairs.map(|(share, own)| share.wrapping_sub(*own) & mask).collect()
    }
}

impl Worker<'_> {
    /// Prepares inference `number` with the other servers.
    ///
    /// # Errors
    /// [`ProtocolError`], naming the server whose message cannot be.
    pub(super) async fn prepare<C: Channel>(&mut self, mesh: &mut Mesh<'_, C>, number: u64) -> Result<Prepared, ProtocolError> {
        let masks: Vec<_> = (0..self.plan.opened.len())
            .map(|opened| self.value_mask(number, opened))
            .collect();
        let mut products = Vec::with_capacity(self.plan.products.len());
        for place in 0..self.plan.products.len() {
            let product = &self.plan.products[place];
            let mask = &masks[product.input];
            mesh.enter(Some(Place::Preparing(product.of)));
            products.push(self.masked_product(mesh, number, place, mask).await?);
        }
        let mut activations = Vec::with_capacity(self.plan.activations.len());
        for place in 0..self.plan.activations.len() {
            let Evaluated { activation, of, .. } = &self.plan.activations[place];
            mesh.enter(Some(Place::Preparing(*of)));
            activations.push(chunks(&mut self.preparer, &activation.layer, activation.outputs, mesh).await?);
        }
        let largest = match &self.plan.largest {
            None => Vec::new(),
            Some(layer) => {
                mesh.enter(Some(Place::Preparing(self.plan.layers.len() - 1)));
                chunks(&mut self.preparer, layer, 1, mesh).await?
            }
        };
        mesh.enter(None);
        Ok(Prepared {
            number,
            masks,
            products,
            activations,
            largest,
        })
    }
}

/// Prepares all chunks of a layer, one after the other, so that only one is in memory half done.
async fn chunks<C: Channel>(
    preparer: &mut nonlinear::Preparer,
    layer: &nonlinear::Layer,
    outputs: usize,
    mesh: &mut Mesh<'_, C>,
) -> Result<Vec<nonlinear::Prepared>, ProtocolError> {
    let mut prepared = Vec::new();
    for outputs in layer.chunks(outputs)? {
        let next = preparer.prepare(layer, outputs)?;
        prepared.push(mesh.run::<ActivationPreparation, _>(next).await?);
    }
    Ok(prepared)
}
