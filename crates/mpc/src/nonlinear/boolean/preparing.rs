//! A chunk's triples and random bits.

use crate::{
    Batch, BitMatrix, MpcError,
    boolean::{Masking, Transfers, TripleMaker, Triples},
    circuit::Party,
    nonlinear::{
        Layer, Next, Resume,
        conversion::{Conversion, Converted},
        exchange::take,
    },
};

/// A chunk's triples and random bits.
pub(in crate::nonlinear) struct Material {
    pub triples: Triples,
    pub bits: Option<Converted>,
}

/// A party that prepares a chunk.
pub(in crate::nonlinear) struct Preparing<'p, 'l> {
    layer: &'l Layer,
    instances: usize,
    stage: Stage<'p>,
}

enum Stage<'p> {
    /// It has extended its transfers as a receiver and told its choices; of the random bits the transfers are here.
    Chosen {
        transfers: &'p mut Transfers,
        maker: TripleMaker,
        bits: BitMatrix,
        batch: Batch,
        received: Vec<Vec<u128>>,
    },
    /// It has sent its masked bits.
    Masked {
        own: usize,
        masking: Box<Masking>,
        conversion: Option<Conversion>,
    },
    /// Triples are done, bits are not.
    Converting { triples: Triples, conversion: Conversion },
}

impl<'p, 'l> Preparing<'p, 'l> {
    pub fn start(transfers: &'p mut Transfers, layer: &'l Layer, instances: usize) -> Result<Next<Self>, MpcError> {
        let (place, bits) = (transfers.place(), layer.conversions());
        let (own, peers) = (usize::from(place.0.0), place.1 - 1);
        let [batch, conversion_batch] = [transfers.batch(instances)?, transfers.batch(instances)?];
        let mut random = transfers.fork();
        let bits = BitMatrix::random(bits, instances, &mut random);
        let (mut receivers, mut outgoing, mut tails, mut received) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for peer in 0..peers {
            // Places before this party's number are those of earlier parties, which send the transfers for its bits.
            let extra = if peer < own { bits.rows() } else { 0 };
            let [_, groups] = groups(layer, own, peer);
            let (mut receiver, message) = transfers.receive(peer, (groups + extra) * instances)?;
            let words = receiver.t.split_off(groups * instances);
            let tail = match extra {
                0 => Vec::new(),
                _ => receiver.differences(groups * instances, &bits)?.encode(),
            };
            receivers.push(receiver);
            received.push(words);
            outgoing.push(message);
            tails.push(tail);
        }
        received.truncate(own);
        let (maker, choices) = TripleMaker::receive(place, batch, layer.circuit.groups.clone(), receivers, &mut random)?;
        for ((message, choices), tail) in outgoing.iter_mut().zip(choices).zip(tails) {
            message.extend(choices);
            message.extend(tail);
        }
        let expected = (0..peers).map(|peer| {
            let extra = if peer < own { 0 } else { bits.rows() };
            let [groups, _] = groups(layer, own, peer);
            transfers.receive_bytes((groups + extra) * instances) + BitMatrix::encoded_len(groups + extra, instances)
        });
        let expected = expected.collect();
        let stage = Stage::Chosen {
            transfers,
            maker,
            bits,
            batch: conversion_batch,
            received,
        };
        let state = Self { layer, instances, stage };
        Ok(Next::exchange(state, outgoing, expected))
    }
}

/// Transfers of one instance to the peer at a place, and from it.
fn groups(layer: &Layer, own: usize, peer: usize) -> [usize; 2] {
    let [own, peer] = [own, peer + usize::from(peer >= own)].map(|party| Party(party as u8));
    [layer.circuit.transfers(own, peer), layer.circuit.transfers(peer, own)]
}

