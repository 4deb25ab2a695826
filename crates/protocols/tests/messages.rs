//! Every message of every protocol: hostile bytes, and the exact bytes on the wire.
#![allow(clippy::unwrap_used, clippy::panic)]

use futures_util::FutureExt;
use std::{borrow::Borrow, collections::BTreeSet, path::Path, time::Duration};

use cloven_accel::{
    Kind, Matrices, Shape, Words,
    convolution::Window,
    job::{Answer, Job, Step as Offloaded, Tensor},
};
use cloven_nn::{
    LinearShape,
    fixed_point::{Ending, Operation, Step, Structure},
};
use cloven_protocols::{
    AllSettled, Ask, Begin, Position, Settled, SignedKey, Start, enclave,
    encrypted_activation::{
        self as sealed, ClientCipher, Direction, LatticeCipher, SealedLen, Sealing, ServerCipher, ServerLattice, paper,
    },
    encrypted_model::{self as model, encrypted_samples as hidden},
    plain, secure_inference as inference, vertical,
};
use cloven_wire::{
    Message, Party,
    testing::{assert_wire_format, frame, fuzz, fuzz_message, fuzz_time},
};
use ndarray::{ArrayD, Dimension, IxDyn};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

const ROUND: u64 = 3;

/// A small message with fixed content.
struct Case {
    name: &'static str,
    kind: u8,
    frame: Vec<u8>,
    fuzz: Box<dyn Fn(Duration)>,
}

/// `expect` is what a receiver would expect.
fn case<M: Message + 'static>(message: M, expect: impl Borrow<M::Expect> + 'static) -> Case {
    Case {
        name: M::NAME,
        kind: M::KIND,
        frame: frame(ROUND, &message),
        fuzz: Box::new(move |time| fuzz_message(time, &message, expect.borrow())),
    }
}

fn array(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(shape), |at| at.slice().iter().sum::<usize>() as f32 - 1.5)
}

const POSITION: Position = Position { epoch: 2, batch: 50 };

fn start() -> Case {
    let start = Start {
        train_rows: 13_245,
        test_rows: 300,
        positions: vec![POSITION],
    };
    case(start, ())
}

fn begin() -> Case {
    let begin = Begin {
        clients: 3,
        train_rows: 40_000,
        from: POSITION,
    };
    let own = Start {
        train_rows: 13_245,
        test_rows: 0,
        positions: vec![POSITION],
    };
    case(begin, (3, own))
}

fn settled() -> [Case; 2] {
    [case(Settled { epoch: 7 }, 7), case(AllSettled { epoch: 7 }, 7)]
}

/// What every training begins with.
fn training_cases() -> Vec<Case> {
    let [settled, all_settled] = settled();
    vec![start(), begin(), settled, all_settled]
}

fn plain_own() -> Vec<Case> {
    vec![
        case(plain::Activation(array(&[2, 3])), vec![2, 3]),
        case(plain::Output(array(&[2, 1, 2])), vec![2, 1, 2]),
        case(plain::OutputGradient(array(&[2, 2])), vec![2, 2]),
        case(plain::InputGradient(array(&[1])), vec![1]),
    ]
}

fn sealed_own() -> Vec<Case> {
    let shapes = vec![vec![3, 2], vec![3]];
    let key = SignedKey {
        key: [5; 32],
        signature: vec![6; 70],
    };
    let clients: Vec<Party> = ["north", "south"].map(|name| name.parse().unwrap()).into();
    let keys = clients.iter().map(|client| (client.clone(), key.clone())).collect();
    vec![
        case(sealed::SealedActivation(vec![1, 2, 3]), 3),
        case(sealed::SealedOutput(vec![4, 5]), 2),
        case(sealed::SealedGradient(vec![6]), 1),
        case(sealed::SealedInputGradient(vec![7, 8]), 2),
        case(sealed::Reveal(shapes.iter().map(|shape| array(shape)).collect()), shapes),
        case(sealed::MaskKey(key), ()),
        case(sealed::MaskKeys(keys), clients),
        case(sealed::MaskedReveal(vec![7, u64::MAX]), 2),
    ]
}

