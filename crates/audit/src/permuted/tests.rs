use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use cloven_accel::{
    Matrices, Shape, Words,
    masked::{Blinder, Norms, Quantised, Scale},
    permuted::{SignedPermutation, blind},
};
use cloven_nn::{
    InputGradient, LayerSpec, ModelError, ModelSpec, Network,
    offload::{Job, LocalProducts, OffloadedNetwork, Products},
};
use ndarray::{Array2, ArrayD, s};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Takes down the weights of every product.
#[derive(Default)]
struct Weights(Vec<Array2<f32>>);

impl Products for Weights {
    type Error = ModelError;

    async fn multiply(&mut self, jobs: Vec<Job>) -> Result<Vec<cloven_nn::offload::Matrices>, ModelError> {
        for job in &jobs {
            let [_, rows, columns] = job.right.dims();
            self.0
                .push(Array2::from_shape_vec((rows, columns), Arc::clone(&job.right).values().to_vec()).unwrap());
        }
        jobs.iter().map(LocalProducts::product).collect()
    }
}

/// Initial weights as a network draws them: 27 x 64, 576 x 64, 576 x 128, 64 x 128, 128 x 10.
fn initial_weights() -> Vec<Array2<f32>> {
    let conv = |channels, kernel, padding| LayerSpec::Conv2d {
        channels,
        kernel,
        stride: 1,
        padding,
        bias: false,
    };
    let layers = vec![
        conv(64, 3, 1),
        conv(64, 3, 1),
        conv(128, 3, 1),
        conv(64, 1, 0),
        conv(128, 1, 0),
        LayerSpec::GlobalAvgPool2d {},
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 10, bias: true },
    ];
    let model = ModelSpec {
        input: vec![3, 3, 3],
        layers,
    };
    let network = Network::new(&model, 0..model.layers.len(), 11).unwrap();
    let network = OffloadedNetwork::new(network, InputGradient::NotWanted);
    let mut weights = Weights::default();
    let x = ArrayD::zeros(vec![1, 3, 3, 3]);
    assert!(matches!(
        std::pin::pin!(network.forward(&mut weights, &x)).poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(_))
    ));
    weights.0
}

/// Uniform numbers, as large networks begin with.
fn drawn(shape: (usize, usize), rng: &mut ChaCha20Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape, || rng.next_u32() as f32 / 2f32.powi(31) - 1.0)
}

/// Weights after updates of a size relative to theirs.
fn updated(weights: &Array2<f32>, relative: f32, rng: &mut ChaCha20Rng) -> Array2<f32> {
    let updates = Array2::from_shape_simple_fn(weights.dim(), || {
        (0..12).map(|_| rng.next_u32() as f32 / 2f32.powi(32)).sum::<f32>() - 6.0
    });
    let size = |of: &Array2<f32>| of.iter().map(|v| v * v).sum::<f32>().sqrt();
    let factor = relative * size(weights) / size(&updates);
    weights + &(updates * factor)
}

fn matrices(values: &Array2<f32>) -> Matrices<f32> {
    Matrices::new(
        Shape::matrix(values.nrows(), values.ncols()).unwrap(),
        values.iter().copied().collect(),
    )
    .unwrap()
}

fn array(matrices: &Matrices<f32>) -> Array2<f32> {
    let shape = matrices.shape();
    Array2::from_shape_vec((shape.rows, shape.columns), matrices.values().to_vec()).unwrap()
}

/// The permutations of a layer, and what a worker sees of weights and of a batch.
struct Layer {
    keys: [SignedPermutation; 3],
}

impl Layer {
    fn new(rows: usize, inner: usize, columns: usize, rng: &mut ChaCha20Rng) -> Self {
        Self {
            keys: [rows, inner, columns].map(|len| SignedPermutation::random(len, rng).unwrap()),
        }
    }

    fn weights(&self, plain: &Array2<f32>) -> Array2<f32> {
        array(&blind(&self.keys[1], &self.keys[2], &matrices(plain)).unwrap())
    }

    fn inputs(&self, plain: &Array2<f32>) -> Array2<f32> {
        array(&blind(&self.keys[0], &self.keys[1], &matrices(plain)).unwrap())
    }

    /// Where number `key` puts each line, and with which sign; up to the sign of all.
    fn places(&self, key: usize, rng: &mut ChaCha20Rng) -> Places {
        let count = self.keys[key].len();
        let numbers = Array2::from_shape_fn((1, count), |(_, line)| line as f32 + 1.0);
        let one = SignedPermutation::random(1, rng).unwrap();
        let seen = array(&blind(&one, &self.keys[key], &matrices(&numbers)).unwrap());
        let mut places = Places {
            order: vec![0; count],
            negative: vec![false; count],
        };
        for (place, value) in seen.iter().enumerate() {
            let line = value.abs() as usize - 1;
            (places.order[line], places.negative[line]) = (place, *value < 0.0);
        }
        places
    }
}

