//! Against plain training, for any optimiser; uploads that go on; declared cost against counters; what the server sees; keys, predictions, tampering.

use std::{
    cell::RefCell,
    slice::{from_mut, from_ref},
};

use cloven_lattice::linear::RowSource;
use cloven_nn::{BatchTargets, Evaluation, InputGradient, LayerSpec, Loss, ModelSpec, Network, OptimiserSpec};
use cloven_wire::{Direction, Message};
use ndarray::ArrayD;

use super::*;
use crate::{
    AllSettled, Ask, Begin, CheckpointError, Examples, ProtocolError, Settled, Start,
    encrypted_model::{
        EncryptedOutput, EncryptedWeights, HeldLayers, HeldWeights, Key, ProductEncryption, ProductKey, ProductLayer,
    },
    helpers::testing::InMemory,
    plain,
    testing::*,
};

/// The server's layers: flatten, dense, relu, dense.
const SERVER: std::ops::Range<usize> = 0..4;
const LAYERS: usize = 6;

/// Rows in memory, as a file outlives a process.
pub(crate) struct MemoryRows {
    row_len: usize,
    held: RefCell<Option<(Upload, Vec<u8>)>>,
}

impl Default for MemoryRows {
    fn default() -> Self {
        Self::of(encryption().row_len())
    }
}

impl MemoryRows {
    fn of(row_len: usize) -> Self {
        let held = RefCell::default();
        Self { row_len, held }
    }

    pub(crate) fn clear(&self) {
        self.held.take();
    }
}

impl RowStore for MemoryRows {
    fn held(&self) -> Option<(Upload, u64)> {
        let held = self.held.borrow();
        held.as_ref()
            .map(|(upload, bytes)| (*upload, (bytes.len() / self.row_len) as u64))
    }

    fn begin(&self, upload: Upload) -> Result<(), CheckpointError> {
        self.held.replace(Some((upload, Vec::new())));
        Ok(())
    }

    fn append(&self, rows: &[u8]) -> Result<(), CheckpointError> {
        self.held.borrow_mut().as_mut().unwrap().1.extend_from_slice(rows);
        Ok(())
    }

    fn flush(&self) -> Result<(), CheckpointError> {
        Ok(())
    }

    fn read(&self, row: usize, into: &mut Vec<u8>) -> Result<(), CheckpointError> {
        into.extend_from_slice(&self.held.borrow().as_ref().unwrap().1[row * self.row_len..][..self.row_len]);
        Ok(())
    }
}

fn model() -> ModelSpec {
    let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
    ModelSpec {
        input: vec![1, 128],
        layers: vec![
            LayerSpec::Flatten {},
            dense(12),
            LayerSpec::Relu {},
            // Of more than one block, so that its ciphertexts are longer than those of the first layer.
            dense(200),
            LayerSpec::Gelu {},
            dense(5),
        ],
    }
}

fn network(layers: std::ops::Range<usize>, optimiser: OptimiserSpec) -> Network {
    let network = Network::new(&model(), layers, SEED).unwrap();
    network.with_optimiser(optimiser).unwrap()
}

/// The client's.
fn whole(optimiser: &OptimiserSpec) -> Network {
    let network = network(0..LAYERS, optimiser.clone());
    network
        .with_products_outside(&model(), SERVER, InputGradient::NotWanted)
        .unwrap()
}

fn layers() -> Vec<ProductLayer> {
    let layers = model().linear_layers(SERVER, InputGradient::NotWanted).unwrap();
    ProductLayer::of(&layers, schedule().batch, true).unwrap()
}

fn keys(number: u8) -> Vec<ProductKey> {
    let layers = layers().into_iter().enumerate();
    layers
        .map(|(layer, each)| ProductKey::of_layer(each.encryption, &[number; 32], layer))
        .collect()
}

fn encryption() -> ProductEncryption {
    ProductEncryption::new([128, 12], schedule().batch, RowSource::Stored).unwrap()
}

pub(crate) fn key(number: u8) -> ProductKey {
    ProductKey::new(encryption(), &[number; 32])
}