/// Without those that it shares with the sealed mode.
fn paper_own() -> Vec<Case> {
    let gradients = paper::Gradients {
        output: array(&[1, 3]),
        layer: vec![array(&[3, 2]), array(&[3])],
    };
    vec![
        case(gradients, vec![vec![1, 3], vec![3, 2], vec![3]]),
        case(paper::InputGradient(array(&[1, 2])), vec![1, 2]),
    ]
}

fn paper_cases() -> Vec<Case> {
    let shared = sealed_own().into_iter().take(2);
    shared.chain(paper_own()).collect()
}

fn model_own() -> Vec<Case> {
    let key = model::Fingerprint([9; model::Fingerprint::LEN]);
    let step = model::EncryptedStep {
        refresh: true,
        delta: vec![1, 2, 3],
    };
    vec![
        case(model::Key(key), Some(key)),
        case(model::MergeKeys(vec![8, 9]), 2),
        case(model::Samples(vec![-3, 7, i16::MAX]), 3),
        case(model::EncryptedWeights(vec![1, 2]), 2),
        case(model::EncryptedOutput(vec![4, 5]), 2),
        case(step, 3),
        case(model::HeldWeights(vec![6]), 1),
        case(model::InputForm::Encrypted, ()),
    ]
}

/// Without those that it shares with training on samples in the clear.
fn hidden_own() -> Vec<Case> {
    let [key, rows] = [7, 8].map(|byte| model::Fingerprint([byte; model::Fingerprint::LEN]));
    let upload = hidden::Upload { key, rows };
    vec![
        case(upload, Some(upload)),
        case(hidden::RowsHeld(12), 13),
        case(hidden::EncryptedRows(vec![1, 2, 3]), 3),
        case(hidden::Relinearisation(vec![4]), 1),
        case(hidden::EncryptedDelta(vec![5, 6]), 2),
        case(hidden::EncryptedGradient(vec![7]), 1),
        case(hidden::EncryptedInputGradient(vec![8]), 1),
    ]
}

/// Those of these names, in their order.
fn chosen(names: &[&str]) -> Vec<Case> {
    let mut all: Vec<Case> = hidden_own().into_iter().chain(model_own()).collect();
    let take = |name: &&str| {
        let place = all.iter().position(|case| case.name == *name).unwrap();
        all.remove(place)
    };
    names.iter().map(take).collect()
}

fn hidden_cases() -> Vec<Case> {
    chosen(&[
        "upload",
        "rows held",
        "encrypted rows",
        "relinearisation key",
        "encrypted weights",
        "encrypted output",
        "encrypted delta",
        "encrypted input gradient",
        "encrypted gradient",
    ])
}

fn model_cases() -> Vec<Case> {
    chosen(&[
        "key",
        "merge keys",
        "samples",
        "relinearisation key",
        "encrypted weights",
        "encrypted output",
        "encrypted rows",
        "encrypted delta",
        "encrypted input gradient",
        "encrypted gradient",
        "encrypted step",
        "held weights",
    ])
}

fn hidden_prediction_cases() -> Vec<Case> {
    let own = chosen(&[
        "key",
        "relinearisation key",
        "held weights",
        "encrypted rows",
        "encrypted output",
    ]);
    [ask()].into_iter().chain(own).collect()
}

fn model_prediction_cases() -> Vec<Case> {
    let own = chosen(&[
        "key",
        "input form",
        "merge keys",
        "relinearisation key",
        "held weights",
        "samples",
        "encrypted output",
        "encrypted rows",
    ]);
    [ask()].into_iter().chain(own).collect()
}

fn hidden_input_cases() -> Vec<Case> {
    let own = chosen(&[
        "key",
        "input form",
        "held weights",
        "encrypted weights",
        "relinearisation key",
        "encrypted rows",
        "encrypted output",
    ]);
    [ask()].into_iter().chain(own).collect()
}

fn ask() -> Case {
    case(Ask { rows: 300 }, ())
}

