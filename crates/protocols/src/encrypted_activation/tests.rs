//! `sealed` against `plain`, real encryption against the ideal cipher, declared cost against counters, tampering, and what the server sees.

use std::slice::from_mut;

use cloven_nn::{Network, OptimiserSpec, preset};
use cloven_wire::{Header, Message};
use ndarray::ArrayD;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{AllSettled, Begin, Examples, ProtocolError, Settled, Start, plain, testing::*};

pub(super) const LAYER: usize = 7;

/// The client's layers before and after the server's, and the server's.
pub(super) fn parts(optimiser: OptimiserSpec) -> [Network; 3] {
    [0..LAYER, LAYER + 1..8, LAYER..LAYER + 1].map(|layers| network(layers, optimiser.clone()))
}

pub(super) fn roles<K, S>(
    (at_client, at_server): (K, S),
    reveal_after: usize,
    optimiser: OptimiserSpec,
) -> (Client<'static, K>, Server<S>) {
    let [front, tail, layer] = parts(optimiser.clone());
    let client = Client {
        front,
        unrevealed: network(LAYER..LAYER + 1, optimiser),
        tail,
        cipher: at_client,
        reveal_after,
        fellows: None,
    };
    (
        client,
        Server {
            layer,
            ciphers: vec![at_server],
            reveal_after,
        },
    )
}

pub(super) fn ideal() -> (IdealCipher, IdealCipher) {
    let cipher = || IdealCipher::new(&preset("m1").unwrap().model, LAYER).unwrap();
    (cipher(), cipher())
}

pub(super) fn sealing() -> Sealing {
    Sealing::new(4, 256, 5).unwrap()
}

pub(super) fn lattice() -> (LatticeCipher, ServerLattice) {
    let key = LatticeCipher::new(sealing(), &mut ChaCha20Rng::from_seed([9; 32]));
    (key, ServerLattice::new(sealing()))
}

/// All weights after training: the front's, then the layer's (W = U + V).
pub(super) struct Trained {
    pub front: Vec<(String, ArrayD<f32>)>,
    pub layer: Vec<ArrayD<f32>>,
    pub links: [MemoryLink; 2],
}

pub(super) fn values(layer: &Network) -> Vec<ArrayD<f32>> {
    layer.parameters().into_iter().map(|(_, value)| value).collect()
}

async fn train<K: ClientCipher, S: ServerCipher>(
    (me, other): (Client<'_, K>, Server<S>),
    data: &Examples,
    test: &Examples,
) -> Trained {
    let mut links = links();
    let (mut quiet, mut still) = (ignore, ignore);
    let [a, b] = &mut links;
    let (me, other) = tokio::join!(
        client(me, task(data, test), a, &mut quiet),
        server(other, schedule(), from_mut(b), &mut still)
    );
    let (me, other) = (me.unwrap(), other.unwrap());
    let (u, v) = (values(&other.layer), values(&me.unrevealed));
    Trained {
        front: me.front.parameters(),
        layer: u.into_iter().zip(&v).map(|(u, v)| u + v).collect(),
        links,
    }
}

pub(super) async fn train_plain(data: &Examples, test: &Examples, optimiser: OptimiserSpec) -> Trained {
    let mut links = links();
    let [front, tail, middle] = parts(optimiser);
    let (mut quiet, mut still) = (ignore, ignore);
    let [a, b] = &mut links;
    let (me, other) = tokio::join!(
        plain::client(plain::Client { front, tail }, task(data, test), a, &mut quiet),
        plain::server(plain::Server { middle: vec![middle] }, schedule(), from_mut(b), &mut still)
    );
    Trained {
        front: me.unwrap().front.parameters(),
        layer: values(&other.unwrap().middle[0]),
        links,
    }
}

/// With one batch an epoch V moves into U after every step, and every sum is made of the same numbers in the same order as in `plain`.
#[tokio::test]
async fn with_an_ideal_cipher_the_weights_are_those_of_plain() {
    let (data, test) = (examples(4), examples(3));
    let sealed = train(roles(ideal(), 1, adam(0.0)), &data, &test).await;
    let plain = train_plain(&data, &test, adam(0.0)).await;
    assert_eq!(sealed.front, plain.front);
    assert_eq!(sealed.layer, plain.layer);
}

/// With V held back, a W is summed as a U + a V: the same training but for the rounding of single-precision sums.
#[tokio::test]
async fn holding_v_back_changes_rounding_only() {
    let (data, test) = (examples(22), examples(3));
    let plain = train_plain(&data, &test, adam(0.0)).await;
    for reveal_after in [1, 30, 1_000_000] {
        let sealed = train(roles(ideal(), reveal_after, adam(0.0)), &data, &test).await;
        let distance = distance(&sealed.layer, &plain.layer);
        assert!(distance < 2e-5, "{reveal_after}: {distance:e}");
    }
}

/// With SGD an update is as far off as its gradient. Adam would turn the sign of a gradient near zero into a whole step.
#[tokio::test]
async fn real_encryption_trains_the_same_network() {
    let (data, test) = (examples(22), examples(10));
    let sealed = train(roles(lattice(), 30, sgd(0.1)), &data, &test).await;
    let plain = train_plain(&data, &test, sgd(0.1)).await;
    assert_close(&sealed.layer, &plain.layer, LAYER);
}

#[tokio::test]
async fn declared_cost_is_what_the_channel_counts() {
    let Trained { links, layer, .. } = train(roles(lattice(), 30, adam(0.0)), &examples(22), &examples(10)).await;
    let lengths = sealing();
    let shapes: Vec<Vec<usize>> = layer.iter().map(|w| w.shape().to_vec()).collect();
    let batches = declared(
        [22, 10],
        |rows| cost::training_batch(&lengths, rows),
        |rows| cost::evaluation_batch(&lengths, rows),
    );
    // 22 rows an epoch: 44 after the second.
    assert_eq!(counted(&links), batches + cost::reveal(&shapes));
    assert_same_transcript(&links);
}

/// What the server receives has the same form whatever the data, and no ciphertext repeats although batches do.
#[tokio::test]
async fn the_servers_view_has_the_same_form_for_other_data() {
    let test = examples(3);
    let mut forms = Vec::new();
    for scale in [0.0, 1.0] {
        let mut data = examples(12);
        data.x.mapv_inplace(|v| v * scale);
        let Trained { links: [_, b], .. } = train(roles(lattice(), 30, adam(0.0)), &data, &test).await;
        let received: Vec<_> = b
            .transcript()
            .unwrap()
            .iter()
            .filter(|e| e.direction == cloven_wire::Direction::Received)
            .cloned()
            .collect();
        let mut digests: Vec<_> = received.iter().map(|e| e.digest).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), received.len(), "every message differs, also of equal rows");
        forms.push(received.iter().map(|e| (e.what, e.round, e.len)).collect::<Vec<_>>());
    }
    assert_eq!(forms[0], forms[1]);
}

