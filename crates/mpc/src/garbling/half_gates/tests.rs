use super::*;
use crate::{
    Batches, BitMatrix, MpcError,
    circuit::{Builder, Circuit, Goal},
    correlation::Delta,
    ideal,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// ReLU and truncation of shared values, the argmax with a public word, re-masked, and complements of inputs and constants.
fn circuit(goal: Goal) -> Circuit {
    let mut builder = Builder::new(goal);
    let [left, right, mask] = [GARBLER, EVALUATOR, GARBLER].map(|party| builder.input(party, 12));
    let sum = builder.add(&left, &right);
    let shifted = builder.truncate(&sum, 3);
    let relu = builder.relu(&shifted);
    let wide = builder.extend_zero(&relu, 12);
    let masked = builder.remask(&wide, std::slice::from_ref(&mask));
    let (_, place) = builder.argmax(&[left.clone(), right.clone(), sum]);
    let outputs = [masked, place, builder.not_word(&right), builder.constant(5, 3)];
    builder.finish(&outputs)
}

fn run(circuit: &Circuit, inputs: &[BitMatrix; 2], chunk: usize, seed: u64) -> Result<(BitMatrix, usize), MpcError> {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let instances = inputs[0].columns();
    let (sender, receiver) = ideal::correlated_transfers(&Delta::random(rng), circuit.input_bits_of(EVALUATOR) * instances, rng);
    let batch = || Batches::new(b"test").next(instances);
    let (choosing, choices) = Choosing::start(circuit, batch()?, &inputs[1], receiver)?;
    let (mut garbler, labels) = Garbler::start(circuit, batch()?, &inputs[0], sender, &choices, rng)?;
    let mut evaluator = choosing.labels(&labels)?;
    let mut bytes = 0;
    loop {
        let tables = garbler.tables(chunk);
        if tables.is_empty() {
            break;
        }
        assert!(tables.len() <= chunk.max(AND_BYTES * instances));
        bytes += tables.len();
        evaluator.consume(&tables)?;
    }
    let shares = [garbler.finish()?, evaluator.finish()?];
    Ok((ideal::reveal(&shares).unwrap(), bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn garbled_is_clear(instances in 1usize..80, chunk in 1usize..20_000, seed in any::<u64>(), low in any::<bool>()) {
        let circuit = circuit(if low { Goal::LowDepth } else { Goal::FewAnds });
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let words: Vec<BitMatrix> = (0..3).map(|_| BitMatrix::random(12, instances, rng)).collect();
        let clear = circuit.evaluate(&BitMatrix::stack(&words.iter().collect::<Vec<_>>()).unwrap()).unwrap();
        let garblers = BitMatrix::stack(&[&words[0], &words[2]]).unwrap();
        let inputs = [garblers, words.into_iter().nth(1).unwrap()];
        let (outputs, bytes) = run(&circuit, &inputs, chunk, seed).unwrap();
        prop_assert!(outputs == clear);
        prop_assert_eq!(bytes, AND_BYTES * circuit.ands() * instances);
    }
}

#[test]
fn wrong_messages_are_refused() {
    let circuit = circuit(Goal::FewAnds);
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let delta = Delta::random(rng);
    let own = |party| BitMatrix::zeros(circuit.input_bits_of(party), 3);
    let batch = || Batches::new(b"test").next(3).unwrap();
    let evaluate = |rng: &mut ChaCha20Rng| {
        let (sender, receiver) = ideal::correlated_transfers(&delta, 36, rng);
        let (choosing, choices) = Choosing::start(&circuit, batch(), &own(EVALUATOR), receiver).unwrap();
        (sender, choosing, choices)
    };
    let (sender, choosing, choices) = evaluate(rng);
    let length = |expected, actual| Some(MpcError::Length { expected, actual });
    let refused = Garbler::start(&circuit, batch(), &own(GARBLER), sender, &choices[1..], rng).err();
    assert_eq!(refused, length(12, 11));
    assert_eq!(choosing.labels(&[0; 100]).err(), length(24 * 3 * 16, 100));

    let (sender, choosing, mut choices) = evaluate(rng);
    choices[2] |= 0x80;
    let refused = Garbler::start(&circuit, batch(), &own(GARBLER), sender, &choices, rng).err();
    assert_eq!(refused, Some(MpcError::Padding { row: 2 }));
    let mut evaluator = choosing.labels(&[0; 24 * 3 * 16]).unwrap();
    let all = circuit.ands() * 96;
    assert_eq!(evaluator.consume(&[0; 95]).err(), length(96, 95));
    assert_eq!(evaluator.consume(&vec![0; all + 96]).err(), length(all, all + 96));
    evaluator.consume(&[0; 96]).unwrap();
    assert_eq!(evaluator.consume(&vec![0; all]).err(), length(all - 96, all));
    assert!(matches!(evaluator.finish().err(), Some(MpcError::Mismatch { .. })));

    let (few, _) = ideal::correlated_transfers(&delta, 35, rng);
    let refused = Garbler::start(&circuit, batch(), &own(GARBLER), few, &[0; 12], rng).err();
    let (expected, actual) = (36, 35);
    assert_eq!(
        refused,
        Some(MpcError::Mismatch {
            what: "correlated transfers",
            expected,
            actual
        })
    );
    assert_eq!(Delta::new(2).err(), Some(MpcError::EvenOffset));
}

#[test]
fn a_changed_table_changes_the_output() {
    let circuit = circuit(Goal::FewAnds);
    let rng = &mut ChaCha20Rng::seed_from_u64(4);
    let (sender, receiver) = ideal::correlated_transfers(&Delta::random(rng), 12 * 64, rng);
    assert!(ideal::transfers_agree(&sender, &receiver));
    let batch = || Batches::new(b"test").next(64).unwrap();
    let inputs = [BitMatrix::random(24, 64, rng), BitMatrix::random(12, 64, rng)];
    let (choosing, choices) = Choosing::start(&circuit, batch(), &inputs[1], receiver).unwrap();
    let (mut garbler, labels) = Garbler::start(&circuit, batch(), &inputs[0], sender, &choices, rng).unwrap();
    let mut evaluator = choosing.labels(&labels).unwrap();
    let mut tables = garbler.tables(usize::MAX);
    tables.iter_mut().for_each(|byte| *byte ^= 1);
    evaluator.consume(&tables).unwrap();
    let outputs = ideal::reveal(&[garbler.finish().unwrap(), evaluator.finish().unwrap()]).unwrap();
    let stacked = BitMatrix::stack(&[&inputs[0].slice(0, 12), &inputs[1], &inputs[0].slice(12, 12)]).unwrap();
    assert!(outputs != circuit.evaluate(&stacked).unwrap());
}
