//! Encrypted against plain training, refreshes, declared cost against counters, what the server sees, keys, predictions, tampering.

use std::slice::from_mut;

use cloven_nn::{Evaluation, InputGradient, LayerSpec, LearningRateSchedule, Loss, ModelSpec, Network, OptimiserSpec};
use cloven_wire::Message;
use ndarray::ArrayD;

use super::{
    encrypted_samples::{EncryptedDelta, EncryptedGradient, EncryptedInputGradient, EncryptedRows, Relinearisation},
    *,
};
use crate::{AllSettled, Ask, Begin, Examples, ProtocolError, Settled, Start, plain, testing::*};

mod helped;
mod hidden_input;

const INPUT_BITS: u32 = 5;
/// Far above the noise of these few batches.
pub(crate) const PRECISION: f64 = 1e-3;
/// The server's first layer: flatten, dense.
const SERVER: std::ops::Range<usize> = 0..2;
/// The layers of which the server has a second dense one.
const INNER: std::ops::Range<usize> = 2..4;
const LAYERS: usize = 6;

fn model() -> ModelSpec {
    let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
    ModelSpec {
        input: vec![1, 128],
        layers: vec![
            LayerSpec::Flatten {},
            dense(12),
            LayerSpec::Relu {},
            dense(8),
            LayerSpec::Gelu {},
            dense(5),
        ],
    }
}

fn network(layers: std::ops::Range<usize>) -> Network {
    Network::new(&model(), layers, SEED)
        .unwrap()
        .with_optimiser(optimiser())
        .unwrap()
}

fn optimiser() -> OptimiserSpec {
    OptimiserSpec::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 0.02,
        schedule: LearningRateSchedule::Step {
            every: 4,
            factor: 0.8,
            warm_up: 2,
        },
    }
}

pub(crate) fn encryption() -> LayerEncryption {
    LayerEncryption::new([128, 12], true, INPUT_BITS).unwrap()
}

/// Stride layout: two rows' steps in a ciphertext.
fn packed() -> LayerEncryption {
    LayerEncryption::packed([128, 12], true, INPUT_BITS, 2).unwrap()
}

/// The server's layer after the first.
fn inner() -> Vec<ProductLayer> {
    let layers = model().linear_layers(INNER, InputGradient::Wanted).unwrap();
    ProductLayer::of(&layers, schedule().batch, false).unwrap()
}

pub(crate) fn inner_keys(number: u8) -> Vec<ProductKey> {
    let layers = inner().into_iter().enumerate();
    layers
        .map(|(layer, each)| ProductKey::of_layer(each.encryption, &[number; 32], layer))
        .collect()
}

pub(crate) fn key(number: u8) -> LayerKey {
    LayerKey::new(encryption(), &[number; 32])
}

pub(crate) fn roles<'h>(precision: f64) -> (Client, Server<'h>) {
    let client = Client {
        layer: network(SERVER),
        tail: network(SERVER.end..LAYERS)
            .with_products_outside(&model(), INNER, InputGradient::Wanted)
            .unwrap(),
        key: key(1),
        inner: inner_keys(1),
        optimiser: optimiser(),
        precision,
    };
    let server = Server {
        encryption: encryption(),
        inner: inner(),
        shuffle: task(&examples(1), &examples(1)).shuffle,
        helpers: None,
    };
    (client, server)
}

/// Rows that need no rounding.
pub(crate) fn rounded(rows: usize) -> Examples {
    let mut all = examples(rows);
    let scale = f32::from(1u16 << INPUT_BITS);
    all.x.mapv_inplace(|x| (x * scale).round() / scale);
    all
}

struct Trained {
    client: TrainedClient,
    server: HeldLayers,
    evaluation: Option<Evaluation>,
    links: [MemoryLink; 2],
}