#[test]
fn which_epochs_end_with_a_reveal_is_known_beforehand() {
    for rows in [1, 100, 341, 342, 512, 1023, 1024, 1025, 5000] {
        let mut reveals = Reveals::default();
        for epoch in 1..=30 {
            let due = reveals.after_epoch(rows, REVEAL_AFTER);
            assert_eq!(reveals_after(epoch, rows), due, "{rows} rows, epoch {epoch}");
        }
    }
}

#[test]
fn v_is_never_revealed_for_fewer_samples() {
    let mut reveals = Reveals::default();
    let epochs: Vec<bool> = (0..6).map(|_| reveals.after_epoch(456, REVEAL_AFTER)).collect();
    assert_eq!(epochs, [false, false, true, false, false, true]);
}

/// The frames of an honest run, by sender.
async fn honest_frames(data: &Examples, test: &Examples) -> [Vec<Frame>; 2] {
    let (me, other) = roles(lattice(), 8, adam(0.0));
    let run = async |[mut a, mut b]: [_; 2]| {
        let (mut quiet, mut still) = (ignore, ignore);
        let (x, y) = tokio::join!(
            client(me, task(data, test), &mut a, &mut quiet),
            server(other, schedule(), from_mut(&mut b), &mut still)
        );
        x.map(|_| ()).and(y.map(|_| ())).unwrap();
    };
    relayed(run).await.1
}

/// Runs one party against a peer that sends `frames` and leaves.
async fn against(sender: usize, frames: &[Frame], data: &Examples, test: &Examples) -> Result<(), ProtocolError> {
    let mut link = scripted(sender, frames);
    let (me, other) = roles(lattice(), 8, adam(0.0));
    match sender {
        0 => server(other, schedule(), from_mut(&mut link), &mut ignore).await.map(|_| ()),
        _ => client(me, task(data, test), &mut link, &mut ignore).await.map(|_| ()),
    }
}

/// Uploads of another ring degree, and with residues of c0 that are not below q.
pub(super) fn tampered_upload(frame: &[u8]) -> Vec<Tampered> {
    let unreduced = ("coefficient not below q", with(frame, Header::LEN + 32, &[0xff; 32]));
    [another_degree(frame), vec![unreduced, all_ones(frame)]].concat()
}

