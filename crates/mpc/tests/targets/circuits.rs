//! Circuits on shared bits and garbled ones. Most of these messages are rows of bits, of which zeros are as good as any.

use super::{Form, Target, random, session};
use cloven_mpc::activation::{Relu, Step};
use cloven_mpc::boolean::{TransferSetup, TransferSums, Transfers, TripleMaker, expand_share};
use cloven_mpc::circuit::{Builder, Circuit, Goal, Party, Word};
use cloven_mpc::correlation::{CotReceiver, CotSender, Delta};
use cloven_mpc::garbling::{bmr, half_gates};
use cloven_mpc::transfer::Width;
use cloven_mpc::{Batch, Batches, BitMatrix, MpcError, ideal};
use std::sync::OnceLock;

/// Instances: rows of two bytes with five bits of padding.
const INSTANCES: usize = 11;

pub fn all() -> Vec<Target> {
    [boolean(), activation(), two_parties(), garblers()]
        .into_iter()
        .flatten()
        .collect()
}

fn batch() -> Batch {
    Batches::new(b"hostile bytes").next(INSTANCES).unwrap()
}

fn rows(count: usize) -> Vec<u8> {
    vec![0; 2 * count]
}

fn transfers(bits: usize) -> (CotSender, CotReceiver) {
    ideal::correlated_transfers(&delta(), bits * INSTANCES, &mut random())
}

fn delta() -> Delta {
    Delta::new(77).unwrap()
}

fn setup(party: u8) -> (TransferSetup, Vec<u8>) {
    let (setup, messages) = TransferSetup::start(&session(party), (Party(party), 2), Width::new(8).unwrap()).unwrap();
    (setup, messages.concat())
}

/// Both parties when they have everything but the last message of the set-up, and that message.
fn last() -> [(TransferSums, Vec<u8>); 2] {
    let ((one, to_two), (two, to_one)) = (setup(0), setup(1));
    let ((one, to_two), (two, to_one)) = (one.points(&[to_one]).unwrap(), two.points(&[to_two]).unwrap());
    let ((one, to_two), (two, to_one)) = (one.sums(&to_one).unwrap(), two.sums(&to_two).unwrap());
    [(one, to_one.concat()), (two, to_two.concat())]
}

fn ready() -> [Transfers; 2] {
    last().map(|(party, sums)| party.finish(&[sums]).unwrap())
}

fn maker() -> TripleMaker {
    let batch = batch();
    TripleMaker::start((Party(0), 2), batch, 3, vec![transfers(3)], &mut random())
        .unwrap()
        .0
}

fn boolean() -> Vec<Target> {
    let announcement = setup(1).1;
    let points = setup(1).0.points(&[setup(0).1]).unwrap().1.concat();
    let [(_, sums), _] = last();
    let extension = ready()[1].begin(3, INSTANCES).unwrap().1.concat();
    vec![
        Target::new("TransferSetup::points", &announcement, Form::Points, |bytes| {
            setup(0).0.points(&[bytes]).map(|_| ())
        }),
        Target::new("TransferPoints::sums", &points, Form::Points, move |bytes| {
            setup(0).0.points(&[&announcement])?.0.sums(&[bytes]).map(|_| ())
        }),
        Target::new("TransferSums::finish", &sums, Form::Free, |bytes| {
            let [(party, _), _] = last();
            party.finish(&[bytes]).map(|_| ())
        }),
        Target::new("Transfers::choose", &extension, Form::Free, |bytes| {
            let [mut transfers, _] = ready();
            let extending = transfers.begin(3, INSTANCES)?.0;
            transfers.choose(extending, &[bytes]).map(|_| ())
        }),
        Target::new("TripleMaker::mask", &rows(3), Form::Rows(INSTANCES), |bytes| {
            maker().mask(&[bytes.to_vec()]).map(|_| ())
        }),
        Target::new("Masking::finish", &rows(3), Form::Rows(INSTANCES), |bytes| {
            maker().mask(&[rows(3)])?.0.finish(&[bytes.to_vec()]).map(|_| ())
        }),
        Target::new("expand_share", &[5; 32], Form::Free, |bytes| {
            expand_share(3, INSTANCES, bytes).map(|_| ())
        }),
        Target::new("BitMatrix::decode", &rows(9), Form::Rows(INSTANCES), |bytes| {
            BitMatrix::decode(9, INSTANCES, bytes).map(|_| ())
        }),
    ]
}

fn relu() -> &'static Relu {
    static RELU: OnceLock<Relu> = OnceLock::new();
    RELU.get_or_init(|| Relu::new(2, Goal::FewAnds).unwrap())
}

fn exchange() -> Result<(cloven_mpc::activation::Waiting<'static>, Vec<u8>), MpcError> {
    let triples = ideal::triples(2, relu().circuit().ands(), INSTANCES, &mut random()).swap_remove(0);
    match relu().start(Party(0), &[5; INSTANCES], vec![triples])? {
        Step::Exchange(waiting, message) => Ok((waiting, message)),
        Step::Reveal(_) => panic!("the circuit has ANDs"),
    }
}