impl Trained {
    /// The server's layer as the key holder reads it.
    fn layer(&self) -> Vec<ArrayD<f32>> {
        let mut layer = network(SERVER);
        key(1)
            .decrypt_layer(&self.server.weights[0], self.client.factor, &mut layer)
            .unwrap();
        values(&layer)
    }
}

fn values(network: &Network) -> Vec<ArrayD<f32>> {
    network.parameters().into_iter().map(|(_, value)| value).collect()
}

async fn train((me, other): (Client, Server<'_>), data: &Examples, test: &Examples) -> Trained {
    let mut links = links();
    let mut evaluation = None;
    let [a, b] = &mut links;
    let (client, server) = {
        let (mut observe, mut still) = (last_evaluation(&mut evaluation), ignore);
        tokio::join!(
            client(me, task(data, test), a, &mut observe),
            server(other, schedule(), b, &mut still)
        )
    };
    Trained {
        client: client.unwrap(),
        server: server.unwrap(),
        evaluation,
        links,
    }
}

/// All weights after plain training: the server's layer, then the tail.
async fn train_plain(data: &Examples, test: &Examples) -> [Vec<ArrayD<f32>>; 2] {
    let [mut a, mut b] = links();
    let (mut quiet, mut still) = (ignore, ignore);
    let (front, tail) = (network(0..0), network(SERVER.end..LAYERS));
    let middle = vec![network(SERVER)];
    let (me, other) = tokio::join!(
        plain::client(plain::Client { front, tail }, task(data, test), &mut a, &mut quiet),
        plain::server(plain::Server { middle }, schedule(), from_mut(&mut b), &mut still)
    );
    [values(&other.unwrap().middle[0]), values(&me.unwrap().tail)]
}

/// How far training moved the server's layer.
fn moved(layer: &[ArrayD<f32>]) -> f32 {
    distance(layer, &values(&network(SERVER)))
}

#[tokio::test]
async fn the_encrypted_layer_is_that_of_plain_training() {
    let (data, test) = (rounded(22), rounded(10));
    let [layer, tail] = train_plain(&data, &test).await;
    let trained = train(roles(PRECISION), &data, &test).await;
    let (apart, moved) = (distance(&trained.layer(), &layer), moved(&layer));
    assert!(apart < moved / 500.0, "{apart:e} apart, moved by {moved:e}");
    assert!(distance(&values(&trained.client.tail), &tail) < 1e-4);
    assert!(trained.client.factor < 1.0, "weight decay is in the factor");
    assert_same_transcript(&trained.links);
}

/// No message is about layers that the server does not have.
#[tokio::test]
async fn one_layer_alone_is_trained_and_asked() {
    let (data, test) = (rounded(22), rounded(10));
    let [layer, _] = train_plain(&data, &test).await;
    let (mut me, mut other) = roles(PRECISION);
    (me.tail, me.inner, other.inner) = (network(SERVER.end..LAYERS), Vec::new(), Vec::new());
    let trained = train((me, other), &data, &test).await;
    let (apart, moved) = (distance(&trained.layer(), &layer), moved(&layer));
    assert!(apart < moved / 500.0, "{apart:e} apart, moved by {moved:e}");
    assert_eq!(trained.server.weights.len(), 1);
    for name in [Relinearisation::NAME, EncryptedRows::NAME, EncryptedDelta::NAME] {
        assert_eq!(sent(&trained.links[0], name), 0, "{name}");
    }
    let ([mut a, mut b], own) = (links(), key(1));
    let me = predict::Forward {
        tail: &trained.client.tail,
        key: &own,
        inner: &[],
        session: [3; 16],
        factor: trained.client.factor,
        input: InputForm::Clear,
    };
    let (mut quiet, mut still) = (ignore, ignore);
    let (batch, encryption) = (schedule().evaluation_batch, encryption());
    let (outputs, answered) = tokio::join!(
        predict::client(me, queries(&test.x), &mut a, &mut quiet),
        predict::server(&encryption, &[], &trained.server, batch, &mut b, &mut still)
    );
    answered.unwrap();
    let again = Evaluation::new(Loss::CrossEntropy, &outputs.unwrap(), &test.targets).unwrap();
    assert_eq!(Some(again), trained.evaluation);
}

#[tokio::test]
async fn the_stride_layout_trains_the_same_network_with_fewer_bytes() {
    let (data, test) = (rounded(22), rounded(10));
    let [layer, _] = train_plain(&data, &test).await;
    let (me, other) = packed_roles(PRECISION);
    let trained = train((me, other), &data, &test).await;
    let mut read = network(SERVER);
    let key = LayerKey::new(packed(), &[1; 32]);
    key.decrypt_layer(&trained.server.weights[0], trained.client.factor, &mut read)
        .unwrap();
    let (apart, moved) = (distance(&values(&read), &layer), moved(&layer));
    assert!(apart < moved / 200.0, "{apart:e} apart, moved by {moved:e}");
    let batch = |encryption| cost::training_batch(encryption, &[], 4);
    let (packed, block) = (batch(&packed()), batch(&encryption()));
    assert!(packed.client_bytes < block.client_bytes * 6 / 10 && packed.server_bytes < block.server_bytes * 6 / 10);
}

/// With a precision that allows few batches, W goes back and forth, and nothing else changes.
#[tokio::test]
async fn refreshes_change_nothing_but_noise() {
    let (data, test) = (rounded(22), rounded(10));
    let [layer, _] = train_plain(&data, &test).await;
    let squares = data
        .x
        .outer_iter()
        .map(|row| row.iter().map(|x| f64::from(x * x)).sum::<f64>());
    let (most, all) = squares.fold((0.0, 0.0), |(most, sum): (f64, f64), square| (most.max(square), sum + square));
    let precision = encryption().error_bound(most.sqrt(), all / 2.0);
    let trained = train(roles(precision), &data, &test).await;
    let refreshes = sent(&trained.links[1], HeldWeights::NAME);
    assert!((3..18).contains(&refreshes), "{refreshes} refreshes in 18 batches");
    let (apart, moved) = (distance(&trained.layer(), &layer), moved(&layer));
    assert!(apart < moved / 500.0, "{apart:e} apart, moved by {moved:e}");
    let cost = cost_of(22, 10, refreshes);
    assert_eq!(counted(&trained.links), cost);
}

/// Decay so strong that the factor would vanish: W is encrypted anew before.
#[tokio::test]
async fn strong_weight_decay_is_no_loss_of_precision() {
    let (data, test) = (rounded(22), rounded(4));
    let (mut me, other) = roles(PRECISION);
    me.optimiser = OptimiserSpec::Sgd {
        learning_rate: 0.1,
        momentum: 0.0,
        weight_decay: 2.0,
        schedule: LearningRateSchedule::default(),
    };
    let trained = train((me, other), &data, &test).await;
    assert!((0.25..1.0).contains(&trained.client.factor), "{}", trained.client.factor);
    assert!(sent(&trained.links[1], HeldWeights::NAME) >= 2);
    let initial = values(&network(SERVER))[0].mapv(f32::abs).sum();
    assert!(trained.layer()[0].mapv(f32::abs).sum() < initial / 2.0);
}

#[tokio::test]
async fn a_precision_that_no_batch_can_have_is_refused_with_the_numbers() {
    let (data, test) = (rounded(22), rounded(4));
    let (me, _) = roles(1e-9);
    let [mut a, _b] = links();
    let error = client(me, task(&data, &test), &mut a, &mut ignore).await.err().unwrap();
    assert!(matches!(error, ProtocolError::Precision { accepted, actual } if accepted == 1e-9 && actual > accepted));
    assert!(error.to_string().contains("1.00e-9"), "{error}");
}

fn sent(link: &MemoryLink, message: &str) -> u64 {
    link.sent_by_message().get(message).map_or(0, |counted| counted.messages)
}

fn cost_of(train: usize, test: usize, refreshes: u64) -> crate::Cost {
    let (encryption, inner) = (encryption(), inner());
    let batches = declared(
        [train, test],
        |rows| cost::training_batch(&encryption, &inner, rows),
        |rows| cost::evaluation_batch(&encryption, &inner, rows),
    );
    (0..refreshes).fold(batches + cost::set_up(&encryption, &inner, [train, test]), |sum, _| {
        sum + cost::refresh(&encryption)
    })
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let trained = train(roles(PRECISION), &rounded(22), &rounded(10)).await;
    assert_eq!(counted(&trained.links), cost_of(22, 10, 0));
}

/// What the server receives but for the samples has the same form whatever the labels, and no ciphertext repeats.
#[tokio::test]
async fn the_servers_view_has_the_same_form_for_other_labels() {
    let (test, mut forms) = (rounded(3), Vec::new());
    for shift in [0, 1] {
        let mut data = rounded(12);
        if let cloven_nn::BatchTargets::Classes(labels) = &mut data.targets {
            labels.iter_mut().for_each(|label| *label = (*label + shift) % 5);
        }
        let Trained { links: [_, b], .. } = train(roles(PRECISION), &data, &test).await;
        let received = b.transcript().unwrap().iter();
        let received: Vec<_> = received.filter(|e| e.direction == cloven_wire::Direction::Received).collect();
        let steps: Vec<_> = received.iter().filter(|e| e.what == EncryptedStep::NAME).collect();
        let mut digests: Vec<_> = steps.iter().map(|e| e.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), steps.len());
        forms.push(received.iter().map(|e| (e.what, e.round, e.len)).collect::<Vec<_>>());
    }
    assert_eq!(forms[0], forms[1]);
}

