//! What a party sees looks alike whatever the other one's words are.

use super::{simulation::*, *};
use crate::{
    BitMatrix,
    nonlinear::tests::collusion::{UNUSUAL, chi_square},
};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const OUTPUTS: usize = 2048;
/// The low byte of words is what is looked at.
const BITS: usize = 24;

/// A run in which each word of a party is the same.
struct Run {
    /// What the gateway sent in the preparation and online, then what the user found.
    to_user: Vec<Vec<u8>>,
    /// What the user sent in the preparation and online.
    to_gateway: Vec<Vec<u8>>,
    /// The low bytes of the gateway's words.
    opened: Vec<u8>,
}

/// The bytes of words after their mark.
fn low_bytes(answer: &[u8]) -> Vec<u8> {
    let words = BitMatrix::decode(BITS, OUTPUTS, &answer[8..]).unwrap();
    words.to_values().iter().map(|word| *word as u8).collect()
}

fn run(gateway: u64, user: u64, masks: Vec<u64>) -> Run {
    let layer = layer(Operation::Relu, BITS, 2);
    let inputs = Inputs {
        words: vec![vec![gateway; OUTPUTS], vec![user; OUTPUTS]],
        masks,
    };
    let chunks = layer.chunks(OUTPUTS).unwrap();
    assert_eq!(chunks.len(), 1);
    // Its own randomness, as two runs have.
    let context = format!("{gateway} and {user}");
    let (prepared, transcripts) = prepare(&mut setup(context.as_bytes()).0, &layer, &chunks, &inputs);
    let (opened, transcript) = online(&layer, prepared, &inputs.words[0]);
    assert_eq!(opened, inputs.ideal(&layer));
    let (preparation, [labels, answer]) = (&transcripts[0], [&transcript[0][0], &transcript[1][1]]);
    Run {
        to_user: vec![preparation[1][0][8..].to_vec(), labels[8..].to_vec(), low_bytes(answer)],
        to_gateway: vec![preparation[0][1][8..].to_vec(), answer[8..].to_vec()],
        opened: opened.iter().map(|word| *word as u8).collect(),
    }
}

fn alike(left: &[Vec<u8>], right: &[Vec<u8>]) {
    for (at, (left, right)) in left.iter().zip(right).enumerate() {
        assert!(left.len() >= OUTPUTS && left.len() == right.len());
        let statistic = chi_square([left, right]);
        assert!(statistic < UNUSUAL, "part {at}: {statistic}");
    }
}

/// The user's answer is under no mask of its own here: what hides the words from the user is the gateway's part of it.
#[test]
fn two_words_of_the_gateway_look_alike_to_the_user() {
    let runs = [1000, 30].map(|word| run(word, 77, vec![0; OUTPUTS]));
    alike(&runs[0].to_user, &runs[1].to_user);
    let statistic = chi_square([&runs[0].opened, &runs[1].opened]);
    assert!(statistic > 10.0 * UNUSUAL, "unmasked words do differ: {statistic}");
}

#[test]
fn two_words_of_the_user_look_alike_to_the_gateway() {
    let runs = [1000, 30].map(|word| {
        let rng = &mut ChaCha20Rng::seed_from_u64(word);
        let masks = (0..OUTPUTS).map(|_| rng.next_u64() & 0xff_ffff).collect();
        run(77, word, masks)
    });
    alike(&runs[0].to_gateway, &runs[1].to_gateway);
    alike(&[runs[0].opened.clone()], &[runs[1].opened.clone()]);
}
