//! What the tables of the module say.

use super::{simulation::*, *};

#[test]
fn ands_and_rounds_are_those_of_the_table() {
    let of = |operation, parties| {
        let truncation = if operation == (Operation::ArgMax { classes: 10 }) {
            0
        } else {
            10
        };
        [FEW, LOW].map(|engine| {
            let layer = Layer::new(operation, ring(32, truncation), engine, parties).unwrap();
            (layer.circuit().ands(), layer.online_rounds())
        })
    };
    println!("{:?}", [2, 3, 5].map(|parties| of(Operation::Relu, parties)));
    println!("{:?}", of(Operation::Truncate, 3));
    println!("{:?}", of(Operation::MaxPool { window: 4 }, 3));
    println!("{:?}", of(Operation::MaxPoolRelu { window: 4 }, 3));
    println!("{:?}", of(Operation::MaxPoolRelu { window: 9 }, 3));
    println!("{:?}", of(Operation::ArgMax { classes: 10 }, 3));
    for parties in [3, 4] {
        for engine in [FEW, LOW, Engine::Garbled] {
            let layer = Layer::new(Operation::Relu, ring(32, 10), engine, parties).unwrap();
            let outputs = 128;
            let mut preparers = preparers(parties, b"costs");
            let (prepared, transcript) = prepare(&mut preparers, &layer, outputs);
            assert_eq!(transcript.len(), layer.preparation_rounds());
            let rng = &mut <rand_chacha::ChaCha20Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(1);
            let (words, masks) = inputs(&layer, outputs, rng);
            let (_, online) = online(
                &layer,
                prepared.into_iter().map(|prepared| vec![prepared]).collect(),
                &words,
                &masks,
            );
            println!(
                "{parties} {engine:?}: prepared {} online {} a value",
                bytes(&transcript) as f64 / outputs as f64,
                bytes(&online) as f64 / outputs as f64
            );
        }
    }
}
