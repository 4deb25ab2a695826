//! Predictions on rows that the server does not see.

use std::collections::BTreeSet;

use cloven_wire::Direction;
use predict::hidden;

use super::*;

/// The messages that a server of hidden rows receives: two numbers, and ciphertexts.
const RECEIVED: [&str; 5] = [
    Ask::NAME,
    Key::NAME,
    InputForm::NAME,
    EncryptedWeights::NAME,
    EncryptedRows::NAME,
];

async fn ask_hidden(trained: &Trained, key: &LayerKey, x: &ArrayD<f32>, links: &mut [MemoryLink; 2]) -> ArrayD<f32> {
    let inner = inner_keys(1);
    let me = forward(trained, key, &inner, InputForm::Encrypted);
    ask(&trained.server, me, x, links).await.unwrap()
}

/// In both layouts, with rows that need rounding: the outputs are off by no more than the noise of the product that is added.
#[tokio::test]
async fn predictions_on_hidden_rows_are_those_on_rows_in_the_clear() {
    let (data, test, x) = (rounded(22), rounded(4), examples(19).x);
    for (roles, encryption) in [(roles(PRECISION), encryption()), (packed_roles(PRECISION), packed())] {
        let (trained, key) = (train(roles, &data, &test).await, LayerKey::new(encryption.clone(), &[1; 32]));
        let clear = predict(&trained, &key, &x, &mut links()).await.unwrap();
        let mut links = links();
        let outputs = ask_hidden(&trained, &key, &x, &mut links).await;
        let apart = distance(&[outputs], &[clear]);
        assert!(apart > 0.0 && apart < PRECISION as f32, "{apart:e}");
        let batch = schedule().evaluation_batch;
        let cost = declared_prediction(19, |rows| {
            cost::hidden_prediction_batch(&encryption, &inner(), [batch, rows]).unwrap()
        });
        assert_eq!(
            counted(&links),
            cost + cost::hidden_prediction_set_up(&encryption, &inner(), batch).unwrap()
        );
    }
}

/// A layer alone, with and without bias, against exact arithmetic; the formula of the noise against measurement.
#[tokio::test]
async fn one_layer_alone_gives_exact_outputs_but_for_the_formulas_noise() {
    let (x, rows) = (rounded(40).x, 40);
    for bias in [true, false] {
        let encryption = LayerEncryption::new([128, 12], bias, INPUT_BITS).unwrap();
        let key = LayerKey::new(encryption.clone(), &[1; 32]);
        let matrix: Vec<f32> = (0..(128 + usize::from(bias)) * 12).map(|i| (i as f32).sin() / 11.0).collect();
        let mut weights = cloven_lattice::linear::EncryptedWeights::empty();
        for blocks in encryption.weight_parts() {
            let fresh = key.encrypt_weights(&matrix, blocks, 0).unwrap();
            encryption.receive(&mut weights, &fresh).unwrap();
        }
        let layers = HeldLayers {
            key: key.fingerprint(),
            weights: vec![encryption.hold_all(&weights).unwrap()],
        };
        let nothing = network(SERVER.end..SERVER.end);
        let me = predict::Forward {
            tail: &nothing,
            key: &key,
            inner: &[],
            session: [7; 16],
            factor: 0.5,
            input: InputForm::Encrypted,
        };
        let outputs = ask(&layers, me, &x, &mut links()).await.unwrap();
        assert_eq!(outputs.shape(), [rows, 12]);
        let (mut squares, mut most) = (0.0, 0.0f64);
        for (at, y) in outputs.indexed_iter() {
            let row = (0..128).map(|c| f64::from(x[[at[0], 0, c]])).chain(bias.then_some(1.0));
            let column = (0..).map(|c| f64::from(matrix[c * 12 + at[1]]) * me.factor);
            let error = f64::from(*y) - row.zip(column).map(|(x, w)| x * w).sum::<f64>();
            squares += error * error;
            most = most.max(error.abs());
        }
        let norm = |squares: f64| squares.sqrt();
        let row = norm(x.iter().map(|x| f64::from(x * x)).sum::<f64>() / rows as f64);
        let of_weights = norm(matrix.iter().take(128 * 12).map(|w| f64::from(w * w)).sum::<f64>()) * me.factor;
        let formula = key
            .for_hidden_rows(schedule().evaluation_batch)
            .unwrap()
            .encryption()
            .output_deviation(row, of_weights);
        // The decrypted W has the noise of one encryption, and f32 rounds.
        let measured = norm(squares / (rows * 12) as f64);
        assert!(
            measured < formula * 1.5 && measured > formula / 4.0,
            "{measured:e}, {formula:e}"
        );
        assert!(most < formula * 6.0, "{most:e}, {formula:e}");
    }
}