pub(crate) fn roles<'a>(optimiser: &OptimiserSpec, rows: &'a dyn RowStore) -> (Client<'a>, Server<'a>) {
    let client = Client {
        network: whole(optimiser),
        keys: keys(1),
        helpers: None,
    };
    let server = Server {
        layers: layers(),
        shuffle: task(&examples(1), &examples(1)).shuffle,
        rows,
    };
    (client, server)
}

struct Trained {
    client: Network,
    server: HeldLayers,
    evaluation: Option<Evaluation>,
    links: [MemoryLink; 2],
}

fn values(network: &Network) -> Vec<ArrayD<f32>> {
    network.parameters().into_iter().map(|(_, value)| value).collect()
}

async fn train(optimiser: &OptimiserSpec, data: &Examples, test: &Examples) -> Trained {
    let (mut links, rows, mut evaluation) = (links(), MemoryRows::default(), None);
    let (me, other) = roles(optimiser, &rows);
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

/// All weights after plain training.
async fn train_plain(optimiser: &OptimiserSpec, data: &Examples, test: &Examples) -> Vec<ArrayD<f32>> {
    let [mut a, mut b] = links();
    let (mut quiet, mut still) = (ignore, ignore);
    let front = network(0..0, optimiser.clone());
    let tail = network(SERVER.end..LAYERS, optimiser.clone());
    let middle = vec![network(SERVER, optimiser.clone())];
    let (me, other) = tokio::join!(
        plain::client(plain::Client { front, tail }, task(data, test), &mut a, &mut quiet),
        plain::server(plain::Server { middle }, schedule(), from_mut(&mut b), &mut still)
    );
    [values(&other.unwrap().middle[0]), values(&me.unwrap().tail)].concat()
}

#[tokio::test]
async fn any_optimiser_learns_what_plain_training_does() {
    let (data, test) = (examples(22), examples(10));
    let momentum = OptimiserSpec::Sgd {
        learning_rate: 0.1,
        momentum: 0.9,
        weight_decay: 0.02,
        schedule: Default::default(),
    };
    for (optimiser, factor) in [(sgd(0.1), 500.0), (momentum, 500.0), (adam(0.01), 100.0)] {
        let theirs = train_plain(&optimiser, &data, &test).await;
        let trained = train(&optimiser, &data, &test).await;
        let initial = values(&network(0..LAYERS, optimiser.clone()));
        for ((ours, theirs), initial) in values(&trained.client).iter().zip(&theirs).zip(&initial) {
            let (apart, moved) = (
                mean_distance(from_ref(ours), from_ref(theirs)),
                mean_distance(from_ref(initial), from_ref(theirs)),
            );
            assert!(apart < moved / factor, "{apart:e} apart, moved by {moved:e}: {optimiser:?}");
        }
        assert_same_transcript(&trained.links);
    }
}

/// Convolutions, batch normalisation and residual blocks: the network of the published comparison, small.
#[tokio::test]
async fn residual_blocks_learn_what_plain_training_does() {
    let conv = |channels, kernel, stride, padding| LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        bias: false,
    };
    let norm = || LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    };
    let model = ModelSpec {
        input: vec![2, 8, 8],
        layers: vec![
            conv(4, 3, 1, 1),
            norm(),
            LayerSpec::Relu {},
            LayerSpec::Residual {
                body: vec![conv(6, 3, 2, 1), norm(), LayerSpec::Relu {}, conv(6, 3, 1, 1), norm()],
                shortcut: vec![conv(6, 1, 2, 0), norm()],
            },
            LayerSpec::Relu {},
            LayerSpec::GlobalAvgPool2d {},
            LayerSpec::Flatten {},
            LayerSpec::Dense { outputs: 5, bias: true },
        ],
    };
    let reshaped = |rows| {
        let mut all = examples(rows);
        all.x = all.x.into_shape_with_order(vec![rows, 2, 8, 8]).unwrap();
        all
    };
    let (data, test) = (reshaped(22), reshaped(6));
    let start = |range| {
        let network = Network::new(&model, range, SEED).unwrap();
        network.with_optimiser(sgd(0.1)).unwrap()
    };
    let listed = model.linear_layers(0..5, InputGradient::NotWanted).unwrap();
    let layers = ProductLayer::of(&listed, schedule().batch, true).unwrap();
    let keys = layers.iter().cloned().enumerate();
    let me = Client {
        network: start(0..8)
            .with_products_outside(&model, 0..5, InputGradient::NotWanted)
            .unwrap(),
        keys: keys
            .map(|(number, layer)| ProductKey::of_layer(layer.encryption, &[1; 32], number))
            .collect(),
        helpers: None,
    };
    let rows = MemoryRows::of(layers[0].encryption.row_len());
    let shuffle = task(&data, &test).shuffle;
    let other = Server {
        layers,
        shuffle,
        rows: &rows,
    };
    let ([mut a, mut b], [mut c, mut d]) = (links(), links());
    let (mut quiet, mut still) = (ignore, ignore);
    let (trained, held) = tokio::join!(
        client(me, task(&data, &test), &mut a, &mut quiet),
        server(other, schedule(), &mut b, &mut still)
    );
    assert_eq!(held.unwrap().weights.len(), 4);
    let (front, tail, middle) = (start(0..0), start(5..8), vec![start(0..5)]);
    let (plain, of_server) = tokio::join!(
        plain::client(plain::Client { front, tail }, task(&data, &test), &mut c, &mut quiet),
        plain::server(plain::Server { middle }, schedule(), from_mut(&mut d), &mut still)
    );
    let theirs = [values(&of_server.unwrap().middle[0]), values(&plain.unwrap().tail)].concat();
    let (ours, initial) = (values(&trained.unwrap()), values(&start(0..8)));
    // Noise before a normalisation and a kink grows; each product is compared with its definition in `cloven-lattice`.
    let (apart, moved) = (mean_distance(&ours, &theirs), mean_distance(&initial, &theirs));
    assert!(apart < moved / 20.0, "{apart:e} apart, moved by {moved:e}");
}

