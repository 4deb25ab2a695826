//! Every engine against the clear.

use super::{simulation::*, *};
use crate::{MpcError, circuit::Party, ideal};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Truncate),
        Just(Operation::Relu),
        (2usize..6).prop_map(|window| Operation::MaxPool { window }),
        (2usize..6).prop_map(|window| Operation::MaxPoolRelu { window }),
        (2usize..7).prop_map(|classes| Operation::ArgMax { classes }),
    ]
}

fn check(layer: &Layer, chunks: &[usize], seed: u64) {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let (prepared, _) = with_preparers(layer.parties(), |preparers| prepare_all(preparers, layer, chunks));
    let (words, masks) = inputs(layer, chunks.iter().sum(), rng);
    let (opened, transcript) = online(layer, prepared, &words, &masks);
    assert_eq!(opened, ideal::nonlinear(layer, &words, &masks), "{layer:?}");
    assert_eq!(transcript.len(), layer.online_rounds());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn shared_bits_are_clear(operation in operation(), bits in 24usize..=48, part in 0usize..47, low in any::<bool>(), parties in 2usize..6,
                             first in 1usize..70, second in 1usize..9, seed in any::<u64>()) {
        let truncation = if operation.opens() { part % (bits - 1) } else { 0 };
        let layer = Layer::new(operation, ring(bits, truncation), if low { LOW } else { FEW }, parties).unwrap();
        check(&layer, &[first.min(layer.chunk()), second], seed);
    }

    #[test]
    fn garbled_is_clear(operation in operation(), bits in 24usize..=48, part in 0usize..47, parties in 3usize..6,
                        first in 1usize..12, second in 1usize..9, seed in any::<u64>()) {
        let truncation = if operation.opens() { part % (bits - 1) } else { 0 };
        let layer = Layer::new(operation, ring(bits, truncation), Engine::Garbled, parties).unwrap();
        check(&layer, &[first.min(layer.chunk()), second], seed);
    }
}

#[test]
fn windows_of_four_and_nine_and_whole_words() {
    for engine in [FEW, LOW, Engine::Garbled] {
        for operation in [Operation::MaxPoolRelu { window: 4 }, Operation::MaxPool { window: 9 }] {
            check(&Layer::new(operation, ring(32, 10), engine, 3).unwrap(), &[40], 1);
        }
        // No truncation: every bit of the word is converted.
        check(&Layer::new(Operation::Truncate, ring(32, 0), engine, 3).unwrap(), &[130], 2);
        check(
            &Layer::new(Operation::ArgMax { classes: 10 }, ring(32, 0), engine, 3).unwrap(),
            &[5],
            3,
        );
    }
}

#[test]
fn one_session_serves_all_layers_and_nothing_twice() {
    let rng = &mut ChaCha20Rng::seed_from_u64(4);
    let layers: Vec<Layer> = [FEW, Engine::Garbled, LOW, Engine::Garbled, FEW]
        .into_iter()
        .map(|engine| Layer::new(Operation::Relu, ring(32, 10), engine, 3).unwrap())
        .collect();
    let mut preparers = preparers(3, b"one session");
    let mut seen = std::collections::HashSet::new();
    for layer in &layers {
        let (prepared, transcript) = prepare(&mut preparers, layer, 20);
        // The same instances prepared anew give other bytes: no transfer, mask or number of an instance comes again.
        for message in transcript.iter().flatten().flatten().filter(|message| message.len() > 8) {
            for words in message[8..].chunks_exact(16) {
                assert!(
                    words.iter().all(|byte| *byte == 0) || seen.insert(words.to_vec()),
                    "{layer:?}"
                );
            }
        }
        let (words, masks) = inputs(layer, 20, rng);
        let prepared = prepared.into_iter().map(|prepared| vec![prepared]).collect();
        assert_eq!(
            online(layer, prepared, &words, &masks).0,
            ideal::nonlinear(layer, &words, &masks)
        );
    }
}

/// The first party's error about the message at a place.
fn out_of_step(index: usize) -> Option<MpcError> {
    Some(MpcError::of(index)(MpcError::OutOfStep))
}

