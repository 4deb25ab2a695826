//! What a server can make of its own view: the messages it received, their layout, and its layer. The attack that recovers every activation
//! and label of mode `paper` recovers nothing of `sealed`.

mod uploads;
mod witness;

use std::slice::from_mut;

use cloven_audit::algebra::{activations, agreement, fit, least};
use cloven_nn::{BatchTargets, Loss};
use cloven_wire::{Header, Message, Reader};
use ndarray::Array2;

use self::witness::{Watched, joined, labels, matrix, one_epoch, one_hot, watched, waves};
use super::{
    tests::{roles, values},
    *,
};
use crate::{Task, testing::*};

/// The payloads of one kind of message.
fn payloads(frames: &[Frame], kind: u8) -> impl Iterator<Item = &[u8]> {
    frames
        .iter()
        .filter(move |f| header(f).kind == kind)
        .map(|f| &f[Header::LEN..])
}

fn decode<M: Message>(payload: &[u8], expect: &M::Expect) -> M {
    M::decode(&mut Reader::new(payload), expect).unwrap()
}

/// What the server recovers in mode `paper`, and the truth.
struct Recovered {
    /// Each batch's activations, and the condition number of its dy.
    activations: Vec<(Array2<f64>, f64)>,
    /// The share of labels found.
    labels: f64,
    truth: Vec<Array2<f64>>,
}

/// One epoch in mode `paper`: what the server received, as it decodes it, and the client after it.
async fn run_paper(task: Task<'_>, sealing: &Sealing) -> (Vec<paper::Gradients>, paper::Client<Watched>) {
    let (me, other) = paper::tests::roles(watched(sealing), adam(0.0));
    let run = async |[mut a, mut b]: [_; 2]| {
        let (mut quiet, mut still) = (ignore, ignore);
        let (me, _) = tokio::join!(
            paper::client(me, task, &mut a, &mut quiet),
            paper::server(other, task.schedule, from_mut(&mut b), &mut still)
        );
        me.unwrap()
    };
    let (me, [received, _]) = relayed(run).await;
    let sizes = task.schedule.training_sizes(task.train.rows());
    let received = payloads(&received, paper::Gradients::KIND).zip(sizes);
    let gradients = received.map(|(payload, rows)| decode(payload, &paper::Gradients::shapes(&me.layer, rows)[..]));
    (gradients.collect(), me)
}

async fn attack_on_paper(rows: usize, batch: usize, loss: Loss) -> Recovered {
    let (data, none) = (waves(rows), examples(0));
    let mut train = waves(rows);
    if let (Loss::Mse, BatchTargets::Classes(labels)) = (loss, &data.targets) {
        train.targets = BatchTargets::Values(one_hot(labels));
    }
    let task = Task {
        loss,
        schedule: one_epoch(batch),
        ..task(&train, &none)
    };
    let (gradients, me) = run_paper(task, &Sealing::new(batch, 256, 5).unwrap()).await;
    let dy: Vec<_> = gradients.iter().map(|g| matrix(&g.output)).collect();
    let batches = dy.iter().zip(&gradients);
    Recovered {
        activations: batches.filter_map(|(dy, g)| activations(dy, &matrix(&g.layer[0]))).collect(),
        labels: agreement(&least(&joined(&dy)), &labels(&data, &task)),
        truth: me.cipher.batches(Direction::Forward),
    }
}

/// dy below this condition number counts as well conditioned: the error is about 2^-26 times the condition number, single precision's rounding.
const WELL_CONDITIONED: f64 = 65_536.0;

/// Exact, up to single precision, as long as dy has independent rows: up to as many as outputs; one fewer under softmax and cross-entropy,
/// whose dy sums to zero over the classes.
#[tokio::test]
async fn mode_paper_gives_away_every_activation_and_every_label() {
    let cross_entropy = [1, 2, 4].map(|batch| (batch, Loss::CrossEntropy));
    for (batch, loss) in cross_entropy.into_iter().chain([(5, Loss::Mse)]) {
        let recovered = attack_on_paper(80, batch, loss).await;
        assert_eq!(recovered.activations.len(), recovered.truth.len());
        for ((a, condition), t) in recovered.activations.iter().zip(&recovered.truth) {
            let error = ((a - t).pow2().sum() / t.pow2().sum()).sqrt();
            assert!(*condition < WELL_CONDITIONED, "{batch} rows a batch: condition {condition:e}");
            assert!(error < 1e-3, "{batch} rows a batch, condition {condition:e}: error {error:e}");
        }
        if loss == Loss::CrossEntropy {
            assert_eq!(recovered.labels, 1.0, "labels");
        }
        let guess: Vec<_> = recovered.activations.into_iter().map(|(a, _)| a).collect();
        let fit = fit(&joined(&guess), &joined(&recovered.truth));
        assert!(fit.iter().all(|f| *f > 0.999), "{fit:?}");
    }
}