/// The mean of the differences: AdamW takes the sign of a gradient that is smaller than the noise from the noise.
fn mean_distance(a: &[ArrayD<f32>], b: &[ArrayD<f32>]) -> f32 {
    let sum: f32 = a.iter().zip(b).map(|(a, b)| (a - b).mapv(f32::abs).sum()).sum();
    sum / a.iter().map(|a| a.len() as f32).sum::<f32>()
}

/// Noise is not taken for a gradient where there is none.
#[test]
fn a_weight_without_gradient_stays() {
    let (key, mut x) = (key(1), rows_of_ones());
    x.index_axis_mut(ndarray::Axis(1), 5).fill(0.0);
    let mut dy: ArrayD<f32> = ArrayD::ones(ndarray::IxDyn(&[4, 12]));
    dy.index_axis_mut(ndarray::Axis(1), 7).fill(0.0);
    let gradient = key.gradient(vec![1e-6; 128 * 12], [&x, &dy], 0).unwrap();
    for ((j, c), change) in gradient.into_dimensionality::<ndarray::Ix2>().unwrap().indexed_iter() {
        assert_eq!(*change == 0.0, c == 5 || j == 7, "{c} {j}: {change}");
    }
}

/// Gradients a million times smaller are read as exactly.
#[test]
fn small_gradients_keep_their_precision() {
    let (key, x) = (key(1), examples(4).x);
    let relinearisation = key.relinearisation_key().unwrap().unwrap();
    let product = key.encryption().relinearised().unwrap();
    let relinearisation = product.receive_relinearisation_key(&relinearisation).unwrap();
    let (rows, _) = key
        .encrypt_rows(&x, |row| super::super::product::Purpose::Row(row as u64))
        .unwrap();
    let groups: Vec<&[u8]> = rows.chunks(key.encryption().row_len()).collect();
    for size in [1e3f32, 1.0, 1e-6, 1e-20] {
        let dy = ArrayD::from_shape_fn(ndarray::IxDyn(&[4, 12]), |at| {
            size * ((at[0] * 12 + at[1]) as f32 / 24.0 - 1.0)
        });
        let ((delta, _), lift) = key.encrypt_delta([&x, &dy], None, 1).unwrap();
        let delta = product.receive_delta(&delta, 4).unwrap();
        let answer = product.gradient(&groups, &delta, &relinearisation).unwrap();
        let dw = key.decrypt_gradient(&answer, None, [&x, &dy], lift).unwrap();
        let mut most = 0.0f64;
        for ((j, c), dw) in dw.into_dimensionality::<ndarray::Ix2>().unwrap().indexed_iter() {
            let exact: f64 = (0..4).map(|i| f64::from(x[[i, 0, c]]) * f64::from(dy[[i, j]])).sum();
            most = most.max((f64::from(*dw) - exact).abs());
        }
        assert!(most < 1e-4 * f64::from(size), "{most:e} of {size:e}");
    }
    let zero = ArrayD::zeros(ndarray::IxDyn(&[4, 12]));
    assert_eq!(key.encrypt_delta([&x, &zero], None, 1).unwrap().1, 0);
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let trained = train(&sgd(0.1), &examples(22), &examples(10)).await;
    let layers = layers();
    let batches = declared(
        [22, 10],
        |rows| cost::training_batch(&layers, rows, true),
        |rows| cost::evaluation_batch(&layers, rows, true),
    );
    assert_eq!(counted(&trained.links), batches + cost::set_up(&layers, [22, 10]));
}