fn plain_prediction_cases() -> Vec<Case> {
    vec![
        ask(),
        case(plain::Activation(array(&[2, 3])), vec![2, 3]),
        case(plain::Output(array(&[2, 1, 2])), vec![2, 1, 2]),
    ]
}

fn sealed_prediction_cases() -> Vec<Case> {
    vec![
        ask(),
        case(sealed::SealedActivation(vec![1, 2, 3]), 3),
        case(sealed::SealedOutput(vec![4, 5]), 2),
    ]
}

fn vertical_own() -> Vec<Case> {
    let work = vertical::Work {
        train_rows: 24_000,
        test_rows: 6_000,
        from: POSITION,
    };
    let seed = |byte| Zeroizing::new([byte; 32]);
    vec![
        case(vertical::SetSize(30_000), ()),
        case(vertical::AlignmentStep(vec![1, 2, 3]), 5),
        case(vertical::Positions(vec![POSITION]), Some(POSITION)),
        case(work, None),
        case(vertical::Seed(seed(4)), ()),
        case(vertical::MaskedRows(vec![1; 16]), 16),
        case(vertical::ReceiverKey(vec![2, 3]), 2),
        case(vertical::MaskedOperand(vec![4; 8]), 8),
        case(vertical::EncryptedOperand(vec![5]), 1),
        case(vertical::EncryptedProduct(vec![6, 7]), 2),
        case(vertical::TripleShares(vec![8; 24]), 24),
        case(vertical::OutputShare(vec![9; 8]), 8),
        case(vertical::Hidden(array(&[2, 3])), vec![2, 3]),
        case(vertical::HiddenGradient(array(&[2, 1])), vec![2, 1]),
        case(vertical::MaskedGradient(vec![10; 8]), 8),
        case(vertical::OpenGradient(vec![12; 8]), 8),
        case(vertical::PlainOutput(array(&[1, 2])), vec![1, 2]),
        case(vertical::PlainGradient(array(&[2, 2])), vec![2, 2]),
        case(vertical::ActivationStep(vec![1, 2]), 3),
        case(vertical::ActivationShare(vec![13; 4]), 4),
    ]
}

fn inference_cases() -> Vec<Case> {
    let key = SignedKey {
        key: [5; 32],
        signature: vec![6; 70],
    };
    let meeting = inference::Meeting {
        model: [1; 16],
        nonce: [2; 32],
    };
    vec![
        case(meeting, [1; 16]),
        case(inference::KeyStep(vec![1, 2]), 2),
        case(inference::WeightStep(vec![3]), 1),
        case(inference::TransferStep(vec![4, 5]), 2),
        case(inference::RemoteKey(key.clone()), ()),
        case(inference::Command::Infer(2, vec![7; 112]), (5, 2)),
        case(inference::ProductStep(vec![6]), 1),
        case(inference::ActivationPreparation(vec![7, 8]), 2),
        case(inference::ServerKeys(vec![key.clone(), key]), 2),
        ask(),
        case(inference::GatewayLayers(layers()), ()),
        case(inference::UserKey(vec![16]), 1),
        case(inference::UserTransfer(vec![17, 18]), 2),
        case(inference::UserProduct(vec![19]), 1),
        case(inference::UserActivation(vec![20]), 1),
        case(inference::SealedInput(vec![9; 4]), 4),
        case(inference::UserInput(vec![21; 8]), 8),
        case(inference::UserStep(vec![22]), 1),
        case(inference::MaskedInput(vec![10]), 1),
        case(inference::ActivationStep(vec![11, 12]), 2),
        case(inference::SealedShare(vec![13]), 1),
        case(inference::SealedOutput(vec![14, 15]), 2),
    ]
}

fn words(first: i32) -> Tensor {
    Tensor::Words(Words::of_integers(Shape::matrix(1, 3).unwrap(), &[first, -1, 1 << 20]).unwrap())
}

fn floats() -> Tensor {
    Tensor::Floats(Matrices::new(Shape::matrix(1, 1).unwrap(), vec![1.5]).unwrap())
}

