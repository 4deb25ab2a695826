//! What the user and the servers tell each other through the gateway: additive shares modulo 2^k, of the input to the servers and of the output to the user.
//!
//! All shares of an input but the gateway's are seeds, so that what the user sends hardly grows with the number of servers.

use cloven_wire::{DecodeError, Party, tcp::Roster};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Output, Terms,
    msg::INPUT_BOX,
    seal::{BoxKey, Context, KEY, OVERHEAD, key_of, seal},
    words,
};
use crate::{ProtocolError, SignedKey};

const INPUT: &str = "input";
const OUTPUT: &str = "output";

/// Bytes of a message with an input of so many words.
pub(super) fn input_len(terms: &Terms, inputs: usize) -> usize {
    inputs * words::width(terms.ring_bits) + terms.remotes.len() * INPUT_BOX
}

/// Bytes of one remote server's sealed share of an output.
pub(super) fn share_len(terms: &Terms) -> usize {
    terms.answer_words() * words::width(terms.ring_bits) + OVERHEAD
}

/// Bytes of a message with an output.
pub(super) fn output_len(terms: &Terms) -> usize {
    terms.answer_words() * words::width(terms.ring_bits) + terms.remotes.len() * share_len(terms)
}

fn context<'a>(terms: &Terms, server: &'a Party, what: &'static str) -> Context<'a> {
    let job = terms.job;
    Context { job, server, what }
}

/// The keys of the remote servers, each signed by its owner.
///
/// # Errors
/// [`DecodeError`], naming the server whose key is not signed as pinned.
pub(super) fn check_keys(terms: &Terms, keys: &[SignedKey], roster: &Roster) -> Result<Vec<[u8; KEY]>, DecodeError> {
    let each = terms.remotes.iter().zip(keys);
    each.map(|(server, signed)| {
        let key = key_of(signed, server, terms.job, roster);
        key.copied().ok_or_else(|| DecodeError::Field {
            field: "key",
            expected: format!("a key of {server}, signed with {server}'s pinned certificate"),
            got: "another".into(),
        })
    })
    .collect()
}

/// The input `words` for all servers, and the key that opens the answer.
///
/// # Errors
/// [`ProtocolError::Identity`] for a key to which nothing can be sealed.
pub(super) fn put_input(
    terms: &Terms,
    keys: &[[u8; KEY]],
    input: &[u64],
    rng: &mut impl CryptoRng,
) -> Result<(BoxKey, Vec<u8>), ProtocolError> {
    let reply = BoxKey::generate(rng);
    let mut gateways = Zeroizing::new(input.to_vec());
    let mut boxes = Vec::with_capacity(keys.len());
    for (server, key) in terms.remotes.iter().zip(keys) {
        let mut content = Zeroizing::new([0; 32 + KEY]);
        rng.fill_bytes(&mut content[..32]);
        content[32..].copy_from_slice(&reply.public());
        let share = share_of_seed(&content, terms, input.len());
        gateways
            .iter_mut()
            .zip(share.iter())
            .for_each(|(word, share)| *word = word.wrapping_sub(*share));
        let sealed = seal(key, &context(terms, server, INPUT), &*content, rng);
        boxes.push(sealed.ok_or_else(|| ProtocolError::Identity(format!("nothing can be sealed to the key of {server}")))?);
    }
    gateways.iter_mut().for_each(|word| *word &= words::mask(terms.ring_bits));
    let mut message = Vec::with_capacity(input_len(terms, input.len()));
    words::put(&gateways, terms.ring_bits, &mut message);
    boxes.iter().for_each(|sealed| message.extend_from_slice(sealed));
    Ok((reply, message))
}

fn share_of_seed(content: &[u8; 32 + KEY], terms: &Terms, words: usize) -> Zeroizing<Vec<u64>> {
    let seed: &[u8; 32] = content.first_chunk().expect("longer than a seed");
    words::expand(seed, words, terms.ring_bits)
}