/// All that the server receives has the same form whatever the samples and labels, and no ciphertext repeats.
#[tokio::test]
async fn the_servers_view_has_the_same_form_for_other_data() {
    let mut forms = Vec::new();
    for shift in [0, 1] {
        let (mut data, mut test) = (examples(12), examples(3));
        // Equal rows are no exception.
        data.x.mapv_inplace(|x| if shift == 0 { x } else { 0.5 });
        test.x.mapv_inplace(|x| x * (1 + shift) as f32);
        if let BatchTargets::Classes(labels) = &mut data.targets {
            labels.iter_mut().for_each(|label| *label = (*label + shift) % 5);
        }
        let Trained { links: [_, b], .. } = train(&adam(0.0), &data, &test).await;
        let received = b.transcript().unwrap().iter();
        let received: Vec<_> = received.filter(|e| e.direction == Direction::Received).collect();
        let ours = [EncryptedRows::NAME, EncryptedWeights::NAME, EncryptedDelta::NAME];
        let ciphertexts: Vec<_> = received.iter().filter(|e| ours.contains(&e.what)).collect();
        let mut digests: Vec<_> = ciphertexts.iter().map(|e| e.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), ciphertexts.len());
        forms.push(received.iter().map(|e| (e.what, e.round, e.len)).collect::<Vec<_>>());
    }
    assert_eq!(forms[0], forms[1]);
}

fn rows_of_ones() -> ArrayD<f32> {
    ArrayD::ones(ndarray::IxDyn(&[4, 128]))
}

