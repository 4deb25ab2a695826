//! The client's script.

use cloven_nn::{BatchTargets, InputGradient as Wish, Network, WeightedLoss};
use cloven_wire::{Channel, DecodeError, Link, Message, Party, WireError};
use ndarray::ArrayD;
use rand_chacha::ChaCha20Rng;

use super::{
    Reveals,
    cipher::{ClientCipher, Direction},
    msg::{MaskKey, MaskKeys, MaskedReveal, Reveal, SealedActivation, SealedGradient, SealedInputGradient, SealedOutput},
    predict::Forward,
    secure_sum::{Fellows, MaskSecret, PairMasks, to_fixed},
};
use crate::{
    Observe, Parts, ProtocolError, Task,
    checkpoint::part,
    error::malformed,
    training::{self, ClientRounds, Cohort},
};

/// What the client brings.
pub struct Client<'a, K> {
    /// The layers before the server's.
    pub front: Network,
    /// V: a network of the server's one layer, whose weights the script sets to zero.
    pub unrevealed: Network,
    /// The layers after the server's; may be empty.
    pub tail: Network,
    /// Seals what leaves the client.
    pub cipher: K,
    /// Samples that must have contributed before V is revealed; [`super::REVEAL_AFTER`] but for tests.
    pub reveal_after: usize,
    /// With several clients: who they are, and the randomness of this client's masks.
    pub fellows: Option<(Fellows<'a>, ChaCha20Rng)>,
}

/// Trains with the server at the other end of `link`; returns the client with its trained layers.
pub async fn client<'a, C: Channel, K: ClientCipher>(
    mut me: Client<'a, K>,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Client<'a, K>, ProtocolError> {
    me.forget_unrevealed()?;
    let mut rounds = Rounds {
        me,
        loss: task.weighted_loss(),
        reveals: Reveals::default(),
        masks: None,
    };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(rounds.me)
}

impl<K> Client<'_, K> {
    /// V = 0; the optimiser keeps what it remembers.
    fn forget_unrevealed(&mut self) -> Result<(), ProtocolError> {
        let zeros: Vec<_> = self
            .unrevealed
            .parameters()
            .into_iter()
            .map(|(name, v)| (name, ArrayD::zeros(v.raw_dim())))
            .collect();
        Ok(self.unrevealed.set_parameters(&zeros)?)
    }
}

struct Rounds<'a, K> {
    me: Client<'a, K>,
    loss: WeightedLoss,
    reveals: Reveals,
    /// With several clients.
    masks: Option<PairMasks>,
}

impl<C: Channel, K: ClientCipher> ClientRounds<C> for Rounds<'_, K> {
    async fn begin(&mut self, link: &mut Link<C>, cohort: &Cohort) -> Result<(), ProtocolError> {
        if (cohort.clients > 1) != self.me.fellows.is_some() {
            // Without masks, V would go out in the clear.
            let clients = cohort.clients;
            return Err(ProtocolError::Identity(format!(
                "a job of {clients} clients needs the other clients' certificates"
            )));
        }
        if let Some((fellows, rng)) = &mut self.me.fellows {
            let secret = MaskSecret::generate(rng);
            link.send(0, &MaskKey(secret.signed(fellows)?)).await?;
            let MaskKeys(keys) = link.receive(0, &fellows.clients[..]).await?;
            self.masks = Some(secret.agree(fellows, &keys).map_err(|client| forged(link, &client))?);
        }
        Ok(())
    }

    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        let (me, rows) = (&mut self.me, t.len());
        // 1.
        let a = me.front.forward_train(round, x)?;
        link.send(round, &SealedActivation(me.cipher.seal(Direction::Forward, round, &a)?))
            .await?;
        // Of step 3, what needs no answer: a V.
        let own = me.unrevealed.forward_train(round, &a)?;
        // 2.
        let SealedOutput(answer) = link.receive(round, &me.cipher.answer_len(Direction::Forward, rows)).await?;
        let y = open(&mut me.cipher, link, Direction::Forward, round, &answer, rows)? + own;
        // 3.
        let z = me.tail.forward_train(round, &y)?;
        let (loss, dz) = self.loss.value_and_gradient(&z, t)?;
        let dy = me.tail.backward(&dz, Wish::Wanted)?.unwrap_or(dz);
        link.send(round, &SealedGradient(me.cipher.seal(Direction::Backward, round, &dy)?))
            .await?;
        // Of step 5, what needs no answer: dy V^T and the updates of tail and V.
        let own = me.unrevealed.backward(&dy, Wish::Wanted)?.unwrap_or(dy);
        me.tail.update()?;
        me.unrevealed.update()?;
        // 4.
        let SealedInputGradient(answer) = link.receive(round, &me.cipher.answer_len(Direction::Backward, rows)).await?;
        let da = open(&mut me.cipher, link, Direction::Backward, round, &answer, rows)? + own;
        // 5.
        me.front.backward(&da, Wish::NotWanted)?;
        me.front.update()?;
        Ok(loss)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        let me = &mut self.me;
        let layers = Forward {
            front: &me.front,
            unrevealed: Some(&me.unrevealed),
            tail: &me.tail,
        };
        layers.outputs(&mut me.cipher, link, round, x).await
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let networks = [("front", &self.me.front), ("V", &self.me.unrevealed), ("tail", &self.me.tail)];
        let networks = networks
            .into_iter()
            .map(|(name, network)| Ok((name.to_owned(), network.checkpoint()?)));
        networks.chain([Ok(self.reveals.part())]).collect()
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.me.front.restore(part(parts, "front")?)?;
        self.me.unrevealed.restore(part(parts, "V")?)?;
        self.me.tail.restore(part(parts, "tail")?)?;
        self.reveals = Reveals::of(parts)?;
        Ok(())
    }

    async fn end_epoch(&mut self, link: &mut Link<C>, round: u64, cohort: &Cohort) -> Result<(), ProtocolError> {
        if !self.reveals.after_epoch(cohort.rows, self.me.reveal_after) {
            return Ok(());
        }
        let values: Vec<_> = self.me.unrevealed.parameters().into_iter().map(|(_, value)| value).collect();
        match &mut self.masks {
            None => link.send(round, &Reveal(values)).await?,
            Some(masks) => {
                let mut values = to_fixed(&values, cohort.shares.iter().sum())?;
                masks.mask(&mut values);
                link.send(round, &MaskedReveal(values)).await?;
            }
        }
        self.me.forget_unrevealed()
    }
}

/// The error of a mask key without its owner's signature: the server exchanged it.
fn forged<C: Channel>(link: &Link<C>, client: &Party) -> ProtocolError {
    ProtocolError::Wire(WireError::Malformed {
        party: link.peer().clone(),
        round: 0,
        what: MaskKeys::NAME,
        cause: DecodeError::Field {
            field: "signature",
            expected: format!("that of {client}, under its pinned certificate"),
            got: "another".into(),
        },
    })
}

/// Opens an answer; bytes that are none are the peer's fault.
pub(super) fn open<C: Channel>(
    cipher: &mut impl ClientCipher,
    link: &Link<C>,
    direction: Direction,
    round: u64,
    answer: &[u8],
    rows: usize,
) -> Result<ArrayD<f32>, ProtocolError> {
    let what = match direction {
        Direction::Forward => SealedOutput::NAME,
        Direction::Backward => SealedInputGradient::NAME,
    };
    cipher
        .open(direction, answer, rows)
        .map_err(|cause| malformed(link.peer(), round, what, cause))
}
