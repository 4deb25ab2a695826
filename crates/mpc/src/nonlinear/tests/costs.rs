//! What the tables of the module say.

use super::{simulation::*, *};
use crate::circuit::{Builder, Party, Word};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

#[test]
fn ands_transfers_and_rounds_are_those_of_the_table() {
    let of = |parties, operation| {
        let truncation = if matches!(operation, Operation::ArgMax { .. }) {
            0
        } else {
            10
        };
        [FEW, LOW].map(|engine| {
            let layer = Layer::new(operation, ring(32, truncation), engine, parties).unwrap();
            let all = (0..parties as u8).flat_map(|from| (0..parties as u8).map(move |to| (from, to)));
            let links = all.filter(|(from, to)| from != to);
            let transfers = links.map(|(from, to)| layer.circuit().transfers(Party(from), Party(to)));
            (layer.circuit().ands(), transfers.sum::<usize>(), layer.online_rounds())
        })
    };
    let costs = [
        of(2, Operation::Relu),
        of(3, Operation::Relu),
        of(5, Operation::Relu),
        of(3, Operation::Truncate),
        of(3, Operation::MaxPoolRelu { window: 4 }),
        of(3, Operation::MaxPoolRelu { window: 9 }),
        of(3, Operation::ArgMax { classes: 10 }),
    ];
    let table = [
        [(52, 63, 34), (165, 143, 9)],
        [(82, 279, 34), (194, 603, 9)],
        [(142, 1696, 34), (252, 2736, 10)],
        [(61, 273, 33), (173, 597, 8)],
        [(397, 1512, 59), (956, 3450, 22)],
        [(922, 3567, 105), (2226, 8211, 36)],
        [(1161, 4512, 132), (2864, 10530, 33)],
    ];
    assert_eq!(costs, table);
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
        (FEW, 1626.0, 147.75),
        (LOW, 3046.5, 272.25),
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
