//! A network whose products are computed elsewhere, against the network alone.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::layers::conv2d;
use super::*;
use crate::offload::{Job, LocalProducts, Matrices, OffloadedNetwork, ProductKind, Products, inference_cost, training_cost};
use crate::preset::{VisionTransformer, residual_network};
use crate::{BatchTargets, Loss};

/// Nothing here ever waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn sgd() -> OptimiserSpec {
    OptimiserSpec::Sgd {
        learning_rate: 0.05,
        momentum: 0.9,
        weight_decay: 0.01,
        schedule: LearningRateSchedule::default(),
    }
}

/// With an epsilon far above rounding errors: some gradients are exactly 0 (of a key's bias, for one), and AdamW would magnify their errors.
fn adamw() -> OptimiserSpec {
    OptimiserSpec::AdamW {
        learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-3,
        weight_decay: 0.01,
        schedule: LearningRateSchedule::default(),
    }
}

fn network(model: &ModelSpec, optimiser: OptimiserSpec) -> Network {
    let network = Network::new(model, 0..model.layers.len(), 11).unwrap();
    network.with_optimiser(optimiser).unwrap()
}

/// Rounding errors of sums, as shares of the largest value; deep networks with batch normalisation magnify them.
const SHALLOW: f32 = 3e-5;
const DEEP: f32 = 5e-4;

fn near(what: &str, actual: &ArrayD<f32>, expected: &ArrayD<f32>, share: f32) {
    assert_eq!(actual.shape(), expected.shape(), "{what}");
    let size = expected.iter().fold(0.1f32, |size, value| size.max(value.abs()));
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() <= share * size, "{what}: {actual} and {expected}");
    }
}

fn all_near(what: &str, actual: &[(String, ArrayD<f32>)], expected: &[(String, ArrayD<f32>)], share: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for ((name, actual), (other, expected)) in actual.iter().zip(expected) {
        assert_eq!(name, other, "{what}");
        near(&format!("{what}, {name}"), actual, expected, share);
    }
}

/// Trains both on the same batches and compares everything on the way. Each step starts from the same weights: where a rounding error moves a value
/// over a ReLU's kink, errors would grow from step to step. The optimisers' memories stay as each made them.
fn check(model: &ModelSpec, optimiser: &OptimiserSpec, share: f32) {
    let mut alone = network(model, optimiser.clone());
    let mut offloaded = OffloadedNetwork::new(network(model, optimiser.clone()), InputGradient::Wanted);
    let what = format!("{:?}", model.layers);
    let what = &what[..what.len().min(300)];
    let products = &mut LocalProducts;
    for step in 0..4 {
        let x = spread(&[&[3], &model.input[..]].concat(), 1 + step as usize);
        near(
            &format!("{what}, in use"),
            &now(offloaded.forward(products, &x)).unwrap(),
            &alone.forward(&x).unwrap(),
            share,
        );
        let expected = alone.forward_train(step, &x).unwrap();
        let y = now(offloaded.forward_train(products, step, &x)).unwrap();
        near(&format!("{what}, output"), &y, &expected, share);
        let direction = spread(y.shape(), 5 + step as usize);
        let expected = alone.backward(&direction, InputGradient::Wanted).unwrap().unwrap();
        let dx = now(offloaded.backward(products, &direction)).unwrap().unwrap();
        near(&format!("{what}, input gradient"), &dx, &expected, share);
        all_near(what, &offloaded.network().gradients(), &alone.gradients(), share);
        alone.update().unwrap();
        offloaded.update().unwrap();
        all_near(what, &offloaded.network().parameters(), &alone.parameters(), share);
        all_near(what, &offloaded.network().buffers(), &alone.buffers(), share);
        offloaded.network_mut().set_parameters(&alone.parameters()).unwrap();
        offloaded.network_mut().set_buffers(&alone.buffers()).unwrap();
    }
    assert_eq!(offloaded.into_network().updates(), 4);
}

fn model(input: &[usize], layers: Vec<LayerSpec>) -> ModelSpec {
    let input = input.to_vec();
    ModelSpec { input, layers }
}

fn norm() -> LayerSpec {
    LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    }
}

fn layer_norm() -> LayerSpec {
    LayerSpec::LayerNorm {
        axes: Some(1),
        epsilon: 1e-5,
    }
}

fn dense(outputs: usize) -> LayerSpec {
    LayerSpec::Dense { outputs, bias: true }
}