/// At the gateway: its own share of an input, and the boxes of the others. `message` has [`input_len`] bytes.
///
/// # Errors
/// [`DecodeError`] for words that are none.
pub(super) fn take_input(terms: &Terms, message: &[u8]) -> Result<(Vec<u64>, Vec<Vec<u8>>), DecodeError> {
    let boxes = terms.remotes.len() * INPUT_BOX;
    let (own, boxes) = message.split_at(message.len().saturating_sub(boxes));
    Ok((
        words::get(own, terms.ring_bits)?,
        boxes.chunks(INPUT_BOX).map(<[u8]>::to_vec).collect(),
    ))
}

/// At a remote server: its share of an input of so many words, and the user's key.
///
/// # Errors
/// [`DecodeError`] for a box that is not this server's.
pub(super) fn open_input(
    (terms, words): (&Terms, usize),
    own: &BoxKey,
    me: &Party,
    sealed: &[u8],
) -> Result<(Zeroizing<Vec<u64>>, [u8; KEY]), DecodeError> {
    let content = own.open(&context(terms, me, INPUT), sealed);
    let content = content.as_deref().and_then(|content| content.first_chunk());
    let content: &[u8; 32 + KEY] = content.ok_or_else(|| DecodeError::Field {
        field: "box",
        expected: "one that is sealed to this server".into(),
        got: "another".into(),
    })?;
    let key = content.last_chunk().expect("longer than a key");
    Ok((share_of_seed(content, terms, words), *key))
}

/// At a remote server: its share of an output for the user, whose key came with the input.
///
/// # Errors
/// [`DecodeError`] for a key to which nothing can be sealed.
pub(super) fn seal_share(
    terms: &Terms,
    me: &Party,
    user: &[u8; KEY],
    share: &[u64],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, DecodeError> {
    let mut content = Zeroizing::new(Vec::new());
    words::put(share, terms.ring_bits, &mut content);
    seal(user, &context(terms, me, OUTPUT), &content, rng).ok_or_else(|| DecodeError::Field {
        field: "user's key",
        expected: "a public key".into(),
        got: "none".into(),
    })
}

/// At the gateway: the message with an output, of its own share and the others' boxes.
pub(super) fn put_output(terms: &Terms, own: &[u64], boxes: &[Vec<u8>]) -> Vec<u8> {
    let mut message = Vec::with_capacity(output_len(terms));
    words::put(own, terms.ring_bits, &mut message);
    boxes.iter().for_each(|sealed| message.extend_from_slice(sealed));
    message
}

/// At the user: the words of the output, additive shares put together (scores) or bits (the number of the largest). `message` has [`output_len`] bytes.
///
/// # Errors
/// [`DecodeError`] for words that are none, or a box that is not for this request.
pub(super) fn open_output(terms: &Terms, reply: &BoxKey, message: &[u8]) -> Result<Vec<u64>, DecodeError> {
    let (own, boxes) = message.split_at(terms.answer_words() * words::width(terms.ring_bits));
    let mut sum = words::get(own, terms.ring_bits)?;
    for (server, sealed) in terms.remotes.iter().zip(boxes.chunks(share_len(terms))) {
        let content = reply.open(&context(terms, server, OUTPUT), sealed);
        let content = content.ok_or_else(|| DecodeError::Field {
            field: "box",
            expected: format!("what {server} sealed to this request"),
            got: "something else".into(),
        })?;
        let share = Zeroizing::new(words::get(&content, terms.ring_bits)?);
        terms.add_output(&mut sum, &share);
    }
    Ok(sum)
}

impl Terms {
    /// Puts two shares of an output together.
    pub(super) fn add_output(&self, sum: &mut [u64], share: &[u64]) {
        for (sum, share) in sum.iter_mut().zip(share) {
            *sum = match self.output {
                Output::Scores => sum.wrapping_add(*share) & words::mask(self.ring_bits),
                Output::ArgMax => *sum ^ share,
            };
        }
    }
}