/// With as many rows as classes, cross-entropy leaves dy singular but for rounding: the activations are no longer exact, the labels still are.
#[tokio::test]
async fn as_many_rows_as_classes_end_the_exactness_under_cross_entropy() {
    let recovered = attack_on_paper(40, 5, Loss::CrossEntropy).await;
    for (_, condition) in &recovered.activations {
        assert!(*condition > WELL_CONDITIONED, "{condition:e}");
    }
    assert_eq!(recovered.labels, 1.0, "labels");
}

/// All that the server of `sealed` has to go on.
struct SealedView {
    /// The uploads of training, batch by batch: Enc(a), Enc(dy).
    uploads: [Vec<Vec<u8>>; 2],
    /// The weight's part of the reveal.
    v: Array2<f64>,
    /// The server's weight after it.
    u: Array2<f64>,
}

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// One epoch of `sealed`: the server's view, and the truth in both directions.
async fn run_sealed(task: Task<'_>, sealing: &Sealing) -> (SealedView, [Vec<Array2<f64>>; 2]) {
    let (me, other) = roles(watched(sealing), REVEAL_AFTER, sgd(0.1));
    let run = async |[mut a, mut b]: [_; 2]| {
        let (mut quiet, mut still) = (ignore, ignore);
        let (me, other) = tokio::join!(
            client(me, task, &mut a, &mut quiet),
            server(other, task.schedule, from_mut(&mut b), &mut still)
        );
        (me.unwrap(), other.unwrap())
    };
    let ((me, other), [received, _]) = relayed(run).await;
    let layer = values(&other.layer);
    let shapes: Vec<_> = layer.iter().map(|value| value.shape().to_vec()).collect();
    let reveals: Vec<_> = payloads(&received, Reveal::KIND).collect();
    let [reveal] = reveals[..] else { panic!("one reveal") };
    let uploads = |kind| payloads(&received, kind).map(<[u8]>::to_vec).collect();
    let view = SealedView {
        uploads: [uploads(SealedActivation::KIND), uploads(SealedGradient::KIND)],
        v: matrix(&decode::<Reveal>(reveal, &shapes).0[0]),
        u: matrix(&layer[0]),
    };
    (view, DIRECTIONS.map(|direction| me.cipher.batches(direction)))
}

/// Guesses of activations and of labels.
struct Guesses {
    activations: [Array2<f64>; 2],
    labels: [Vec<u32>; 2],
}

/// Takes the uploads for the numbers themselves, first those of a, with the labels that U then predicts; then, as in mode `paper`, those of
/// dy, with V for dW.
fn attack_on_sealed(view: &SealedView, sealing: &Sealing, rows: usize) -> Guesses {
    let read = |at: usize| -> Vec<_> {
        let uploads = view.uploads[at].iter();
        uploads
            .map(|upload| uploads::read(sealing, DIRECTIONS[at], upload, rows))
            .collect()
    };
    let (a, dy) = (joined(&read(0)), read(1));
    let solved: Vec<_> = dy
        .iter()
        .map(|dy| activations(dy, &view.v).expect("independent rows").0)
        .collect();
    Guesses {
        labels: [least(&-a.dot(&view.u.t())), least(&joined(&dy))],
        activations: [a, joined(&solved)],
    }
}

/// Bounds of chance for 1,024 rows, at four standard deviations and more: rows fit by chance within 1/2 +- 0.0156, labels within
/// 0.2 +- 0.0125; a row's correlation deviates by less than 1/2, because the activations vary in more than four directions, their mean by
/// less than 0.016. What stands in the clear in an upload goes far beyond each of them, as the second half shows.
#[tokio::test]
async fn the_same_attack_recovers_nothing_of_sealed() {
    let (data, none) = (waves(REVEAL_AFTER), examples(0));
    let task = Task {
        schedule: one_epoch(4),
        ..task(&data, &none)
    };
    let sealing = Sealing::new(4, 256, 5).unwrap();
    let (mut view, truth) = run_sealed(task, &sealing).await;
    let labels = labels(&data, &task);

    let guesses = attack_on_sealed(&view, &sealing, 4);
    for guess in &guesses.activations {
        let [correlation, matched] = fit(guess, &joined(&truth[0]));
        assert!(correlation.abs() < 0.07, "{correlation}");
        assert!((matched - 0.5).abs() < 0.0625, "{matched}");
    }
    for guess in &guesses.labels {
        let found = agreement(guess, &labels);
        assert!((found - 0.2).abs() < 0.05, "{found}");
    }

    // The control: the same uploads without their masks. V, a sum over all rows, gives no row away even then.
    for (at, direction) in DIRECTIONS.into_iter().enumerate() {
        for (upload, batch) in view.uploads[at].iter_mut().zip(&truth[at]) {
            *upload = uploads::without_mask(&sealing, direction, upload.len(), batch);
        }
    }
    let guesses = attack_on_sealed(&view, &sealing, 4);
    let [correlation, matched] = fit(&guesses.activations[0], &joined(&truth[0]));
    let found = guesses.labels.map(|guess| agreement(&guess, &labels));
    assert!(correlation > 0.999 && matched > 0.999, "{correlation}, {matched}");
    assert!(found[0] > 0.5 && found[1] == 1.0, "{found:?}");
}