/// What is computed again after a crash: the same numbers give the same bytes; with one changed, no mask is used a second time. No two purposes or
/// places share a mask either, though their numbers are the same.
#[test]
fn a_repeated_step_with_one_number_changed_uses_no_mask_twice() {
    use super::super::product::Purpose;
    let seeds = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let block = encryption().row_len() / encryption().relinearised().unwrap().layout().unwrap().input_blocks();
        bytes.chunks(block).map(|block| block[..32].to_vec()).collect()
    };
    let (key, x) = (key(1), ArrayD::zeros(ndarray::IxDyn(&[4, 12])));
    let mut other = x.clone();
    other[[3, 11]] += 1e-3;
    let delta = |dy: &ArrayD<f32>, round| {
        // The greatest stays, so the scale does.
        let mut dy = dy.clone();
        dy[[0, 0]] = 1.0;
        seeds(&key.encrypt_delta([&rows_of_ones(), &dy], None, round).unwrap().0.0)
    };
    assert_eq!(delta(&x, 7), delta(&x, 7));
    let shared = |a: &[Vec<u8>], b: &[Vec<u8>]| a.iter().filter(|seed| b.contains(seed)).count();
    assert_eq!(shared(&delta(&x, 7), &delta(&other, 7)), 3);
    assert_eq!(shared(&delta(&x, 7), &delta(&x, 8)), 0);

    let rows = |changed: f32, first: u64| {
        let mut x = ArrayD::zeros(ndarray::IxDyn(&[2, 128]));
        x[[1, 127]] = changed;
        let rows = key.encrypt_rows(&x, |row| Purpose::Row(first + row as u64));
        seeds(&rows.unwrap().0)
    };
    assert_eq!(rows(0.0, 0), rows(0.0, 0));
    // The last block of the second row.
    let blocks = rows(0.0, 0).len();
    assert_eq!(shared(&rows(0.0, 0), &rows(1.0, 0)), blocks - 1);
    assert_eq!(shared(&rows(0.0, 0), &rows(0.0, 2)), 0);
    let query = |session| {
        seeds(
            &key.encrypt_rows(&ArrayD::zeros(ndarray::IxDyn(&[1, 128])), |_| Purpose::Query {
                session: [session; 16],
                row: 0,
            })
            .unwrap()
            .0,
        )
    };
    assert_eq!(shared(&query(0), &query(1)), 0);
    assert_eq!(shared(&query(0), &rows(0.0, 0)), 0);

    let weight = whole(&sgd(0.1)).outside_weight(0);
    let weights = |key: &ProductKey, updates| seeds(&key.encrypt_weights(&weight, Purpose::Weights(updates)).unwrap().0);
    assert_eq!(weights(&key, 0), weights(&key, 0));
    // An update that changes nothing, and another layer of the same form.
    assert_eq!(shared(&weights(&key, 0), &weights(&key, 1)), 0);
    let other = ProductKey::of_layer(encryption(), &[1; 32], 1);
    assert_eq!(shared(&weights(&key, 0), &weights(&other, 0)), 0);
}

/// The server says how many rows it has, and receives only the others.
#[tokio::test]
async fn a_broken_upload_goes_on_and_other_rows_are_refused() {
    let (data, test) = (examples(8), examples(5));
    let store = MemoryRows::default();
    let expected = {
        let Trained { server, .. } = train(&sgd(0.1), &data, &test).await;
        server.weights
    };
    // A store with 10 of the 13 rows.
    let (_, [frames, _]) = relayed(async |[mut a, mut b]: [_; 2]| {
        let (me, other) = roles(&sgd(0.1), &store);
        let (mut quiet, mut still) = (ignore, ignore);
        let (a, b) = tokio::join!(
            client(me, task(&data, &test), &mut a, &mut quiet),
            server(other, schedule(), &mut b, &mut still)
        );
        a.map(drop).and(b.map(drop)).unwrap();
    })
    .await;
    let rows_sent = |frames: &[Frame]| -> usize {
        let rows = frames
            .iter()
            .filter(|frame| header(frame).kind == EncryptedRows::KIND && header(frame).round == 0);
        rows.map(|frame| (frame.len() - cloven_wire::Header::LEN) / encryption().row_len())
            .sum()
    };
    assert_eq!(rows_sent(&frames), 13);
    store
        .held
        .borrow_mut()
        .as_mut()
        .unwrap()
        .1
        .truncate(10 * encryption().row_len());

    let again = async |data: &Examples, number: u8| {
        let mut links = links();
        let (mut me, other) = roles(&sgd(0.1), &store);
        me.keys = keys(number);
        let [a, b] = &mut links;
        let (mut quiet, mut still) = (ignore, ignore);
        let asking = async {
            let result = client(me, task(data, &test), a, &mut quiet).await.map(drop);
            if let Err(error) = &result {
                a.abort(error.abort_reason()).await;
            }
        };
        let answering = async {
            let result = server(other, schedule(), b, &mut still).await;
            if let Err(error) = &result {
                b.abort(error.abort_reason()).await;
            }
            result
        };
        let ((), result) = tokio::join!(asking, answering);
        let sent = links[0].transcript().unwrap().iter();
        let uploads = sent.filter(|e| e.what == EncryptedRows::NAME && e.round == 0 && e.direction == Direction::Sent);
        let rows: usize = uploads.map(|e| e.len).sum();
        (result, rows)
    };
    let mut others = data.clone();
    others.x[[7, 0, 100]] += 0.5;
    for (data, number, field) in [(&others, 1, "samples"), (&data, 2, "encryption key")] {
        let error = again(data, number).await.0.err().unwrap().to_string();
        assert!(error.contains(field) && error.contains("hospital"), "{error}");
    }
    let (result, bytes) = again(&data, 1).await;
    assert!(result.unwrap().weights == expected);
    assert_eq!(bytes / encryption().row_len(), 3);
}