/// A step of every kind.
fn worker_job() -> Job {
    let window = Window {
        channels: 1,
        image: [3, 1],
        kernel: [2, 1],
        stride: [1, 1],
        padding: [1, 0],
    };
    let product = |kind, keep| Offloaded::Product {
        kind,
        left: 0,
        right: 1,
        keep,
    };
    let put = |slot, tensor| Offloaded::Put { slot, tensor };
    Job(vec![
        put(0, words(6)),
        put(1, floats()),
        product(Kind::Forward, None),
        product(Kind::WeightGradient, Some(2)),
        product(Kind::InputGradient, None),
        Offloaded::Add {
            to: 1,
            from: 1,
            factor: -0.5,
        },
        Offloaded::Unfold { from: 0, to: 3, window },
        Offloaded::Fold { from: 3, to: 0, window },
        Offloaded::Read { slot: 2 },
        Offloaded::Free { slot: 3 },
    ])
}

fn enclave_own() -> [Vec<Case>; 2] {
    let before = vec![
        case(enclave::Challenge([1; 32]), ()),
        case(enclave::EnclaveEvidence(vec![2, 3]), 5),
        case(enclave::SealingKey(Zeroizing::new([4; 32])), ()),
        case(enclave::TrainedNetwork(vec![5]), 9),
    ];
    let after = vec![
        case(enclave::Samples(array(&[2, 3])), vec![2, 3]),
        case(enclave::Targets(array(&[2])), vec![2]),
        case(enclave::WorkerJob(worker_job()), 1000),
        case(enclave::WorkerAnswer(Answer(vec![words(7), floats()])), 1000),
        case(enclave::BatchLoss(0.5), ()),
        case(enclave::Outputs(array(&[2, 2])), vec![2, 2]),
    ];
    [before, after]
}

/// A dense layer with a ReLU.
fn layers() -> Structure {
    let linear = Step::Linear {
        layer: "0".into(),
        shape: LinearShape::Dense { inputs: 3, outputs: 2 },
    };
    let relu = Step::NonLinear {
        layer: "1".into(),
        operation: Operation::Relu,
        truncation: 10,
    };
    Structure {
        input: vec![3],
        input_scale: None,
        ring_bits: 32,
        fraction_bits: 10,
        steps: vec![linear, relu],
        layer_ends: vec![1, 2],
        ending: Ending::Scores,
    }
}

struct Protocol {
    folder: &'static str,
    messages: &'static [(&'static str, u8)],
    cases: Vec<Case>,
}

fn protocols() -> [Protocol; 13] {
    let protocol = |folder, messages, cases| Protocol { folder, messages, cases };
    let training = |own: Vec<Case>| training_cases().into_iter().chain(own).collect();
    let [before, after] = enclave_own();
    let of_enclave = before.into_iter().chain(training_cases()).chain(after).collect();
    [
        protocol("enclave", &enclave::MESSAGES, of_enclave),
        protocol("plain", &plain::MESSAGES, training(plain_own())),
        protocol("encrypted_activation", &sealed::MESSAGES, training(sealed_own())),
        protocol("encrypted_activation/paper", &paper::MESSAGES, training(paper_cases())),
        protocol("encrypted_model", &model::MESSAGES, training(model_cases())),
        protocol("encrypted_model/predict", &model::predict::MESSAGES, model_prediction_cases()),
        protocol(
            "encrypted_model/predict/hidden",
            &model::predict::hidden::MESSAGES,
            hidden_input_cases(),
        ),
        protocol("plain/predict", &plain::predict::MESSAGES, plain_prediction_cases()),
        protocol(
            "encrypted_activation/predict",
            &sealed::predict::MESSAGES,
            sealed_prediction_cases(),
        ),
        protocol(
            "encrypted_model/encrypted_samples",
            &hidden::MESSAGES,
            training(hidden_cases()),
        ),
        protocol(
            "encrypted_model/encrypted_samples/predict",
            &hidden::predict::MESSAGES,
            hidden_prediction_cases(),
        ),
        protocol("vertical", &vertical::MESSAGES, training(vertical_own())),
        protocol("secure_inference", &inference::MESSAGES, inference_cases()),
    ]
}