fn of_tokens() -> ModelSpec {
    let (heads, bias) = (2, false);
    let block = vec![layer_norm(), LayerSpec::Attention { heads, bias }];
    model(
        &[2, 6, 4],
        vec![
            LayerSpec::Patches {
                size: 2,
                width: 8,
                bias: true,
            },
            LayerSpec::Positions {},
            LayerSpec::Residual {
                body: block,
                shortcut: vec![dense(8)],
            },
            LayerSpec::Attention { heads: 4, bias: true },
            dense(5),
            LayerSpec::Gelu {},
            LayerSpec::MeanTokens {},
            LayerSpec::Dense { outputs: 3, bias: false },
        ],
    )
}

fn of_planes() -> ModelSpec {
    let pool = |size, stride, padding| LayerSpec::MaxPool2d { size, stride, padding };
    let unbiased = LayerSpec::Conv2d {
        channels: 4,
        kernel: 1,
        stride: 2,
        padding: 0,
        bias: false,
    };
    model(
        &[2, 13, 12],
        vec![
            conv2d(3, 3, 1, 1),
            norm(),
            LayerSpec::Relu {},
            pool(3, Some(2), 1),
            LayerSpec::Residual {
                body: vec![
                    conv2d(4, 3, 2, 1),
                    norm(),
                    LayerSpec::Sigmoid {},
                    conv2d(4, 2, 1, 1),
                    conv2d(4, 2, 1, 0),
                ],
                shortcut: vec![unbiased, norm()],
            },
            LayerSpec::Residual {
                body: vec![LayerSpec::Tanh {}],
                shortcut: vec![],
            },
            LayerSpec::AvgPool2d {
                size: 2,
                stride: Some(1),
            },
            LayerSpec::Dropout { rate: 0.2 },
            LayerSpec::LeakyRelu { slope: 0.1 },
            LayerSpec::GlobalAvgPool2d {},
            LayerSpec::Flatten {},
            dense(6),
        ],
    )
}

fn of_lengths() -> ModelSpec {
    model(
        &[2, 23],
        vec![
            conv(3, 4, 3, 2),
            norm(),
            LayerSpec::MaxPool1d {
                size: 2,
                stride: Some(1),
            },
            conv(4, 3, 1, 1),
            LayerSpec::AvgPool1d { size: 2, stride: None },
            LayerSpec::GlobalAvgPool1d {},
            LayerSpec::Flatten {},
            dense(3),
        ],
    )
}

#[test]
fn every_layer_trains_as_the_network_alone() {
    for model in [of_tokens(), of_planes(), of_lengths()] {
        check(&model, &sgd(), SHALLOW);
        check(&model, &adamw(), SHALLOW);
    }
}

#[test]
fn small_versions_of_the_presets_train_as_the_network_alone() {
    let residual = residual_network([3, 16, 16], [4, 6, 8, 10]).model;
    let transformer = VisionTransformer {
        input: [3, 8, 8],
        patch: 4,
        width: 12,
        heads: 3,
        blocks: 2,
    };
    let transformer = transformer.preset().model;
    for model in [residual, transformer] {
        check(&model, &sgd(), DEEP);
        check(&model, &adamw(), DEEP);
    }
}

#[test]
fn a_smooth_network_trains_as_alone_for_many_steps() {
    for optimiser in [sgd(), adamw()] {
        let model = of_tokens();
        let mut alone = network(&model, optimiser.clone());
        let mut offloaded = OffloadedNetwork::new(network(&model, optimiser), InputGradient::NotWanted);
        let mut losses = Vec::new();
        for step in 0..20 {
            let x = spread(&[8, 2, 6, 4], 1 + step as usize % 3);
            let targets = BatchTargets::Classes((0..8).map(|row| row % 3).collect());
            let y = alone.forward_train(step, &x).unwrap();
            let (loss, dy) = Loss::CrossEntropy.value_and_gradient(&y, &targets).unwrap();
            alone.backward(&dy, InputGradient::NotWanted).unwrap();
            alone.update().unwrap();
            losses.push(loss);
            let y = now(offloaded.forward_train(&mut LocalProducts, step, &x)).unwrap();
            let (_, dy) = Loss::CrossEntropy.value_and_gradient(&y, &targets).unwrap();
            assert_eq!(now(offloaded.backward(&mut LocalProducts, &dy)).unwrap(), None);
            offloaded.update().unwrap();
        }
        assert!(losses[19] < losses[0], "{losses:?}");
        all_near("after 20 steps", &offloaded.network().parameters(), &alone.parameters(), DEEP);
    }
}

/// Remembers what it was asked for.
#[derive(Default)]
struct Recording(Vec<Vec<Job>>);

impl Products for Recording {
    type Error = ModelError;

