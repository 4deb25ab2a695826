//! The server's script.

use std::{collections::BTreeMap, ops::Range};

use cloven_nn::Network;
use cloven_wire::{Channel, Link};
use futures_util::future::try_join_all;
use ndarray::ArrayD;

use super::{
    Reveals,
    cipher::{Direction, ServerCipher},
    msg::{MaskKey, MaskKeys, MaskedReveal, Reveal, SealedActivation, SealedGradient, SealedInputGradient, SealedOutput},
    secure_sum::add_fixed,
};
use crate::{
    Observe, Parts, ProtocolError, Service,
    checkpoint::part,
    error::blamed,
    training::{self, Cohort, ServerRounds, Sessions},
};

/// What the server brings.
pub struct Server<K> {
    /// U: the server's one layer.
    pub layer: Network,
    /// Multiply what is sealed: one for each client.
    pub ciphers: Vec<K>,
    /// Samples that must have contributed before V is revealed; the same as the clients'.
    pub reveal_after: usize,
}

/// Trains with a client at the other end of each link; returns the server with its trained layer.
pub async fn server<C: Channel, K: ServerCipher>(
    me: Server<K>,
    service: impl Into<Service<'_>>,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<Server<K>, ProtocolError> {
    let mut job = Job {
        layer: me.layer,
        sessions: me.ciphers.into_iter().map(Session).collect(),
        reveals: Reveals::default(),
        reveal_after: me.reveal_after,
    };
    job.prepare()?;
    training::server(&mut job, service.into(), links, observe).await?;
    Ok(Server {
        layer: job.layer,
        ciphers: job.sessions.into_iter().map(|session| session.0).collect(),
        reveal_after: job.reveal_after,
    })
}

/// All clients' sessions, and what they share.
struct Job<K> {
    layer: Network,
    sessions: Vec<Session<K>>,
    reveals: Reveals,
    reveal_after: usize,
}

/// One client's session: U as the cipher needs it.
struct Session<K>(K);

impl<C: Channel, K: ServerCipher> ServerRounds<C> for Session<K> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, _: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let rows = rows.len();
        let Self(cipher) = self;
        // 2.
        answer_activation(cipher, link, round, rows).await?;
        // 4.
        let SealedGradient(sealed) = link.receive(round, &cipher.sealed_len(Direction::Backward, rows)).await?;
        let answer = link.wait_while(cipher.answer(Direction::Backward, &sealed, rows)).await;
        let answer = answer.map_err(|cause| blamed(cause, link.peer(), round, "sealed gradient"))?;
        Ok(link.send(round, &SealedInputGradient(answer)).await?)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        answer_activation(&mut self.0, link, round, rows.len()).await
    }

    /// Nothing: U changes at the end of an epoch only.
    async fn snapshot(&mut self) -> Result<Parts, ProtocolError> {
        Ok(Parts::new())
    }

    fn restore(&mut self, _: &Parts) -> Result<(), ProtocolError> {
        Ok(())
    }
}

impl<C: Channel, K: ServerCipher> Sessions<C> for Job<K> {
    type Session = Session<K>;

    fn sessions(&mut self) -> &mut [Session<K>] {
        &mut self.sessions
    }

    async fn begin(&mut self, links: &mut [Link<C>], cohort: &Cohort) -> Result<(), ProtocolError> {
        if cohort.clients == 1 {
            return Ok(());
        }
        let mut keys = BTreeMap::new();
        for link in &mut *links {
            let MaskKey(key) = link.receive(0, &()).await?;
            keys.insert(link.peer().clone(), key);
        }
        let keys = MaskKeys(keys);
        for link in links {
            link.send(0, &keys).await?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, links: &mut [Link<C>], rounds: &[u64], cohort: &Cohort) -> Result<(), ProtocolError> {
        if !self.reveals.after_epoch(cohort.rows, self.reveal_after) {
            return Ok(());
        }
        let mut parameters = self.layer.parameters();
        match links {
            [link] => {
                let shapes: Vec<Vec<usize>> = parameters.iter().map(|(_, value)| value.shape().to_vec()).collect();
                let Reveal(values) = link.receive(rounds[0], &shapes[..]).await?;
                parameters.iter_mut().zip(&values).for_each(|((_, u), v)| *u += v);
            }
            _ => {
                let sums = sums(links, rounds, parameters.iter().map(|(_, value)| value.len()).sum()).await?;
                add_fixed(parameters.iter_mut().map(|(_, u)| u), &sums);
            }
        }
        self.layer.set_parameters(&parameters)?;
        self.prepare()
    }

    fn shared(&self) -> Result<Parts, ProtocolError> {
        Ok([("layer".to_owned(), self.layer.checkpoint()?), self.reveals.part()].into())
    }

    fn restore_shared(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.layer.restore(part(parts, "layer")?)?;
        self.reveals = Reveals::of(parts)?;
        self.prepare()
    }
}

impl<K: ServerCipher> Job<K> {
    /// Hands the layer as it now is to every session.
    fn prepare(&mut self) -> Result<(), ProtocolError> {
        let parameters = self.layer.parameters();
        self.sessions
            .iter_mut()
            .try_for_each(|session| prepare(&parameters, &mut session.0))
    }
}

/// The sum of what all clients reveal under their masks.
async fn sums<C: Channel>(links: &mut [Link<C>], rounds: &[u64], values: usize) -> Result<Vec<u64>, ProtocolError> {
    let each = links.iter_mut().zip(rounds);
    let revealed: Vec<MaskedReveal> = try_join_all(each.map(|(link, round)| link.receive(*round, &values))).await?;
    let mut sums = vec![0u64; values];
    for MaskedReveal(masked) in &revealed {
        sums.iter_mut()
            .zip(masked)
            .for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
    }
    Ok(sums)
}

/// Hands a layer's parameters to the cipher.
pub(super) fn prepare(parameters: &[(String, ArrayD<f32>)], cipher: &mut impl ServerCipher) -> Result<(), ProtocolError> {
    let mut values = parameters.iter().map(|(_, value)| value);
    if let Some(weight) = values.next() {
        cipher.set_layer(weight, values.next())?;
    }
    Ok(())
}

/// Step 2: a sealed activation in, the sealed output out.
pub(super) async fn answer_activation<C: Channel>(
    cipher: &mut impl ServerCipher,
    link: &mut Link<C>,
    round: u64,
    rows: usize,
) -> Result<(), ProtocolError> {
    let SealedActivation(sealed) = link.receive(round, &cipher.sealed_len(Direction::Forward, rows)).await?;
    let answer = link.wait_while(cipher.answer(Direction::Forward, &sealed, rows)).await;
    let answer = answer.map_err(|cause| blamed(cause, link.peer(), round, "sealed activation"))?;
    Ok(link.send(round, &SealedOutput(answer)).await?)
}
