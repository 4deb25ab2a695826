//! The user's script: for each input, shares of it go to all servers by way of the gateway, and shares of the output come back the same way.

use cloven_wire::{Channel, Link, Message, WireError, tcp::Roster};
use ndarray::{ArrayD, Axis};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    Output, Terms,
    boxes::{check_keys, input_len, open_output, output_len, put_input},
    first_layers::UserSide,
    msg::{SealedInput, SealedOutput, ServerKeys},
    seal::{BoxKey, KEY},
    words,
};
use crate::{Ask, Event, Observe, ProtocolError};

/// A user.
pub struct User<'a> {
    /// Pins the certificates of all servers.
    pub roster: &'a Roster,
    /// Fresh for every connection.
    pub secret: &'a [u8; 32],
}

/// Gives `answer` the network's outputs for each row of `x`, `[rows, ...]`, in order: the scores, or the number of the largest alone.
///
/// # Errors
/// [`ProtocolError`], naming the gateway or the server whose message cannot be.
pub async fn user<C: Channel>(
    me: User<'_>,
    terms: &Terms,
    x: &ArrayD<f32>,
    link: &mut Link<C>,
    answer: &mut dyn FnMut(Vec<f32>),
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let rng = &mut ChaCha20Rng::from_seed(*me.secret);
    let ServerKeys(keys) = link.receive(0, &terms.remotes.len()).await?;
    let keys = check_keys(terms, &keys, me.roster).map_err(|cause| WireError::Malformed {
        party: link.peer().clone(),
        round: 0,
        what: ServerKeys::NAME,
        cause,
    })?;
    let rows = x.len_of(Axis(0));
    link.send(0, &Ask { rows: rows as u64 }).await?;
    let mut side = match terms.has_first_layers() {
        false => None,
        true => Some(UserSide::set_up(terms, rows as u64, link, rng).await?),
    };
    let traffic = link.traffic();
    observe(Event::Asked { rows, traffic })?;
    for (round, row) in (1..).zip(x.outer_iter()) {
        let words = terms.input_words(row.iter().copied())?;
        let (reply, own) = match &mut side {
            None => (send_shares(terms, &keys, &words, (link, round), rng).await?, None),
            Some(side) => {
                let prepared = side.prepare(link, round, rng).await?;
                // Without other servers this part stays here.
                let reply = match terms.remotes.is_empty() {
                    true => BoxKey::generate(rng),
                    false => send_shares(terms, &keys, &prepared.part, (link, round), rng).await?,
                };
                let (ready, wanted, traffic) = (1, 1, link.traffic());
                observe(Event::Prepared { ready, wanted, traffic })?;
                let own = side.ask(prepared, &words, link, round).await?;
                (reply, terms.remotes.is_empty().then_some(own))
            }
        };
        let SealedOutput(message) = link.receive(round, &output_len(terms)).await?;
        let mut words = open_output(terms, &reply, &message).map_err(|cause| WireError::Malformed {
            party: link.peer().clone(),
            round,
            what: SealedOutput::NAME,
            cause,
        })?;
        if let Some(own) = own {
            terms.add_output(&mut words, &own);
        }
        answer(words.iter().map(|word| terms.output_value(*word)).collect());
        let (rows, traffic) = (round as usize, link.traffic());
        observe(Event::Predicted { rows, traffic })?;
    }
    Ok(())
}

/// Sends every server its share of `words`, sealed; what opens the answer.
async fn send_shares<C: Channel>(
    terms: &Terms,
    keys: &[[u8; KEY]],
    words: &[u64],
    (link, round): (&mut Link<C>, u64),
    rng: &mut ChaCha20Rng,
) -> Result<BoxKey, ProtocolError> {
    let (reply, message) = put_input(terms, keys, words, rng)?;
    debug_assert_eq!(message.len(), input_len(terms, words.len()));
    link.send(round, &SealedInput(message)).await?;
    Ok(reply)
}

impl Terms {
    /// An input in fixed point, to the nearest.
    ///
    /// # Errors
    /// [`ProtocolError::Input`] for another number of values, or one that is not below 2^(ring_bits - 2) in fixed point.
    fn input_words(&self, values: impl ExactSizeIterator<Item = f32>) -> Result<Vec<u64>, ProtocolError> {
        if values.len() != self.inputs {
            return Err(ProtocolError::Input(format!(
                "expected {} values, got {}",
                self.inputs,
                values.len()
            )));
        }
        let scale = f64::from(self.fraction_bits).exp2();
        let bound = f64::from(self.ring_bits - 2).exp2();
        let word = |value: f32| match (f64::from(value) * scale).round() {
            scaled if scaled.abs() < bound => Ok(scaled as i64 as u64 & words::mask(self.ring_bits)),
            _ => Err(ProtocolError::Input(format!(
                "an input has the value {value}; below {} is needed: standardise, or divide large columns",
                bound / scale
            ))),
        };
        values.map(word).collect()
    }

    /// The number that a word of an answer stands for.
    fn output_value(&self, word: u64) -> f32 {
        match self.output {
            Output::ArgMax => word as f32,
            Output::Scores => {
                let unused = 64 - self.ring_bits;
                let signed = (word << unused) as i64 >> unused;
                (signed as f64 / f64::from(self.score_bits).exp2()) as f32
            }
        }
    }
}