/// The recorded view of the server: nothing but ciphertexts after the first three messages, of the same form for other rows, and none of them twice, in
/// another prediction of the same rows neither.
#[tokio::test]
async fn the_server_of_hidden_rows_sees_their_number_only() {
    let trained = train(roles(PRECISION), &rounded(8), &rounded(3)).await;
    let (key, inner) = (key(1), inner_keys(1));
    let (mut forms, mut seen, mut total) = (Vec::new(), BTreeSet::new(), 0);
    for (shift, session) in [(0.0, 3), (0.0, 4), (0.5, 5)] {
        let (x, mut links) = (rounded(11).x + shift, links());
        let mut me = forward(&trained, &key, &inner, InputForm::Encrypted);
        me.session = [session; 16];
        ask(&trained.server, me, &x, &mut links).await.unwrap();
        let received = links[1].transcript().unwrap().iter();
        let received: Vec<_> = received.filter(|e| e.direction == Direction::Received).collect();
        assert_eq!(
            received.iter().map(|e| e.what).collect::<BTreeSet<_>>(),
            BTreeSet::from(RECEIVED)
        );
        let fresh = received
            .iter()
            .filter(|e| [EncryptedWeights::NAME, EncryptedRows::NAME].contains(&e.what));
        for entry in fresh {
            seen.insert(entry.digest);
            total += 1;
        }
        forms.push(received.iter().map(|e| (e.what, e.round, e.len)).collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), total);
    assert!(forms[0] == forms[1] && forms[0] == forms[2]);
}

/// No mask is shared between sessions, nor with the layers that are trained as products.
#[test]
fn no_mask_serves_two_predictions_or_layers() {
    use super::super::product::{Form, Purpose};
    // An operand begins with the seed of its masks.
    let seeds =
        |bytes: &[u8], len: usize| -> BTreeSet<Vec<u8>> { [0, len].map(|at| bytes[at % bytes.len()..][..32].to_vec()).into() };
    let hidden = key(1).for_hidden_rows(8).unwrap();
    let Form::Shared(products) = hidden.encryption().form() else {
        panic!("the layer is dense");
    };
    // W for x W, then for delta W^T.
    let forward = products.products()[0].right_len();
    let weight = ArrayD::zeros(vec![12, 128]);
    let weights = |key: &ProductKey, purpose| seeds(&key.encrypt_weights(&weight, purpose).unwrap().0, forward);
    let of = |session| Purpose::QueriedWeights { session: [session; 16] };
    let trained = ProductKey::of_layer(hidden.encryption().clone(), &[1; 32], 0);
    assert_eq!(trained.fingerprint(), hidden.fingerprint());
    let all = [
        weights(&hidden, of(1)),
        weights(&hidden, of(2)),
        weights(&trained, of(1)),
        weights(&trained, Purpose::Weights(0)),
    ];
    let rows = |key: &ProductKey, session| {
        let purpose = |row| Purpose::Query {
            session: [session; 16],
            row: row as u64,
        };
        seeds(&key.encrypt_rows(&ArrayD::zeros(vec![8, 128]), purpose).unwrap().0, 0)
    };
    let all = all.into_iter().chain([rows(&hidden, 1), rows(&hidden, 2), rows(&trained, 1)]);
    let (union, total) = all.fold((BTreeSet::new(), 0), |(mut union, total), mut seeds| {
        let total = total + seeds.len();
        union.append(&mut seeds);
        (union, total)
    });
    assert_eq!(union.len(), total);
}

#[tokio::test]
async fn every_message_of_a_hidden_prediction_tampered_with_is_refused_by_name() {
    let x = rounded(11).x;
    let (mut me, mut other) = packed_roles(PRECISION);
    // One layer: its rows of one batch, sent again as those of another layer in the same batch, would be nothing else than what it may send.
    (me.tail, me.inner, other.inner) = (network(SERVER.end..LAYERS), Vec::new(), Vec::new());
    let trained = train((me, other), &rounded(8), &rounded(3)).await;
    let key = LayerKey::new(packed(), &[1; 32]);
    let me = forward(&trained, &key, &[], InputForm::Encrypted);
    let (_, frames) = relayed(async |mut links: [_; 2]| ask(&trained.server, me, &x, &mut links).await.unwrap()).await;
    let against = async |sender, frames: &[Frame]| {
        let (mut link, batch) = (scripted(sender, frames), schedule().evaluation_batch);
        match sender {
            0 => predict::server(&packed(), &[], &trained.server, batch, &mut link, &mut ignore).await,
            _ => predict::client(me, queries(&x), &mut link, &mut ignore).await.map(drop),
        }
    };
    every_tampering_is_refused(
        &without_relinearisation(&hidden::MESSAGES),
        &frames,
        tampered_payload,
        against,
    )
    .await;
}

/// Another key's weights would be noise: refused before any ciphertext is sent.
#[tokio::test]
async fn another_key_is_refused_before_the_weights_are_handed_over() {
    let (trained, x) = (train(roles(PRECISION), &rounded(8), &rounded(3)).await, rounded(3).x);
    let (other, inner, mut links) = (key(2), inner_keys(2), links());
    let me = forward(&trained, &other, &inner, InputForm::Encrypted);
    let error = ask(&trained.server, me, &x, &mut links).await.unwrap_err().to_string();
    assert!(error.contains(&key(1).fingerprint().to_string()), "{error}");
    assert_eq!(sent(&links[1], HeldWeights::NAME), 0);
}