#[test]
fn initial_weights_come_from_the_secret_and_look_like_any() {
    let drawn = |number| {
        let mut layer = network(SERVER);
        key(number).draw_weights(&mut layer).unwrap();
        values(&layer)
    };
    assert_eq!(drawn(1), drawn(1));
    assert!(distance(&drawn(1), &drawn(2)) > 0.01);
    let weights = drawn(1);
    let bound = 1.0 / 128f32.sqrt();
    assert!(weights.iter().flatten().all(|w| w.abs() <= bound));
    let variance = weights[0].mapv(|w| w * w).mean().unwrap();
    assert!((variance * 3.0 / bound.powi(2) - 1.0).abs() < 0.1, "{variance}");
    assert_eq!(weights[1].len(), 12);
}

/// A step that is computed again after a crash: the same data give the same bytes; with one number changed, no mask is used a second time.
#[test]
fn a_repeated_step_with_one_number_changed_uses_no_mask_twice() {
    let delta = ArrayD::from_shape_fn(ndarray::IxDyn(&[4, 12]), |at| (at[0] * 12 + at[1]) as f32 / 1024.0);
    let mut other = delta.clone();
    other[[3, 11]] += 1e-3;
    let step = |delta| key(1).encrypt_step(delta, 0.1, 7).unwrap();
    let (first, again, other) = (step(&delta), step(&delta), step(&other));
    assert_eq!(first, again);
    let one = first.len() / 4;
    for (row, (a, b)) in first.chunks(one).zip(other.chunks(one)).enumerate() {
        assert_eq!(a[..32] == b[..32], row < 3, "row {row}: the mask's seed");
    }
}