async fn predict(
    trained: &Trained,
    keys: &[ProductKey],
    x: &ArrayD<f32>,
    [a, b]: &mut [MemoryLink; 2],
) -> Result<ArrayD<f32>, ProtocolError> {
    let (layers, batch) = (layers(), schedule().evaluation_batch);
    let me = forward(trained, keys);
    let (mut quiet, mut still) = (ignore, ignore);
    let asking = async {
        let outputs = predict::client(me, queries(x), a, &mut quiet).await;
        if let Err(error) = &outputs {
            a.abort(error.abort_reason()).await;
        }
        outputs
    };
    let answering = async {
        let answered = predict::server(&layers, &trained.server, batch, b, &mut still).await;
        if let Err(error) = &answered {
            b.abort(error.abort_reason()).await;
        }
        answered
    };
    let (outputs, answered) = tokio::join!(asking, answering);
    answered.and(outputs)
}

fn forward<'a>(trained: &'a Trained, keys: &'a [ProductKey]) -> predict::Forward<'a> {
    predict::Forward {
        network: &trained.client,
        keys,
        session: [3; 16],
    }
}

#[tokio::test]
async fn predictions_on_the_test_rows_are_what_evaluation_computed() {
    let (data, test) = (examples(22), examples(19));
    let trained = train(&adam(0.0), &data, &test).await;
    let mut links = links();
    let outputs = predict(&trained, &keys(1), &test.x, &mut links).await.unwrap();
    let exact = unsplit_outputs(&[&trained.client], &test.x);
    assert!(distance(std::slice::from_ref(&outputs), &[exact]) < 1e-3);
    let again = Evaluation::new(Loss::CrossEntropy, &outputs, &test.targets).unwrap();
    // Other randomness than in training.
    let evaluation = trained.evaluation.as_ref().unwrap();
    assert!((evaluation.loss - again.loss).abs() < 1e-4);
    let layers = layers();
    let cost = declared_prediction(19, |rows| cost::evaluation_batch(&layers, rows, false));
    assert_eq!(counted(&links), cost + cost::prediction_keys(&layers));

    let error = predict(&trained, &keys(2), &test.x, &mut crate::testing::links())
        .await
        .unwrap_err()
        .to_string();
    let (held, got) = (key(1).fingerprint().to_string(), key(2).fingerprint().to_string());
    assert!(error.contains(&held) && error.contains(&got), "{error}");
}