/// The share of lines whose place and sign are right, up to the sign of all.
fn right(found: &Places, truth: &Places) -> f64 {
    let count = |flip: bool| {
        let places = found
            .order
            .iter()
            .zip(&truth.order)
            .zip(found.negative.iter().zip(&truth.negative));
        places.filter(|((f, t), (fs, ts))| f == t && (fs != ts) == flip).count()
    };
    count(false).max(count(true)) as f64 / truth.order.len() as f64
}

/// The shares of rows and of columns that are found.
fn attack(weights: &Array2<f32>, relative: f32, scales: Scales, rng: &mut ChaCha20Rng) -> [f64; 2] {
    let layer = Layer::new(1, weights.nrows(), weights.ncols(), rng);
    let mut seen = layer.weights(&updated(weights, relative, rng));
    if scales == Scales::Unknown {
        let mut factors =
            |count: usize| -> Vec<f32> { (0..count).map(|_| 0.25 + rng.next_u32() as f32 / 2f32.powi(30)).collect() };
        let (rows, columns) = (factors(seen.nrows()), factors(seen.ncols()));
        seen.indexed_iter_mut()
            .for_each(|((row, column), value)| *value *= rows[row] * columns[column]);
    }
    let found = known_weights(weights, &seen, scales).unwrap();
    let expected = if scales == Scales::Signs {
        1.0 / (1.0 + f64::from(relative).powi(2)).sqrt()
    } else {
        0.0
    };
    assert!(found.agreement > expected - 1e-3, "agreement {}", found.agreement);
    [
        right(&found.inner, &layer.places(1, rng)),
        right(&found.columns, &layer.places(2, rng)),
    ]
}

#[test]
fn all_permutations_and_signs_of_initial_weights_are_found_after_small_updates() {
    let rng = &mut rng(1);
    for weights in initial_weights() {
        for relative in [0.0, 1e-3, 1e-2, 1e-1] {
            assert_eq!(
                attack(&weights, relative, Scales::Signs, rng),
                [1.0; 2],
                "{:?} updated by {relative}",
                weights.dim()
            );
        }
    }
}

#[test]
fn which_rows_or_columns_a_worker_has_is_found() {
    let rng = &mut rng(12);
    for (shape, workers) in [
        ((27, 64), 2),
        ((192, 24), 2),
        ((1152, 256), 3),
        ((128, 256), 5),
        ((512, 10), 2),
    ] {
        let weights = drawn(shape, rng);
        let layer = Layer::new(1, shape.0, shape.1, rng);
        let whole = layer.weights(&updated(&weights, 1e-2, rng));
        let [of_rows, of_columns] = [1, 2].map(|key| layer.places(key, rng).order);
        // The known lines that are at these places.
        let at = |order: &[usize], range: &std::ops::Range<usize>| -> Vec<usize> {
            (0..order.len()).filter(|line| range.contains(&order[*line])).collect()
        };
        let range = |count: usize| count / workers..2 * (count / workers);
        let (rows, columns) = (range(shape.0), range(shape.1));
        let some_rows = whole.slice(s![rows.clone(), ..]).to_owned();
        let found = part::lines(&weights, &some_rows, Scales::Signs).unwrap();
        assert_eq!(found, [at(&of_rows, &rows), (0..shape.1).collect()], "rows of {shape:?}");
        let some_columns = whole.slice(s![.., columns.clone()]).to_owned();
        let found = part::lines(&weights, &some_columns, Scales::Signs).unwrap();
        assert_eq!(
            found,
            [(0..shape.0).collect(), at(&of_columns, &columns)],
            "columns of {shape:?}"
        );
        let corner = whole.slice(s![rows, columns]).to_owned();
        assert!(part::lines(&weights, &corner, Scales::Signs).is_err());
        assert!(part::lines(&some_rows, &weights, Scales::Signs).is_err());
    }
}

#[test]
fn shapes_of_a_resnet_are_found() {
    let rng = &mut rng(9);
    for shape in [(27, 64), (1152, 256), (2304, 256), (128, 256), (4608, 512), (512, 10)] {
        let weights = drawn(shape, rng);
        assert_eq!(attack(&weights, 1e-2, Scales::Signs, rng), [1.0; 2], "{shape:?}");
    }
}