/// Bytes of each peer's masked bits.
fn mask_bytes(layer: &Layer, own: usize, instances: usize) -> Vec<usize> {
    let ands = |peer: usize| {
        let peer = (peer + usize::from(peer >= own)) as u8;
        let taken = layer.circuit.groups.iter().filter(|group| group.has_right(own as u8));
        taken.map(|group| group.ands_with(peer)).sum()
    };
    (0..layer.parties - 1)
        .map(|peer| BitMatrix::encoded_len(ands(peer), instances))
        .collect()
}

/// A round of the conversion alone, or the end.
fn convert<'p, 'l>(
    layer: &'l Layer,
    instances: usize,
    triples: Triples,
    conversion: Option<Conversion>,
) -> Next<Preparing<'p, 'l>> {
    match conversion {
        Some(mut conversion) if conversion.goes_on() => {
            let peers = layer.parties - 1;
            let (mut outgoing, mut expected) = (vec![Vec::new(); peers], vec![0; peers]);
            conversion.round(&mut outgoing, &mut expected);
            let stage = Stage::Converting { triples, conversion };
            let state = Preparing { layer, instances, stage };
            Next::exchange(state, outgoing, expected)
        }
        conversion => Next::Done(Material {
            triples,
            bits: conversion.map(Conversion::finish),
        }),
    }
}

impl Resume for Preparing<'_, '_> {
    type Output = Material;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let (layer, instances) = (self.layer, self.instances);
        match self.stage {
            Stage::Chosen {
                transfers,
                mut maker,
                bits,
                batch,
                received,
            } => {
                let place = transfers.place();
                let own = usize::from(place.0.0);
                let (mut senders, mut choices, mut sent) = (Vec::new(), Vec::new(), Vec::new());
                for (peer, message) in messages.iter().enumerate() {
                    let extra = if peer < own { 0 } else { bits.rows() };
                    let [groups, _] = groups(layer, own, peer);
                    let (mut rest, count) = (*message, (groups + extra) * instances);
                    let extension = take(&mut rest, transfers.receive_bytes(count))?;
                    let mut sender = transfers.send(peer, count, extension).map_err(MpcError::of(peer))?;
                    choices.push(take(&mut rest, BitMatrix::encoded_len(groups, instances))?);
                    senders.push(sender.split(groups * instances));
                    if peer >= own {
                        let differ = BitMatrix::decode(extra, instances, rest).map_err(MpcError::of(peer))?;
                        sent.push(std::mem::take(&mut sender.corrected(&differ)?.q));
                    }
                }
                maker.senders(senders);
                let (masking, mut outgoing) = maker.mask(&choices)?;
                let mut expected = mask_bytes(layer, own, instances);
                let mut conversion = match layer.conversions() {
                    0 => None,
                    _ => Some(Conversion::start(
                        (own, place.1),
                        layer.ring.bits,
                        batch,
                        bits,
                        transfers.offset()?,
                        [sent, received],
                    )),
                };
                if let Some(conversion) = &mut conversion {
                    conversion.round(&mut outgoing, &mut expected);
                }
                let stage = Stage::Masked {
                    own,
                    masking: Box::new(masking),
                    conversion,
                };
                let state = Preparing { layer, instances, stage };
                Ok(Next::exchange(state, outgoing, expected))
            }
            Stage::Masked {
                own,
                masking,
                mut conversion,
            } => {
                let mut rests = messages.to_vec();
                let bytes = mask_bytes(layer, own, instances);
                let masks = rests.iter_mut().zip(bytes).map(|(rest, bytes)| take(rest, bytes));
                let masks: Vec<&[u8]> = masks.collect::<Result<_, _>>()?;
                if let Some(conversion) = &mut conversion {
                    conversion.receive(&mut rests)?;
                }
                let triples = masking.finish(&masks)?;
                Ok(convert(layer, instances, triples, conversion))
            }
            Stage::Converting { triples, mut conversion } => {
                conversion.receive(&mut messages.to_vec())?;
                Ok(convert(layer, instances, triples, Some(conversion)))
            }
        }
    }
}
