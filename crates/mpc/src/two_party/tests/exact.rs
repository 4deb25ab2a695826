//! Against the clear, and parties that are not where the other one is.

use super::{simulation::*, *};
use crate::{
    MessageFault, MpcError,
    circuit::Goal,
    nonlinear::{self, Engine, MAX_OUTPUTS},
};
use proptest::prelude::*;

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Truncate),
        Just(Operation::Relu),
        (2usize..6).prop_map(|window| Operation::MaxPool { window }),
        (2usize..6).prop_map(|window| Operation::MaxPoolRelu { window }),
        (2usize..7).prop_map(|classes| Operation::ArgMax { classes }),
    ]
}

fn check(layer: &Layer, chunks: &[usize], inputs: &Inputs) {
    let (prepared, _) = with_pair(|pair| prepare(pair, layer, chunks, inputs));
    let (words, transcript) = online(layer, prepared, &inputs.words[0]);
    assert_eq!(words, inputs.ideal(layer), "{layer:?}");
    assert_eq!(transcript.len(), if layer.operation().opens() { 2 } else { 1 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn garbled_is_clear(operation in operation(), bits in prop_oneof![Just(32usize), Just(48), 24usize..=48], part in 0usize..47,
                        first in 1usize..150, second in 1usize..9, seed in any::<u64>()) {
        let truncation = if operation.opens() { part % (bits - 1) } else { 0 };
        let layer = layer(operation, bits, truncation);
        let chunks = [first.min(layer.chunk()), second];
        check(&layer, &chunks, &Inputs::random(&layer, chunks.iter().sum(), seed));
    }
}

/// A short ring, of which every word is visited under every one of the user's shares.
fn small(operation: Operation, bits: usize, truncation: usize) -> Layer {
    let shared = nonlinear::Layer::with_any_bits(operation, ring(bits, truncation), Engine::Boolean(Goal::FewAnds), 2);
    Layer::of(shared.unwrap()).unwrap()
}

#[test]
fn every_value_of_a_small_ring() {
    for (operation, bits, truncation) in [
        (Operation::Truncate, 6, 2),
        (Operation::Relu, 6, 2),
        (Operation::Relu, 5, 0),
        (Operation::MaxPool { window: 2 }, 4, 1),
        (Operation::MaxPoolRelu { window: 2 }, 4, 1),
        (Operation::ArgMax { classes: 2 }, 4, 0),
        (Operation::ArgMax { classes: 3 }, 3, 0),
    ] {
        let (layer, window) = (small(operation, bits, truncation), operation.window());
        let (modulus, values) = (1u64 << bits, 1usize << (bits * window));
        let outputs = values * modulus as usize;
        // Each tuple of words with each word of the user's at its first place; other shares and masks differ from output to output.
        let mut inputs = Inputs {
            words: vec![Vec::new(), Vec::new()],
            masks: (0..outputs as u64).map(|at| at * 5 / 3 % modulus).collect(),
        };
        if !operation.opens() {
            inputs.masks.clear();
        }
        for output in 0..outputs {
            let user = (output / values) as u64;
            for place in 0..window {
                let word = output as u64 >> (bits * place) & (modulus - 1);
                let share = (user + 3 * place as u64 * (1 + word)) % modulus;
                inputs.words[0].push(word.wrapping_sub(share) & (modulus - 1));
                inputs.words[1].push(share);
            }
        }
        let chunks = layer.chunks(outputs).unwrap();
        check(&layer, &chunks, &inputs);
    }
}

#[test]
fn several_chunks_at_once_or_one_by_one() {
    let layer = layer(Operation::MaxPoolRelu { window: 9 }, 48, 20);
    let outputs = 2 * layer.chunk() + 5;
    let chunks = layer.chunks(outputs).unwrap();
    assert_eq!(chunks, [layer.chunk(), layer.chunk(), 5]);
    let inputs = Inputs::random(&layer, outputs, 1);
    check(&layer, &chunks, &inputs);
    let ((ours, theirs), _) = with_pair(|pair| prepare(pair, &layer, &chunks, &inputs));
    let (mut words, mut rest) = (Vec::new(), &inputs.words[0][..]);
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        assert_eq!(ours.outputs(), theirs.outputs());
        let (now, later) = rest.split_at(9 * ours.outputs());
        words.extend(online(&layer, (vec![ours], vec![theirs]), now).0);
        rest = later;
    }
    assert_eq!(words, inputs.ideal(&layer));
}

#[test]
fn one_session_serves_all_layers_and_nothing_twice() {
    let mut pair = setup(b"one session").0;
    let mut seen = std::collections::HashSet::new();
    for operation in [
        Operation::Relu,
        Operation::ArgMax { classes: 3 },
        Operation::Relu,
        Operation::MaxPool { window: 2 },
    ] {
        let layer = layer(operation, 32, 0);
        let inputs = Inputs::random(&layer, 64, 7);
        let (prepared, transcripts) = prepare(&mut pair, &layer, &[64], &inputs);
        let (words, transcript) = online(&layer, prepared, &inputs.words[0]);
        assert_eq!(words, inputs.ideal(&layer));
        // The same words anew give other bytes: no transfer, label or number of an instance comes again.
        let messages = transcripts.iter().flatten().chain(&transcript).flatten();
        for message in messages.filter(|message| !message.is_empty()) {
            for word in message[8..].as_chunks::<16>().0 {
                assert!(seen.insert(*word), "{layer:?}");
            }
        }
    }
}

const OUT_OF_STEP: MpcError = MpcError::Message {
    index: 0,
    cause: MessageFault::OutOfStep,
};

#[test]
fn parties_out_of_step_find_out() {
    let [relu, truncate] = [Operation::Relu, Operation::Truncate].map(|operation| layer(operation, 32, 10));
    let (mut pair, _) = setup(b"ahead");
    // Another layer with messages of the same length, at the gateway; the user's broken preparation is its last.
    let steps = (
        pair.gateway.prepare(&truncate, 5).unwrap(),
        pair.user.prepare(&relu, &[1; 5], &[2; 5]).unwrap(),
    );
    assert_eq!(drive_with(steps, |_, _| ()).err(), Some(OUT_OF_STEP));
    let again = pair.gateway.prepare(&relu, 5).err();
    assert!(matches!(again, Some(MpcError::Turn { .. })), "{}", again.unwrap());
    assert!(matches!(
        pair.user.prepare(&relu, &[1; 5], &[2; 5]).err(),
        Some(MpcError::Turn { .. })
    ));
    // One has prepared a chunk of another session.
    let [mut left, right] = [b"left " as &[u8], b"right"].map(|context| setup(context).0);
    left.user = right.user;
    let steps = (
        left.gateway.prepare(&relu, 5).unwrap(),
        left.user.prepare(&relu, &[1; 5], &[2; 5]).unwrap(),
    );
    assert_eq!(drive_with(steps, |_, _| ()).err(), Some(OUT_OF_STEP));
    // The user's mark alone is noticed by the gateway, the gateway's by the user, in either phase.
    let inputs = Inputs::random(&relu, 10, 1);
    let ((ours, mut theirs), _) = with_pair(|pair| prepare(pair, &relu, &[5, 5], &inputs));
    theirs.reverse();
    let steps = start(&relu, (ours, theirs), &inputs.words[0]);
    assert_eq!(drive_with(steps, |_, _| ()).err(), Some(OUT_OF_STEP));
    // Material of another layer.
    let ((ours, theirs), _) = with_pair(|pair| prepare(pair, &relu, &[10], &inputs));
    assert!(matches!(
        gateway::Online::start(&truncate, ours, &[0; 10]).err(),
        Some(MpcError::Mismatch { .. })
    ));
    assert!(matches!(
        user::Online::start(&truncate, theirs).err(),
        Some(MpcError::Mismatch { .. })
    ));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let new = |operation, bits, truncation| Layer::new(operation, ring(bits, truncation)).map(|_| ());
    assert!(new(Operation::Relu, 24, 22).is_ok() && new(Operation::Relu, 48, 46).is_ok());
    assert!(new(Operation::Relu, 23, 10).is_err() && new(Operation::Relu, 49, 10).is_err());
    assert!(new(Operation::Relu, 32, 31).is_err() && new(Operation::MaxPool { window: 1 }, 32, 10).is_err());
    assert!(new(Operation::ArgMax { classes: 3 }, 32, 1).is_err());
    let relu = layer(Operation::Relu, 32, 12);
    assert!(relu.chunks(0).is_err() && relu.chunks(MAX_OUTPUTS + 1).is_err() && relu.cost(0).is_err());
    let pool = layer(Operation::MaxPool { window: 4 }, 32, 12);
    with_pair(|pair| {
        let (most, gateway, user) = (pool.chunk(), &mut pair.gateway, &mut pair.user);
        assert!(gateway.prepare(&pool, 0).is_err() && gateway.prepare(&pool, most + 1).is_err());
        assert!(user.prepare(&pool, &[], &[]).is_err() && user.prepare(&pool, &[0; 7], &[0]).is_err());
        assert!(user.prepare(&pool, &[0; 8], &[0]).is_err() && user.prepare(&pool, &[0; 8], &[0; 3]).is_err());
        assert!(
            user.prepare(&pool, &vec![0; 4 * most + 4], &vec![0; most + 1]).is_err()
                && user
                    .prepare(&layer(Operation::ArgMax { classes: 2 }, 32, 0), &[0; 2], &[0])
                    .is_err()
        );
        let inputs = Inputs::random(&pool, 2, 1);
        let ((ours, theirs), _) = prepare(pair, &pool, &[2], &inputs);
        assert!(gateway::Online::start(&pool, ours, &[0; 7]).is_err() && user::Online::start(&pool, theirs).is_ok());
    });
    assert!(gateway::Online::start(&pool, Vec::new(), &[]).is_err() && user::Online::start(&pool, Vec::new()).is_err());
}