async fn predict(
    trained: &Trained,
    key: &LayerKey,
    x: &ArrayD<f32>,
    links: &mut [MemoryLink; 2],
) -> Result<ArrayD<f32>, ProtocolError> {
    let inner = inner_keys(1);
    ask(&trained.server, forward(trained, key, &inner, InputForm::Clear), x, links).await
}

/// What the client predicts with.
fn forward<'a>(trained: &'a Trained, key: &'a LayerKey, inner: &'a [ProductKey], input: InputForm) -> predict::Forward<'a> {
    predict::Forward {
        tail: &trained.client.tail,
        key,
        inner,
        session: [3; 16],
        factor: trained.client.factor,
        input,
    }
}

/// A prediction by both parties; an error of one reaches the other.
async fn ask(
    held: &HeldLayers,
    me: predict::Forward<'_>,
    x: &ArrayD<f32>,
    [a, b]: &mut [MemoryLink; 2],
) -> Result<ArrayD<f32>, ProtocolError> {
    let (encryption, batch) = (me.key.encryption(), schedule().evaluation_batch);
    let inner = if me.inner.is_empty() { Vec::new() } else { inner() };
    let (mut quiet, mut still) = (ignore, ignore);
    let asking = async {
        let outputs = predict::client(me, queries(x), a, &mut quiet).await;
        if let Err(error) = &outputs {
            a.abort(error.abort_reason()).await;
        }
        outputs
    };
    let answering = async {
        let answered = predict::server(encryption, &inner, held, batch, b, &mut still).await;
        if let Err(error) = &answered {
            b.abort(error.abort_reason()).await;
        }
        answered
    };
    let (outputs, answered) = tokio::join!(asking, answering);
    answered.and(outputs)
}