    async fn multiply(&mut self, jobs: Vec<Job>) -> Result<Vec<Matrices>, ModelError> {
        self.0.push(jobs.clone());
        LocalProducts.multiply(jobs).await
    }
}

fn operations(jobs: &[Vec<Job>]) -> u64 {
    let of = |job: &Job| {
        let mut job = job.clone();
        if let Some(windows) = job.windows.take_if(|_| job.kind != ProductKind::InputGradient) {
            job.left = Arc::new(windows.unfold(&job.left).unwrap());
        }
        // A dX is counted before it is folded.
        job.windows = None;
        let [_, rows, columns] = job.left.dims();
        let inner = if job.kind == ProductKind::WeightGradient {
            rows
        } else {
            columns
        };
        (job.output_dims().iter().product::<usize>() * inner) as u64
    };
    jobs.iter().flatten().map(of).sum()
}

#[test]
fn jobs_name_their_operands_and_independent_ones_come_together() {
    let layers = vec![
        dense(4),
        LayerSpec::Attention { heads: 2, bias: true },
        LayerSpec::MeanTokens {},
    ];
    let model = model(&[3, 5], layers);
    let mut offloaded = OffloadedNetwork::new(network(&model, sgd()), InputGradient::NotWanted);
    let products = offloaded.products().to_vec();
    let names: Vec<&str> = products.iter().map(|product| product.name.as_str()).collect();
    assert_eq!(
        names,
        ["0.weight", "1.in_proj_weight", "1.scores", "1.values", "1.out_proj.weight"]
    );
    let dims: Vec<[usize; 4]> = products.iter().map(|product| product.dims(2)).collect();
    assert_eq!(dims, [[1, 6, 5, 4], [1, 6, 4, 12], [4, 3, 2, 3], [4, 3, 3, 2], [1, 6, 4, 4]]);

    let recording = &mut Recording::default();
    let y = now(offloaded.forward_train(recording, 0, &spread(&[2, 3, 5], 1))).unwrap();
    let forward = std::mem::take(&mut recording.0).concat();
    now(offloaded.backward(recording, &y)).unwrap();
    let numbers: Vec<usize> = forward.iter().map(|job| job.product).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let both = [ProductKind::WeightGradient, ProductKind::InputGradient];
    for (asked, product) in recording.0.iter().zip([4, 3, 2, 1, 0]) {
        let kinds: Vec<ProductKind> = asked.iter().map(|job| job.kind).collect();
        assert_eq!(kinds, if product > 0 { &both[..] } else { &both[..1] });
        assert_eq!(products[product].input_gradient, product > 0);
        let [count, rows, inner, columns] = dims[product];
        for job in asked {
            assert_eq!(job.product, product);
            let (same, dy, dims) = match job.kind {
                ProductKind::WeightGradient => (Arc::ptr_eq(&job.left, &forward[product].left), &job.right, [inner, columns]),
                _ => (Arc::ptr_eq(&job.right, &forward[product].right), &job.left, [rows, inner]),
            };
            assert!(same);
            assert_eq!(dy.dims(), [count, rows, columns]);
            assert_eq!(job.output_dims(), [count, dims[0], dims[1]]);
        }
    }
    assert_eq!(recording.0.len(), 5);
}