#[test]
fn every_message_has_its_case_and_every_kind_one_meaning() {
    for Protocol { folder, messages, cases } in protocols() {
        let cases: Vec<_> = cases.iter().map(|case| (case.name, case.kind)).collect();
        assert_eq!(cases, messages, "{folder}");
        let kinds: BTreeSet<u8> = messages.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds.len(), messages.len(), "{folder}: two messages of one kind");
    }
}

fn fuzz_all(cases: Vec<Case>) {
    let time = fuzz_time(cases.len() as u32);
    cases.iter().for_each(|case| (case.fuzz)(time));
}

#[test]
fn hostile_bytes_for_what_every_training_begins_with() {
    fuzz_all(training_cases());
}

#[test]
fn hostile_bytes_for_plain() {
    fuzz_all(plain_own());
}

#[test]
fn hostile_bytes_for_encrypted_activation() {
    fuzz_all(sealed_own());
}

#[test]
fn hostile_bytes_for_encrypted_model() {
    fuzz_all(model_own());
}

#[test]
fn hostile_bytes_for_encrypted_samples() {
    fuzz_all(hidden_own());
}

#[test]
fn hostile_bytes_for_vertical() {
    fuzz_all(vertical_own());
}

#[test]
fn hostile_bytes_for_enclave() {
    fuzz_all(enclave_own().into_iter().flatten().collect());
}

#[test]
fn hostile_bytes_for_paper() {
    fuzz_all(paper_own());
}

/// The client's and the server's cipher for a layer of 8 x 3 and batches of 2 rows.
fn ciphers() -> (LatticeCipher, ServerLattice) {
    let sealing = Sealing::new(2, 8, 3).unwrap();
    let client = LatticeCipher::new(sealing.clone(), &mut ChaCha20Rng::from_seed([4; 32]));
    let mut server = ServerLattice::new(sealing);
    server.set_layer(&array(&[3, 8]), Some(&array(&[3]))).unwrap();
    (client, server)
}

#[test]
fn hostile_bytes_for_predictions() {
    fuzz_all(vec![ask()]);
}

#[test]
fn hostile_ciphertexts() {
    let (mut client, mut server) = ciphers();
    for (direction, width) in [(Direction::Forward, 8), (Direction::Backward, 3)] {
        let upload = client.seal(direction, ROUND, &(array(&[2, width]) / 16.0)).unwrap();
        let answer = server.answer(direction, &upload, 2).now_or_never().unwrap().unwrap();
        let len = server.answer_len(direction, 2);
        let mut answered = 0;
        fuzz("sealed batch", fuzz_time(4), &[upload], |bytes| {
            if let Ok(answer) = server.answer(direction, bytes, 2).now_or_never().unwrap() {
                assert_eq!(answer.len(), len);
                answered += 1;
            }
        });
        assert!(answered > 0, "mutants reach the product");
        let shape = client.open(direction, &answer, 2).unwrap().shape().to_vec();
        fuzz("sealed answer", fuzz_time(4), &[answer], |bytes| {
            if let Ok(numbers) = client.open(direction, bytes, 2) {
                assert!(numbers.shape() == shape && numbers.iter().all(|v| v.is_finite()));
            }
        });
    }
}

/// Ciphertexts are compared by the server's answer to fixed bytes: it depends on all that the parties must agree on (how a seed is expanded,
/// how coefficients are packed and rounded) and on no randomness.
#[test]
fn every_message_has_the_committed_bytes() {
    let mut frames = Vec::new();
    for Protocol { folder, cases, .. } in protocols() {
        frames.extend(cases.into_iter().map(|case| (format!("{folder}, {}", case.name), case.frame)));
    }
    let (_, mut server) = ciphers();
    for direction in [Direction::Forward, Direction::Backward] {
        let upload = vec![0; server.sealed_len(direction, 2)];
        let answer = server.answer(direction, &upload, 2).now_or_never().unwrap().unwrap();
        frames.push((format!("encrypted_activation, answer to zeros ({direction:?})"), answer));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/messages.txt");
    assert_wire_format(&path, &frames);
}