#[tokio::test]
async fn predictions_on_the_test_rows_are_what_evaluation_computed() {
    let (data, test) = (rounded(22), rounded(19));
    let trained = train(roles(PRECISION), &data, &test).await;
    let mut links = links();
    let outputs = predict(&trained, &key(1), &test.x, &mut links).await.unwrap();
    let again = Evaluation::new(Loss::CrossEntropy, &outputs, &test.targets).unwrap();
    // The inner layer's randomness is another than in training.
    let evaluation = trained.evaluation.as_ref().unwrap();
    assert!((evaluation.loss - again.loss).abs() < 1e-4);
    let (encryption, inner) = (encryption(), inner());
    let cost = declared_prediction(19, |rows| cost::prediction_batch(&encryption, &inner, rows));
    assert_eq!(counted(&links), cost + cost::prediction_keys(&encryption, &inner));
}

#[tokio::test]
async fn another_key_is_refused_by_name() {
    let test = rounded(3);
    let trained = train(roles(PRECISION), &rounded(8), &test).await;
    let error = predict(&trained, &key(2), &test.x, &mut links())
        .await
        .unwrap_err()
        .to_string();
    let (held, got) = (key(1).fingerprint().to_string(), key(2).fingerprint().to_string());
    assert!(
        error.contains("hospital") && error.contains(&held) && error.contains(&got),
        "{error}"
    );
}

/// In stride layout, which has every message.
fn packed_roles<'h>(precision: f64) -> (Client, Server<'h>) {
    let (mut me, mut other) = roles(precision);
    me.key = LayerKey::new(packed(), &[1; 32]);
    other.encryption = packed();
    (me, other)
}

/// The frames of an honest run, by sender.
async fn honest_frames(data: &Examples, test: &Examples, precision: f64) -> [Vec<Frame>; 2] {
    let (me, other) = packed_roles(precision);
    let run = async |[mut a, mut b]: [_; 2]| {
        let (mut quiet, mut still) = (ignore, ignore);
        let (x, y) = tokio::join!(
            client(me, task(data, test), &mut a, &mut quiet),
            server(other, schedule(), &mut b, &mut still)
        );
        x.map(drop).and(y.map(drop)).unwrap();
    };
    relayed(run).await.1
}