#[test]
fn parameters_go_in_and_out_by_name() {
    let model = of_tokens();
    let mut offloaded = OffloadedNetwork::new(network(&model, sgd()), InputGradient::NotWanted);
    let other = Network::new(&model, 0..model.layers.len(), 12).unwrap();
    offloaded.network_mut().set_parameters(&other.parameters()).unwrap();
    let x = spread(&[2, 2, 6, 4], 1);
    near(
        "output",
        &now(offloaded.forward(&mut LocalProducts, &x)).unwrap(),
        &other.forward(&x).unwrap(),
        SHALLOW,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    offloaded.network().save_safetensors(&path, &Default::default()).unwrap();
    let mut read = network(&model, sgd());
    read.load_safetensors(&path).unwrap();
    assert_eq!(read.parameters(), other.parameters());
}

/// Spoils its results.
struct Wrong(Spoil);

type Spoil = fn(Vec<Matrices>) -> Vec<Matrices>;

impl Products for Wrong {
    type Error = ModelError;

    async fn multiply(&mut self, jobs: Vec<Job>) -> Result<Vec<Matrices>, ModelError> {
        Ok(self.0(LocalProducts.multiply(jobs).await?))
    }
}

#[test]
fn wrong_products_are_refused() {
    let model = model(&[4], vec![dense(3)]);
    let mut offloaded = OffloadedNetwork::new(network(&model, sgd()), InputGradient::NotWanted);
    let x = spread(&[2, 4], 1);
    let cases: [(Spoil, &str); 3] = [
        (|_| Vec::new(), "products: expected shape 1 results, got [0]"),
        (
            |_| vec![Matrices::new([1, 3, 2], vec![0.0; 6]).unwrap()],
            "products: expected shape [1, 2, 3], got [1, 3, 2]",
        ),
        (
            |_| vec![Matrices::new([1, 2, 3], vec![f32::NAN; 6]).unwrap()],
            "training diverged: a product is not finite",
        ),
    ];
    for (spoil, expected) in cases {
        let error = now(offloaded.forward_train(&mut Wrong(spoil), 0, &x)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let error = now(offloaded.backward(&mut LocalProducts, &spread(&[2, 3], 1))).unwrap_err();
        assert_eq!(error.to_string(), "backward was called without forward_train before it");
    }
    assert!(Matrices::new([1, usize::MAX, 3], vec![0.0; 6]).is_err());
    let [left, right] = [[1, 2, 3], [1, 2, 3]].map(|dims| Arc::new(Matrices::new(dims, vec![1.0; 6]).unwrap()));
    let job = |kind| Job {
        product: 0,
        kind,
        left: left.clone(),
        right: right.clone(),
        windows: None,
    };
    let error = LocalProducts::product(&job(ProductKind::Forward))
        .err()
        .map(|error| error.to_string());
    let expected = "right operand of a product: expected shape [1, 3, 3], got [1, 2, 3]";
    assert_eq!(error.as_deref(), Some(expected));
    assert!(LocalProducts::product(&job(ProductKind::InputGradient)).is_ok());
    // A step that the network itself began is not this one's.
    offloaded.network_mut().forward_train(0, &x).unwrap();
    let error = now(offloaded.backward(&mut LocalProducts, &spread(&[2, 3], 1))).unwrap_err();
    assert_eq!(error.to_string(), "backward was called without forward_train before it");
}

#[test]
fn counted_products_are_those_asked_for() {
    for model in [of_tokens(), of_planes(), of_lengths()] {
        let mut offloaded = OffloadedNetwork::new(network(&model, sgd()), InputGradient::NotWanted);
        let recording = &mut Recording::default();
        let x = spread(&[&[3], &model.input[..]].concat(), 1);
        now(offloaded.forward(recording, &x)).unwrap();
        assert_eq!(inference_cost(&model, 3).unwrap().multiply_adds(), operations(&recording.0));
        recording.0.clear();
        let y = now(offloaded.forward_train(recording, 0, &x)).unwrap();
        now(offloaded.backward(recording, &y)).unwrap();
        let cost = training_cost(&model, 3, &sgd()).unwrap();
        assert_eq!(cost.multiply_adds(), operations(&recording.0), "{model:?}");
        let of_products = offloaded.products().iter();
        let passes = of_products.map(|product| (2 + u64::from(product.input_gradient)) * product.multiply_adds(3));
        assert_eq!(cost.multiply_adds(), passes.sum::<u64>());
    }
}

#[test]
fn a_table_of_costs_by_hand() {
    let model = model(&[4], vec![dense(3), LayerSpec::Relu {}, dense(2)]);
    let cost = training_cost(&model, 5, &sgd()).unwrap();
    let rows: Vec<_> = cost
        .layers
        .iter()
        .map(|row| (row.layer.as_str(), row.kind, row.multiply_adds, row.elements))
        .collect();
    let expected = [
        ("0", "dense", 5 * 2 * 12, 5 * 2 * 3),
        ("1", "relu", 0, 5 * 2 * 3),
        ("2", "dense", 5 * 3 * 6, 5 * 2 * 2),
    ];
    assert_eq!(rows, expected);
    assert_eq!(cost.optimiser, 6 * (15 + 8));
    assert_eq!((cost.multiply_adds(), cost.elements()), (210, 80 + 138));
    assert!((cost.share_outside_products() - 218.0 / 428.0).abs() < 1e-12);
}

#[test]
fn less_than_a_tenth_of_the_image_classifiers_is_outside_products() {
    for name in ["resnet18-cifar", "vit-cifar"] {
        let model = preset(name).unwrap().model;
        for optimiser in [sgd(), adamw()] {
            let share = training_cost(&model, 32, &optimiser).unwrap().share_outside_products();
            assert!((0.005..0.1).contains(&share), "{name}, training: {share}");
        }
        let share = inference_cost(&model, 32).unwrap().share_outside_products();
        assert!((0.005..0.1).contains(&share), "{name}, in use: {share}");
    }
}