#[test]
fn scales_of_rows_and_columns_hide_no_permutation() {
    let rng = &mut rng(2);
    for weights in initial_weights() {
        for relative in [0.0, 1e-3, 1e-2] {
            assert_eq!(
                attack(&weights, relative, Scales::Unknown, rng),
                [1.0; 2],
                "{:?} updated by {relative}",
                weights.dim()
            );
        }
    }
}

#[test]
fn zeros_do_not_hide_a_permutation() {
    let rng = &mut rng(3);
    for (pruned, scales, relative) in [
        (0.9, Scales::Signs, 0.0),
        (0.9, Scales::Signs, 1e-3),
        (0.9, Scales::Unknown, 0.0),
        (0.3, Scales::Unknown, 1e-3),
    ] {
        let weights = drawn((300, 40), rng).mapv(|value| if value.abs() < pruned { 0.0 } else { value });
        let [rows, columns] = attack(&weights, relative, scales, rng);
        // Rows that hold nothing but zeros are alike, and rows of one number have no sign or scale of their own.
        let numbers = |row: ndarray::ArrayView1<'_, f32>| row.iter().filter(|value| **value != 0.0).count();
        let empty = weights.rows().into_iter().filter(|row| numbers(*row) < 2).count();
        let least = 1.0 - empty as f64 / 300.0;
        assert!(
            columns == 1.0 && rows >= least,
            "{pruned} {scales:?} {relative}: {rows} (at least {least}) {columns}"
        );
    }
}

#[test]
fn after_updates_of_15_percent_all_is_found_and_after_as_large_as_the_weights_less() {
    let rng = &mut rng(8);
    for weights in initial_weights() {
        let found = [0.15, 1.0].map(|relative| {
            let layer = Layer::new(1, weights.nrows(), weights.ncols(), rng);
            let seen = layer.weights(&updated(&weights, relative, rng));
            let found = known_weights(&weights, &seen, Scales::Signs).unwrap();
            [(found.inner, 1), (found.columns, 2)].map(|(places, key)| right(&places, &layer.places(key, rng)))
        });
        assert!(found[0] == [1.0; 2], "{:?}: {found:?}", weights.dim());
        assert!(found[1].iter().all(|share| *share < 0.5), "{:?}: {found:?}", weights.dim());
    }
}

#[test]
fn narrow_matrices_are_matched_by_magnitude() {
    let rng = &mut rng(4);
    for shape in [(1, 30), (30, 1), (50, 2), (3, 60)] {
        let weights = drawn(shape, rng);
        assert_eq!(attack(&weights, 1e-6, Scales::Signs, rng), [1.0; 2], "{shape:?}");
    }
}

#[test]
fn with_the_permutations_samples_are_samples_again() {
    let rng = &mut rng(5);
    let (weights, inputs) = (drawn((60, 20), rng), drawn((50, 60), rng));
    let layer = Layer::new(50, 60, 20, rng);
    let found = known_weights(&weights, &layer.weights(&updated(&weights, 1e-2, rng)), Scales::Signs).unwrap();
    let back = found.weights(&layer.weights(&weights)).unwrap();
    assert_eq!(back, weights);
    let (rows, seen) = (layer.places(0, rng), found.inputs(&layer.inputs(&inputs)).unwrap());
    for (row, place) in inputs.rows().into_iter().zip(rows.order) {
        assert!(seen.row(place) == row || seen.row(place) == -&row);
    }
    let outputs = array(&blind(&layer.keys[0], &layer.keys[2], &matrices(&inputs.dot(&weights))).unwrap());
    let difference = seen.dot(&back) - found.outputs(&outputs).unwrap();
    assert!(difference.iter().all(|value| value.abs() < 1e-4));
}

/// Words as the integers that they stand for.
fn numbers(share: &Words) -> Array2<f32> {
    let shape = share.shape();
    let integers = share.centred().values().iter().map(|integer| *integer as f32).collect();
    Array2::from_shape_vec((shape.rows, shape.columns), integers).unwrap()
}

