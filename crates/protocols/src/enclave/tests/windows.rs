//! Convolutions: what crosses the links are images, and the results are those of windows that the enclave unfolds.

use std::{collections::BTreeMap, sync::Arc};

use cloven_nn::{
    InputGradient,
    offload::{Job, Matrices, OffloadedNetwork, ProductKind},
};
use cloven_wire::Traffic;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::enclave::products::{Products, Teller};

/// Asks for products of windows that are unfolded here.
struct Unfolding<'p, 'l> {
    products: &'p mut Products<'l, memory::MemoryChannel>,
    /// X of each product on its last way forward.
    windows: BTreeMap<usize, Arc<Matrices>>,
}

impl cloven_nn::offload::Products for Unfolding<'_, '_> {
    type Error = ProtocolError;

    async fn multiply(&mut self, mut jobs: Vec<Job>) -> Result<Vec<Matrices>, ProtocolError> {
        let geometry = jobs[0].windows;
        let kinds: Vec<ProductKind> = jobs.iter().map(|job| job.kind).collect();
        for job in &mut jobs {
            let Some(windows) = job.windows.take() else { continue };
            match job.kind {
                ProductKind::Forward => {
                    job.left = Arc::new(windows.unfold(&job.left)?);
                    self.windows.insert(job.product, job.left.clone());
                }
                ProductKind::WeightGradient => job.left = self.windows[&job.product].clone(),
                ProductKind::InputGradient => (),
            }
        }
        let results = self.products.multiply(jobs).await?.into_iter().zip(kinds);
        let folded = results.map(|(result, kind)| match (kind, geometry) {
            (ProductKind::InputGradient, Some(windows)) => windows.fold(&result),
            _ => Ok(result),
        });
        Ok(folded.collect::<Result<_, _>>()?)
    }
}

fn optimiser() -> OptimiserSpec {
    OptimiserSpec::Sgd {
        learning_rate: 1.0,
        momentum: 0.0,
        weight_decay: 0.0,
        schedule: Default::default(),
    }
}

/// A training step at three workers: outputs, weights after it, and what crossed at the workers.
async fn step(
    blinding: Blinding,
    model: &ModelSpec,
    x: &ArrayD<f32>,
    unfolds_here: bool,
) -> (ArrayD<f32>, Vec<(String, ArrayD<f32>)>, Traffic) {
    let network = Network::new(model, 0..model.layers.len(), SEED).unwrap();
    let mut network = OffloadedNetwork::new(network.with_optimiser(optimiser()).unwrap(), InputGradient::NotWanted);
    let setting = Setting::new(blinding, 3);
    let (mut at_enclave, mut workers) = (Vec::new(), Vec::new());
    for worker in &setting.terms.workers {
        let (at_worker, link, _) = setting.wire(worker);
        at_enclave.push(link);
        workers.push(at_worker);
    }
    let works = workers.into_iter();
    let works = join_all(works.map(async |mut link| {
        worker(Worker::new(Limits::default()), &mut link, &mut ignore())
            .await
            .unwrap()
    }));
    let trains = async {
        let (mut links, mut observe) = (at_enclave, ignore());
        let teller = Teller::new(&mut observe);
        let rng = ChaCha20Rng::from_seed([3; 32]);
        let of_workers = links.iter_mut().map(Some).collect();
        let mut products = Products::new(network.products(), &setting.terms, of_workers, &teller, rng).unwrap();
        let y = if unfolds_here {
            let unfolding = &mut Unfolding {
                products: &mut products,
                windows: BTreeMap::new(),
            };
            let y = network.forward_train(unfolding, 1, x).await.unwrap();
            network.backward(unfolding, &(&y / 100.0)).await.unwrap();
            y
        } else {
            let y = network.forward_train(&mut products, 1, x).await.unwrap();
            network.backward(&mut products, &(&y / 100.0)).await.unwrap();
            y
        };
        products.end().await;
        network.update().unwrap();
        (y, network.network().parameters(), links.iter().map(Link::traffic).sum())
    };
    tokio::join!(trains, works).0
}

/// The weights after the same step with nobody else.
fn locally(model: &ModelSpec, x: &ArrayD<f32>) -> Vec<(String, ArrayD<f32>)> {
    let network = Network::new(model, 0..model.layers.len(), SEED).unwrap();
    let mut network = network.with_optimiser(optimiser()).unwrap();
    let y = network.forward_train(1, x).unwrap();
    network.backward(&(&y / 100.0), InputGradient::NotWanted).unwrap();
    network.update().unwrap();
    network.parameters()
}

fn batch(model: &ModelSpec, rows: usize) -> ArrayD<f32> {
    let mut state = 1u32;
    ArrayD::from_shape_fn([&[rows], &model.input[..]].concat(), |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

#[tokio::test]
async fn unfolding_at_the_workers_gives_the_same() {
    let model = model();
    let x = batch(&model, 16);
    let [here, there] = [true, false].map(|here| step(Blinding::Masked, &model, &x, here));
    let (here, there) = (here.await, there.await);
    // Norms of images and of their windows give the same scales, and the products are exact.
    assert_eq!(here.0, there.0);
    let same = ["3.body.3.weight", "3.shortcut.0.weight", "7.weight", "7.bias"];
    for ((name, here), (_, there)) in here.1.iter().zip(&there.1).filter(|((name, _), _)| same.contains(&&name[..])) {
        assert_eq!(here, there, "{name}");
    }
    // Behind the first dX, which the workers add up exactly, gradients may be rounded otherwise in fixed point: as far from exact ones, in other directions.
    let exact = locally(&model, &x);
    let far = |weights: &[(String, ArrayD<f32>)]| {
        let pairs = weights.iter().zip(&exact);
        let apart = pairs.flat_map(|((_, value), (_, exact))| (value - exact).into_iter().map(f32::abs).collect::<Vec<_>>());
        apart.fold(0.0, f32::max)
    };
    assert!(far(&there.1) < 2.0 * far(&here.1), "{} and {}", far(&there.1), far(&here.1));
    assert!(
        there.2.sent < here.2.sent / 2 && there.2.received < here.2.received,
        "{:?} and {:?}",
        here.2,
        there.2
    );
}

#[tokio::test]
async fn bytes_are_those_that_are_counted() {
    const ROWS: usize = 16;
    let model = model();
    for blinding in [Blinding::Masked, Blinding::Permute { rekey_every: 1 }] {
        let terms = Setting::new(blinding, 3).terms;
        let counted = cost::training_step(&model, ROWS, &optimiser(), &terms).unwrap();
        let (_, _, crossed) = step(blinding, &model, &batch(&model, ROWS), false).await;
        let over = |crossed: u64, counted: u64| crossed as f64 / counted as f64;
        let [sent, received] = [over(crossed.sent, counted.sent), over(crossed.received, counted.received)];
        // Frames, shapes and the few steps of a job come on top; masked dX comes back as windows where its sums have no room.
        assert!((1.0..1.2).contains(&sent), "{blinding:?}: {sent}");
        assert!(received > 1.0, "{blinding:?}: {received}");
        assert!(blinding == Blinding::Masked || received < 1.2, "{received}");
        assert!(counted.share_of_enclave() > 0.0);
    }
}