fn activation() -> Vec<Target> {
    let message = exchange().unwrap().1;
    let choices = relu().evaluate(&mut ready()[1], &[5; INSTANCES]).unwrap().1;
    vec![
        Target::new("activation::Waiting::step", &message, Form::Rows(INSTANCES), |bytes| {
            exchange()?.0.step(&[bytes]).map(|_| ())
        }),
        Target::new(
            "Relu::garble",
            &choices,
            Form::RowsAfter(choices.len() - 2 * 64, INSTANCES),
            |bytes| {
                let [mut transfers, _] = ready();
                relu()
                    .garble(&mut transfers, &[5; INSTANCES], bytes)?
                    .next_piece()
                    .map(|_| ())
            },
        ),
        Target::new(
            "activation::Evaluating::accept",
            &vec![0; 5056 * INSTANCES],
            Form::Free,
            |bytes| {
                let [_, mut transfers] = ready();
                relu().evaluate(&mut transfers, &[5; INSTANCES])?.0.accept(bytes)
            },
        ),
        Target::new("Relu::reveal", &rows(63), Form::Rows(INSTANCES), |bytes| {
            relu().reveal(INSTANCES, &[bytes, &rows(63)]).map(|_| ())
        }),
    ]
}

/// A sum of one word of each party.
fn sum(parties: u8) -> Circuit {
    let mut builder = Builder::new(Goal::FewAnds);
    let words: Vec<Word> = (0..parties).map(|party| builder.input(Party(party), 8)).collect();
    let sum = builder.sum(&words);
    builder.finish(&[sum])
}

fn words() -> BitMatrix {
    BitMatrix::zeros(8, INSTANCES)
}

fn two_parties() -> Vec<Target> {
    static SUM: OnceLock<Circuit> = OnceLock::new();
    let circuit = || SUM.get_or_init(|| sum(2));
    let choosing = move || half_gates::Choosing::start(circuit(), batch(), &words(), transfers(8).1);
    let garble =
        move |bytes: &[u8]| half_gates::Garbler::start(circuit(), batch(), &words(), transfers(8).0, bytes, &mut random());
    let choices = choosing().unwrap().1;
    let (mut garbler, labels) = garble(&choices).unwrap();
    let (tables, received) = (garbler.tables(usize::MAX), labels.clone());
    let (of, times) = (half_gates::AND_BYTES * INSTANCES, 0..=circuit().ands());
    vec![
        Target::new("half_gates::Garbler::start", &choices, Form::Rows(INSTANCES), move |bytes| {
            garble(bytes).map(|_| ())
        }),
        Target::new("half_gates::Choosing::labels", &labels, Form::Free, move |bytes| {
            choosing()?.0.labels(bytes).map(|_| ())
        }),
        Target::new(
            "half_gates::Evaluator::consume",
            &tables,
            Form::Pieces { of, times },
            move |bytes| choosing()?.0.labels(&received)?.consume(bytes),
        ),
    ]
}

/// Garbler 0 of two, with an evaluator that has inputs too.
fn garblers() -> Vec<Target> {
    static SUM: OnceLock<Circuit> = OnceLock::new();
    let circuit = || SUM.get_or_init(|| sum(3));
    let ands = circuit().ands();
    let bits = 8 + 2 * ands;
    let masks = move || {
        bmr::Masks::start(
            circuit(),
            (Party(0), 2),
            batch(),
            delta(),
            vec![transfers(bits)],
            &mut random(),
        )
    };
    let products = move |bytes: &[u8]| Ok::<_, MpcError>(masks()?.0.products(&[bytes.to_vec()])?.0);
    let shares = move |bytes: &[u8]| Ok::<_, MpcError>(products(&rows(ands + 8))?.shares(&[bytes.to_vec()])?.0);
    let finished = move |bytes: &[u8]| shares(&rows(ands))?.finish(&[bytes.to_vec()]);
    let opened = move || Ok::<_, MpcError>(finished(&rows(ands))?.1.open(&words())?.0);
    let choosing =
        move || Ok::<_, MpcError>(bmr::Choosing::start(circuit(), batch(), &words(), vec![transfers(8).1, transfers(8).1])?.0);
    let labels = vec![0; 24 * 16 * INSTANCES];
    let evaluate = {
        let labels = labels.clone();
        move |bytes: &[u8]| choosing()?.labels(&[bytes.to_vec(), labels.clone()])
    };
    let (tables, other) = (evaluate.clone(), labels.clone());
    let gate = bmr::and_bytes(2) * INSTANCES;
    let form = || Form::Rows(INSTANCES);
    vec![
        Target::new("bmr::Masks::products", &rows(ands + 8), form(), move |bytes| {
            products(bytes).map(|_| ())
        }),
        Target::new("bmr::Products::shares", &rows(ands), form(), move |bytes| {
            shares(bytes).map(|_| ())
        }),
        Target::new("bmr::Shares::finish", &rows(ands), form(), move |bytes| {
            finished(bytes).map(|_| ())
        }),
        Target::new("bmr::OpenedInputs::labels, of a garbler", &rows(8), form(), move |bytes| {
            opened()?.labels(&[bytes.to_vec()], &rows(8), transfers(8).0).map(|_| ())
        }),
        Target::new(
            "bmr::OpenedInputs::labels, of the evaluator",
            &rows(8),
            form(),
            move |bytes| opened()?.labels(&[rows(8)], bytes, transfers(8).0).map(|_| ()),
        ),
        Target::new("bmr::Choosing::labels", &labels, Form::Free, move |bytes| {
            evaluate(bytes).map(|_| ())
        }),
        Target::new("bmr::Evaluator::consume", &vec![0; 2 * gate], Form::Free, move |bytes| {
            tables(&other)?.consume(&[bytes, &vec![0; 2 * gate]])
        }),
    ]
}