#[tokio::test]
async fn every_message_tampered_with_is_refused_by_name() {
    let (data, test) = (examples(8), examples(3));
    let payload = |frame: &[u8]| match header(frame).kind {
        Start::KIND | Begin::KIND | Settled::KIND | AllSettled::KIND => tampered_counts(frame),
        SealedActivation::KIND | SealedGradient::KIND => tampered_upload(frame),
        // Its bits do not fill the last byte, and what is over must be zero.
        SealedOutput::KIND => [another_degree(frame), vec![all_ones(frame)]].concat(),
        // Every string of this length is the answer to something: its bits fill the last byte, and each is a number below 2^24.
        SealedInputGradient::KIND => another_degree(frame),
        Reveal::KIND => tampered_tensor(frame),
        _ => Vec::new(),
    };
    let against = async |sender, frames: &[Frame]| against(sender, frames, &data, &test).await;
    let masks = [MaskKey::KIND, MaskKeys::KIND, MaskedReveal::KIND];
    let of_one_client: Vec<_> = MESSAGES.into_iter().filter(|(_, kind)| !masks.contains(kind)).collect();
    assert_eq!(of_one_client.len() + masks.len(), MESSAGES.len());
    every_tampering_is_refused(&of_one_client, &honest_frames(&data, &test).await, payload, against).await;
}

/// The messages that several clients add.
#[tokio::test]
async fn every_message_of_several_clients_tampered_with_is_refused() {
    let key = crate::SignedKey {
        key: [5; 32],
        signature: vec![6; 70],
    };
    let length = |at: usize| move |frame: &[u8]| vec![("length of the signature", with(frame, Header::LEN + at, &[0xff]))];
    every_tampering_is_refused_on_receipt(&MaskKey(key.clone()), &(), length(32)).await;
    let clients = CLIENTS.map(|name| name.parse().unwrap());
    let keys = MaskKeys(
        clients
            .iter()
            .map(|client: &cloven_wire::Party| (client.clone(), key.clone()))
            .collect(),
    );
    let names = |frame: &[u8]| {
        let length = length(6 + 32)(frame);
        let name = ("another client", with(frame, Header::LEN + 1, b"b"));
        [vec![name, ("length of a name", with(frame, Header::LEN, &[0xff]))], length].concat()
    };
    every_tampering_is_refused_on_receipt(&keys, &clients[..], names).await;
    every_tampering_is_refused_on_receipt(&MaskedReveal(vec![7; 9]), &9, |_| Vec::new()).await;
}

#[tokio::test]
async fn flipped_ciphertext_bits_never_panic() {
    let (data, test) = (examples(8), examples(3));
    let frames = honest_frames(&data, &test).await;
    for (sender, frames) in frames.iter().enumerate() {
        for bit in [0, 7, 8 * 40 + 3, 8 * 5000, 8 * 9000 + 1] {
            let at = frames.iter().position(|f| header(f).len > 9001).unwrap();
            let mut bad = frames[at].clone();
            bad[Header::LEN + bit / 8] ^= 1 << (bit % 8);
            let script = [&frames[..at], &[bad]].concat();
            assert!(
                against(sender, &script, &data, &test).await.is_err(),
                "at the latest when the peer is gone"
            );
        }
    }
}

#[test]
fn bytes_of_a_step_of_the_published_network() {
    let lengths = sealing();
    let step = cost::training_batch(&lengths, 4);
    // 13,245 rows in batches of 4.
    let epoch = 3312 * (step.client_bytes + step.server_bytes);
    assert!(epoch < 350_000_000, "{epoch}");
    assert_eq!(lengths.sealed_len(cipher::Direction::Forward, 4), 12_064);
}

/// A step that is computed again after a crash: the same data give the same bytes; with one number changed, no mask is used a second time.
#[test]
fn a_repeated_step_with_one_number_changed_uses_no_mask_twice() {
    let seal = |batch: &ArrayD<f32>| lattice().0.seal(Direction::Forward, 7, batch).unwrap();
    let batch = ArrayD::from_shape_fn(ndarray::IxDyn(&[4, 256]), |at| (at[0] * 256 + at[1]) as f32 / 1024.0);
    let mut changed = batch.clone();
    changed[[3, 255]] += 1e-3;
    let (first, again, other) = (seal(&batch), seal(&batch), seal(&changed));
    assert_eq!(first, again);
    // Each ciphertext is a seed of 32 bytes, from which its mask is expanded, and the masked numbers. Those of rows that did not change stay
    // as they are; of the others nothing does.
    let one = cloven_lattice::Upload::encoded_len(sealing().parameters());
    let mut changed = 0;
    for (a, b) in first.chunks(one).zip(other.chunks(one)) {
        if a != b {
            changed += 1;
            assert_ne!(a[..32], b[..32], "the same mask for two messages");
        }
    }
    assert!(changed > 0);
}
