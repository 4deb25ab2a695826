//! What the tables of the module say.

use super::{simulation::*, *};
use crate::circuit::{Builder, Party, Word};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

#[test]
fn ands_and_rounds_are_those_of_the_table() {
    let of = |operation, parties| {
        let truncation = if matches!(operation, Operation::ArgMax { .. }) {
            0
        } else {
            10
        };
        [FEW, LOW].map(|engine| {
            let layer = Layer::new(operation, ring(32, truncation), engine, parties).unwrap();
            let circuit = layer.circuit();
            (circuit.ands(), circuit.and_groups(), layer.online_rounds())
        })
    };
    let relu = [2, 3, 5].map(|parties| of(Operation::Relu, parties));
    assert_eq!(
        relu,
        [
            [(52, 32, 34), (165, 87, 9)],
            [(82, 62, 34), (194, 116, 9)],
            [(142, 122, 34), (252, 174, 10)]
        ]
    );
    assert_eq!(of(Operation::Truncate, 3), [(61, 61, 33), (173, 115, 8)]);
    assert_eq!(of(Operation::MaxPoolRelu { window: 4 }, 3), [(397, 314, 59), (956, 637, 22)]);
    assert_eq!(
        of(Operation::MaxPoolRelu { window: 9 }, 3),
        [(922, 734, 105), (2226, 1508, 36)]
    );
    assert_eq!(of(Operation::ArgMax { classes: 10 }, 3), [(1161, 907, 132), (2864, 1910, 33)]);
}

/// What the conversion spares: masks as words of the circuit.
#[test]
fn masks_in_the_circuit_cost_as_many_ands_again() {
    let mut builder = Builder::new(Goal::FewAnds);
    let words: Vec<Word> = (0..6).map(|at| builder.input(Party(at % 3), 32)).collect();
    let (shares, masks) = words.split_at(3);
    let sum = builder.sum(shares);
    let short = builder.truncate(&sum, 10);
    let relu = builder.relu(&short);
    let wide = builder.extend_zero(&relu, 32);
    let output = builder.remask(&wide, masks);
    assert_eq!(builder.finish(&[output]).ands(), 82 + 92);
}

#[test]
fn bytes_and_rounds_are_those_of_the_tables() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let outputs = 128;
    for (engine, prepared_bytes, online_bytes) in [
        (FEW, 2021.25, 147.75),
        (LOW, 3441.75, 272.25),
        (Engine::Garbled, 17808.125, 3104.0),
    ] {
        let layer = Layer::new(Operation::Relu, ring(32, 10), engine, 3).unwrap();
        let (prepared, preparation) = with_preparers(3, |preparers| prepare(preparers, &layer, outputs));
        assert_eq!(preparation.len(), layer.preparation_rounds());
        let (words, masks) = inputs(&layer, outputs, rng);
        let prepared = prepared.into_iter().map(|prepared| vec![prepared]).collect();
        let (_, online) = online(&layer, prepared, &words, &masks);
        // Without the marks.
        let [preparation, online] = [preparation, online].map(|transcript| (bytes(&transcript) - 6 * 8) as f64 / outputs as f64);
        assert_eq!([preparation, online], [prepared_bytes, online_bytes], "{engine:?}");
    }
}