fn tampered_payload(frame: &[u8]) -> Vec<Tampered> {
    use cloven_wire::Header;
    let unreduced = |at| ("coefficient not below q", with(frame, Header::LEN + at, &[0xff; 32]));
    match header(frame).kind {
        Start::KIND | Begin::KIND | Settled::KIND | AllSettled::KIND => tampered_counts(frame),
        Ask::KIND => tampered_ask(frame),
        InputForm::KIND => vec![("another form", with(frame, Header::LEN, &[2])), all_ones(frame)],
        EncryptedWeights::KIND => [another_degree(frame), vec![unreduced(32), all_ones(frame)]].concat(),
        EncryptedStep::KIND => [
            another_degree(frame),
            vec![unreduced(33), ("another flag", with(frame, Header::LEN, &[2]))],
        ]
        .concat(),
        HeldWeights::KIND => [another_degree(frame), vec![unreduced(8), all_ones(frame)]].concat(),
        // Any integers are samples, any bytes a fingerprint, any bits an answer to something: their length is checked.
        Key::KIND | Samples::KIND | EncryptedOutput::KIND => another_degree(frame),
        MergeKeys::KIND | Relinearisation::KIND | EncryptedRows::KIND | EncryptedDelta::KIND => {
            [another_degree(frame), vec![unreduced(32)]].concat()
        }
        EncryptedInputGradient::KIND | EncryptedGradient::KIND => another_degree(frame),
        _ => Vec::new(),
    }
}

/// Dense layers have no relinearisation key; the tests of encrypted samples tamper with it.
fn without_relinearisation(messages: &[(&'static str, u8)]) -> Vec<(&'static str, u8)> {
    let others = messages.iter().filter(|(name, _)| *name != Relinearisation::NAME);
    others.copied().collect()
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let (data, test) = (rounded(8), rounded(3));
    let squares = data
        .x
        .outer_iter()
        .map(|row| row.iter().map(|x| f64::from(x * x)).sum::<f64>());
    let most = squares.fold(0.0, f64::max);
    // So that every batch ends with a refresh.
    let precision = packed().error_bound(most.sqrt(), 4.1 * most);
    let against = async |sender, frames: &[Frame]| {
        let mut link = scripted(sender, frames);
        let (me, other) = packed_roles(precision);
        match sender {
            0 => server(other, schedule(), &mut link, &mut ignore).await.map(drop),
            _ => client(me, task(&data, &test), &mut link, &mut ignore).await.map(drop),
        }
    };
    let frames = honest_frames(&data, &test, precision).await;
    every_tampering_is_refused(&without_relinearisation(&MESSAGES), &frames, tampered_payload, against).await;
}

#[tokio::test]
async fn every_message_of_a_prediction_tampered_with_is_refused_by_name() {
    let (data, x) = (rounded(8), rounded(11).x);
    let trained = train(packed_roles(PRECISION), &data, &rounded(3)).await;
    let (_, frames) = relayed(async |mut links: [_; 2]| {
        predict(&trained, &LayerKey::new(packed(), &[1; 32]), &x, &mut links)
            .await
            .unwrap()
    })
    .await;
    let against = async |sender, frames: &[Frame]| {
        let mut link = scripted(sender, frames);
        let (key, inner_keys) = (LayerKey::new(packed(), &[1; 32]), inner_keys(1));
        let me = forward(&trained, &key, &inner_keys, InputForm::Clear);
        match sender {
            0 => {
                predict::server(
                    &packed(),
                    &inner(),
                    &trained.server,
                    schedule().evaluation_batch,
                    &mut link,
                    &mut ignore,
                )
                .await
            }
            _ => predict::client(me, queries(&x), &mut link, &mut ignore).await.map(drop),
        }
    };
    every_tampering_is_refused(
        &without_relinearisation(&predict::MESSAGES),
        &frames,
        tampered_payload,
        against,
    )
    .await;
}

/// Bytes of a batch of the published network: 784-128 with bias, 60 rows.
#[test]
fn bytes_of_a_batch_of_the_published_network() {
    let encryption = LayerEncryption::new([784, 128], true, INPUT_BITS).unwrap();
    let batch = cost::training_batch(&encryption, &[], 60);
    // 10,000 rows.
    let epoch = (batch.client_bytes + batch.server_bytes) as f64 * 10_000.0 / 60.0;
    assert!(epoch < 250e6, "{epoch:e}");
    assert!((encryption.output_bound() - 64.0).abs() < 1e-6);
}