fn tampered_payload(frame: &[u8]) -> Vec<Tampered> {
    use cloven_wire::Header;
    let unreduced = |at| ("coefficient not below q", with(frame, Header::LEN + at, &[0xff; 32]));
    match header(frame).kind {
        Start::KIND | Begin::KIND | Settled::KIND | AllSettled::KIND => tampered_counts(frame),
        Ask::KIND => tampered_ask(frame),
        RowsHeld::KIND => vec![("more rows than there are", with(frame, Header::LEN, &[14])), all_ones(frame)],
        EncryptedRows::KIND | EncryptedWeights::KIND | HeldWeights::KIND | EncryptedDelta::KIND | Relinearisation::KIND => {
            [another_degree(frame), vec![unreduced(32), all_ones(frame)]].concat()
        }
        // Any bytes are fingerprints, any bits an answer to something: their length is checked.
        Key::KIND | Upload::KIND | EncryptedOutput::KIND | EncryptedGradient::KIND | EncryptedInputGradient::KIND => {
            another_degree(frame)
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let (data, test) = (examples(8), examples(3));
    let (_, frames) = relayed(async |[mut a, mut b]: [_; 2]| {
        let rows = MemoryRows::default();
        let (me, other) = roles(&sgd(0.1), &rows);
        let (mut quiet, mut still) = (ignore, ignore);
        let (x, y) = tokio::join!(
            client(me, task(&data, &test), &mut a, &mut quiet),
            server(other, schedule(), &mut b, &mut still)
        );
        x.map(drop).and(y.map(drop)).unwrap();
    })
    .await;
    let against = async |sender, frames: &[Frame]| {
        let (mut link, rows) = (scripted(sender, frames), MemoryRows::default());
        let (me, other) = roles(&sgd(0.1), &rows);
        match sender {
            0 => server(other, schedule(), &mut link, &mut ignore).await.map(drop),
            _ => client(me, task(&data, &test), &mut link, &mut ignore).await.map(drop),
        }
    };
    every_tampering_is_refused(&MESSAGES, &frames, tampered_payload, against).await;
}

#[tokio::test]
async fn every_message_of_a_prediction_tampered_with_is_refused_by_name() {
    let (data, x) = (examples(8), examples(11).x);
    let trained = train(&sgd(0.1), &data, &examples(3)).await;
    let (_, frames) = relayed(async |mut links: [_; 2]| predict(&trained, &keys(1), &x, &mut links).await.unwrap()).await;
    let against = async |sender, frames: &[Frame]| {
        let (mut link, keys, layers) = (scripted(sender, frames), keys(1), layers());
        let batch = schedule().evaluation_batch;
        match sender {
            0 => predict::server(&layers, &trained.server, batch, &mut link, &mut ignore).await,
            _ => {
                let me = forward(&trained, &keys);
                predict::client(me, queries(&x), &mut link, &mut ignore).await.map(drop)
            }
        }
    };
    every_tampering_is_refused(&predict::MESSAGES, &frames, tampered_payload, against).await;
}

/// Bytes of a stored row and of a batch of the published network: 784-128, 60 rows.
#[test]
fn bytes_of_the_published_network() {
    let encryption = ProductEncryption::new([784, 128], 60, RowSource::Stored).unwrap();
    let layer = ProductLayer {
        encryption: encryption.clone(),
        input_gradient: false,
    };
    let batch = cost::training_batch(&[layer], 60, true);
    assert!(encryption.row_len() < 640_000, "{}", encryption.row_len());
    let bytes = batch.client_bytes + batch.server_bytes;
    assert!(bytes < 4_000_000, "{bytes}");
}

/// So many that they are uploaded in several messages.
const ROWS: usize = 300;

/// The rows that a training uploads and what it leaves, with these helpers at the client.
async fn with_helpers(helpers: Option<&InMemory>) -> (Vec<u8>, HeldLayers, Vec<ArrayD<f32>>) {
    let (mut links, rows) = (links(), MemoryRows::default());
    let (mut me, other) = roles(&sgd(0.1), &rows);
    me.helpers = helpers.map(|helpers| (helpers as _, &[1; 32]));
    let (data, test) = (examples(ROWS), examples(10));
    let [a, b] = &mut links;
    let (mut quiet, mut still) = (ignore, ignore);
    let (client, server) = tokio::join!(
        client(me, task(&data, &test), a, &mut quiet),
        server(other, schedule(), b, &mut still)
    );
    let (_, uploaded) = rows.held.take().unwrap();
    (uploaded, server.unwrap(), values(&client.unwrap()))
}

#[tokio::test]
async fn helpers_encrypt_the_rows_as_the_client_does() {
    let (uploaded, held, weights) = with_helpers(None).await;
    let messages = encryption().row_parts(ROWS + 10).count();
    assert!(messages > 3, "{messages}");
    for helpers in [
        InMemory::new(1),
        InMemory::new(2),
        InMemory::losing(2, &[(0, 0), (1, 2), (0, 4)]),
    ] {
        let (also_uploaded, also_held, also) = with_helpers(Some(&helpers)).await;
        assert!(uploaded == also_uploaded && held.weights == also_held.weights);
        assert_eq!(weights, also);
        // Each is asked, and told the key first.
        assert!(helpers.asked().iter().all(|asked| asked[0] == 9), "{:?}", helpers.asked());
        let rows = helpers.asked().concat().iter().filter(|verb| **verb == 10).count();
        assert!(rows >= messages, "{rows}");
    }
}