#[test]
fn parties_out_of_step_find_out() {
    let layer = Layer::new(Operation::Relu, ring(32, 10), FEW, 3).unwrap();
    let other = Layer::new(Operation::Relu, ring(32, 10), LOW, 3).unwrap();
    // One party prepares another chunk first, of the same size.
    let mut parties = preparers(3, b"ahead");
    drop(parties[1].prepare(&layer, 5).unwrap());
    let begun = parties
        .iter_mut()
        .map(|preparer| preparer.prepare(&layer, 5).unwrap())
        .collect();
    assert_eq!(drive_with(begun, |_, _| ()).err(), out_of_step(0));
    // Chunks in another order.
    for engine in [FEW, Engine::Garbled] {
        let layer = Layer::new(Operation::Relu, ring(32, 10), engine, 3).unwrap();
        let (mut prepared, _) = with_preparers(3, |preparers| prepare_all(preparers, &layer, &[5, 5]));
        prepared[2].reverse();
        let rng = &mut ChaCha20Rng::seed_from_u64(5);
        let (words, masks) = inputs(&layer, 10, rng);
        let steps = start(&layer, prepared, &words, &masks);
        assert_eq!(drive_with(steps, |_, _| ()).err(), out_of_step(1));
    }
    // Material of another layer or party.
    let (prepared, _) = with_preparers(3, |preparers| prepare(preparers, &layer, 5));
    let mut prepared = prepared.into_iter();
    let mut start =
        |layer, party| Online::start(layer, Party(party), vec![prepared.next().unwrap()], &[0; 5], &[0; 5]).map(|_| ());
    assert!(matches!(start(&other, 0), Err(MpcError::Mismatch { .. })));
    assert!(matches!(start(&layer, 2), Err(MpcError::Mismatch { .. })));
    assert!(start(&layer, 2).is_ok());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let new =
        |operation, bits, truncation, engine, parties| Layer::new(operation, ring(bits, truncation), engine, parties).map(|_| ());
    assert!(new(Operation::Relu, 32, 10, FEW, 2).is_ok() && new(Operation::Relu, 48, 46, Engine::Garbled, 3).is_ok());
    assert!(new(Operation::Relu, 23, 10, FEW, 2).is_err() && new(Operation::Relu, 49, 10, FEW, 2).is_err());
    assert!(new(Operation::Relu, 32, 31, FEW, 2).is_err());
    assert!(new(Operation::Relu, 32, 10, FEW, 1).is_err() && new(Operation::Relu, 32, 10, FEW, 65).is_err());
    assert!(new(Operation::MaxPool { window: 1 }, 32, 10, FEW, 2).is_err());
    assert!(new(Operation::ArgMax { classes: 1 }, 32, 0, FEW, 2).is_err());
    assert!(new(Operation::ArgMax { classes: 3 }, 32, 1, FEW, 2).is_err());
    let error = new(Operation::Relu, 32, 10, Engine::Garbled, 2).unwrap_err().to_string();
    assert!(error.contains("half gates"), "{error}");

    let layer = Layer::new(Operation::MaxPoolRelu { window: 4 }, ring(32, 10), FEW, 2).unwrap();
    let chunks = layer.chunks(3 * layer.chunk() + 1).unwrap();
    assert_eq!(chunks, [layer.chunk(), layer.chunk(), layer.chunk(), 1]);
    assert!(layer.chunks(0).is_err() && layer.chunks(MAX_OUTPUTS + 1).is_err());
    let three = Layer::new(Operation::Relu, ring(32, 10), FEW, 3).unwrap();
    with_preparers(2, |parties| {
        let mut refused = |layer: &Layer, outputs| parties[0].prepare(layer, outputs).is_err();
        assert!(refused(&layer, 0) && refused(&layer, layer.chunk() + 1) && refused(&three, 1));
    });
    let prepared = |outputs| {
        vec![
            with_preparers(2, |preparers| prepare(preparers, &layer, outputs))
                .0
                .swap_remove(0),
        ]
    };
    let start = |outputs, words: usize, masks: usize| {
        Online::start(&layer, Party(0), prepared(outputs), &vec![0; words], &vec![0; masks]).map(|_| ())
    };
    assert!(start(2, 8, 2).is_ok());
    assert!(start(2, 7, 2).is_err() && start(2, 8, 3).is_err());
    assert!(Online::start(&layer, Party(0), Vec::new(), &[], &[]).is_err());
}