#[test]
fn of_shares_no_more_rows_and_columns_are_found_than_by_chance() {
    let rng = &mut rng(6);
    let mut blinder = Blinder::new(rng);
    let (mut lines, mut found_lines) = (0, 0);
    for weights in initial_weights() {
        let plain = matrices(&weights);
        let quantised = Quantised::new(&plain, Norms::of(&plain).unwrap(), Scale::new(14).unwrap()).unwrap();
        // Without masks the same reading of words gives the weights.
        let unmasked = Words::of_integers(plain.shape(), quantised.integers().values()).unwrap();
        let found = known_weights(&weights, &numbers(&unmasked), Scales::Signs).unwrap();
        assert!(found.inner.order.is_sorted() && found.columns.order.is_sorted() && found.agreement > 0.999);
        for share in blinder.share(&quantised).unwrap() {
            let found = known_weights(&weights, &numbers(&share), Scales::Signs).unwrap();
            for places in [found.inner, found.columns] {
                let right = places.order.iter().enumerate().filter(|(line, place)| line == *place).count();
                // Of a random permutation one line is in place on average, whatever its size, nearly as Poisson has it: more than 8 once in 10^6.
                assert!(right <= 8, "{right} of {}", places.order.len());
                (lines, found_lines) = (lines + 1, found_lines + right);
            }
        }
    }
    // The sum over 36 permutations has mean and variance 36: five deviations.
    let expected = f64::from(lines);
    assert!(
        (found_lines as f64 - expected).abs() < 5.0 * expected.sqrt(),
        "{found_lines} lines in place, expected about {lines}"
    );
}

#[test]
fn nothing_hidden_is_found_as_it_is() {
    for weights in initial_weights() {
        let found = known_weights(&weights, &weights, Scales::Signs).unwrap();
        assert!(found.inner.order.is_sorted() && found.columns.order.is_sorted());
        assert_eq!(found.weights(&weights).unwrap(), weights);
    }
}

#[test]
fn what_cannot_be_attacked_is_refused() {
    let zeros = |shape| Array2::<f32>::zeros(shape);
    let refused = |known, seen| known_weights(&known, &seen, Scales::Signs).unwrap_err().to_string();
    assert!(refused(zeros((3, 2)), zeros((2, 3))).contains("expected 3 x 2, as known, got 2 x 3"));
    assert!(refused(zeros((0, 2)), zeros((0, 2))).contains("got 0 x 2"));
    assert!(refused(zeros((MOST_LINES + 1, 1)), zeros((MOST_LINES + 1, 1))).contains("1 to 16384"));
    assert!(refused(zeros((2, 2)), Array2::from_elem((2, 2), f32::NAN)).contains("got NaN"));
    // All lines are alike.
    let found = known_weights(&zeros((200, 100)), &zeros((200, 100)), Scales::Unknown).unwrap();
    let mut order = found.inner.order.clone();
    order.sort_unstable();
    assert!(order.into_iter().eq(0..200) && found.agreement == 0.0);
    let wrong = found.inputs(&zeros((5, 100))).unwrap_err().to_string();
    assert!(wrong.contains("expected 200 columns, got 100"), "{wrong}");
    // Numbers of any size.
    let large = Array2::from_shape_fn((9, 9), |(row, column)| ((row * 9 + column) as f32 - 40.0) * 8e36);
    assert_eq!(
        known_weights(&large, &large, Scales::Signs).unwrap().weights(&large).unwrap(),
        large
    );
}

fn seen_product(layer: &Layer, weights: &Array2<f32>, inputs: &Array2<f32>) -> SeenProduct {
    SeenProduct {
        name: "0.weight".to_owned(),
        known: weights.clone(),
        weights: Operand::Numbers(layer.weights(weights)),
        inputs: Some(Operand::Numbers(layer.inputs(inputs))),
        samples: Some(inputs.clone()),
    }
}

#[test]
fn findings_say_what_came_back() {
    let rng = &mut rng(7);
    let (weights, inputs) = (drawn((60, 20), rng), drawn((50, 60), rng));
    let layer = Layer::new(50, 60, 20, rng);
    let audit = audit_products(&[seen_product(&layer, &weights, &inputs)]).unwrap();
    let findings: Vec<_> = audit
        .findings
        .iter()
        .map(|f| (f.target.as_str(), f.value, f.succeeded))
        .collect();
    assert_eq!(
        findings,
        [
            ("weights 0.weight", 1.0, true),
            ("features 0.weight", 1.0, true),
            ("inputs", 1.0, true)
        ]
    );
    assert!(audit.findings[2].chance == 0.0 && audit.rows == 50 && audit.not_tried.is_empty());
    // Numbers that have nothing to do with them.
    let other = SeenProduct {
        weights: Operand::Share(drawn((60, 20), rng)),
        inputs: Some(Operand::Share(drawn((50, 60), rng))),
        ..seen_product(&layer, &weights, &inputs)
    };
    let audit = audit_products(&[other]).unwrap();
    assert!(
        audit.findings.iter().all(|f| !f.succeeded && f.value <= f.bound),
        "{:?}",
        audit.findings
    );
    assert!(audit.findings[1].chance == 1.0 / 60.0);
    assert!(audit_products(&[]).unwrap().not_tried[0].contains("no product"));
}
