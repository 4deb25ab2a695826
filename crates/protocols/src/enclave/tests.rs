//! The ladder: training against unsplit training, several blindings, an interrupted training; lying workers and attestation are in `faults`.

mod faults;

use std::time::SystemTime;

use cloven_accel::job::Limits;
use cloven_attest::{Attester, Digest, Policy, Requirement, Simulated, SimulatedPolicy};
use cloven_nn::{LayerSpec, Loss, ModelSpec, Network, OptimiserSpec};
use cloven_wire::{Link, Party, memory, tcp::Identity};
use futures_util::future::try_join_all;
use ndarray::ArrayD;
use zeroize::Zeroizing;

use super::*;
use crate::{
    Event, Examples, Halted, ProtocolError, Schedule, Shuffle, Task,
    plain::{Unsplit, unsplit},
    testing::MemoryLink,
};

const MEASUREMENT: [u8; 48] = [7; 48];
const SEED: u64 = 5;

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn ignore() -> impl FnMut(Event) -> Result<(), Halted> {
    |_| Ok(())
}

/// Convolutions, normalisation, a residual block, poolings, dense layers.
fn model() -> ModelSpec {
    let conv = |channels, stride| LayerSpec::Conv2d {
        channels,
        kernel: 3,
        stride,
        padding: 1,
        bias: false,
    };
    let norm = || LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    };
    let block = LayerSpec::Residual {
        body: vec![conv(4, 2), norm(), LayerSpec::Relu {}, conv(4, 1), norm()],
        shortcut: vec![
            LayerSpec::Conv2d {
                channels: 4,
                kernel: 1,
                stride: 2,
                padding: 0,
                bias: false,
            },
            norm(),
        ],
    };
    ModelSpec {
        input: vec![2, 6, 6],
        layers: vec![
            conv(3, 1),
            norm(),
            LayerSpec::Relu {},
            block,
            LayerSpec::Relu {},
            LayerSpec::GlobalAvgPool2d {},
            LayerSpec::Flatten {},
            LayerSpec::Dense { outputs: 3, bias: true },
        ],
    }
}

fn network() -> Network {
    let spec = model();
    let optimiser = OptimiserSpec::Sgd {
        learning_rate: 0.05,
        momentum: 0.9,
        weight_decay: 0.0,
        schedule: Default::default(),
    };
    Network::new(&spec, 0..spec.layers.len(), SEED)
        .unwrap()
        .with_optimiser(optimiser)
        .unwrap()
}

fn examples(rows: usize) -> Examples {
    let number = |at: &[usize]| at.iter().zip([31, 5, 7, 13]).map(|(at, factor)| at * factor).sum::<usize>();
    let x = ArrayD::from_shape_fn(vec![rows, 2, 6, 6], |at| {
        (number(ndarray::Dimension::slice(&at)) % 17) as f32 / 8.0 - 1.0
    });
    let classes = (0..rows).map(|row| row as u32 % 3).collect();
    Examples {
        x,
        targets: cloven_nn::BatchTargets::Classes(classes),
    }
}

fn schedule() -> Schedule {
    Schedule {
        epochs: 2,
        batch: 4,
        evaluation_batch: 3,
        evaluate_every: 1,
        checkpoint_every: 0,
    }
}

fn policy() -> Policy {
    let measurement = Digest(MEASUREMENT);
    Policy::new(Requirement::Simulated(SimulatedPolicy { measurement })).unwrap()
}

fn attester() -> Attester {
    Attester::Simulated(Simulated {
        measurement: Digest(MEASUREMENT),
        debug: false,
    })
}

struct Setting {
    terms: Terms,
    identity: Identity,
    train: Examples,
    test: Examples,
}

impl Setting {
    fn new(blinding: Blinding, workers: usize) -> Self {
        let names = ["w1", "w2", "w3", "w4"];
        Self {
            terms: Terms {
                customer: party("clinic"),
                enclave: party("vault"),
                workers: names[..workers].iter().map(|name| party(name)).collect(),
                blinding,
                simulated: true,
            },
            identity: Identity::generate(party("vault")).unwrap().0,
            train: examples(10),
            test: examples(4),
        }
    }

    fn task(&self) -> Task<'_> {
        Task {
            train: &self.train,
            test: &self.test,
            subsets: &[],
            loss: Loss::CrossEntropy,
            class_weights: None,
            schedule: schedule(),
            shuffle: Shuffle { seed: SEED },
            clients: 1,
            keep: None,
            alone: false,
        }
    }

    async fn customer(&self, policy: &Policy, link: &mut MemoryLink) -> Result<Network, ProtocolError> {
        let me = Customer {
            network: network(),
            policy: (policy, SystemTime::now()),
            certificate: self.identity.certificate.as_der(),
            nonce: [3; 32],
            sealing_key: Zeroizing::new([4; 32]),
        };
        customer(me, self.task(), link, &mut ignore()).await
    }

    async fn enclave(&self, attester: &Attester, links: &mut [MemoryLink]) -> Result<(), ProtocolError> {
        let me = Enclave {
            identity: &self.identity,
            attester,
            network: network(),
            loss: Loss::CrossEntropy,
            job: [6; 32],
            secret: &[8; 32],
        };
        enclave(me, &self.terms, schedule().into(), links, &mut ignore()).await
    }

    /// All parties; the workers by `work`.
    async fn run(
        &self,
        work: impl AsyncFn(usize, &mut MemoryLink) -> Result<(), ProtocolError>,
    ) -> Result<Network, ProtocolError> {
        let (at_customer, at_enclave) = memory::pair(party("clinic"), party("vault"));
        let mut links = vec![Link::new(at_enclave)];
        let mut workers = Vec::new();
        for worker in &self.terms.workers {
            let (at_worker, at_enclave) = memory::pair(worker.clone(), party("vault"));
            links.push(Link::new(at_enclave));
            workers.push(Link::new(at_worker));
        }
        let (policy, attester) = (policy(), attester());
        let mut near = Link::new(at_customer);
        let works = workers.iter_mut().enumerate();
        let works: Vec<_> = works.map(|(number, link)| work(number, link)).collect();
        let both = async { tokio::try_join!(self.customer(&policy, &mut near), self.enclave(&attester, &mut links)) };
        let at_work = self.terms.at_work().len();
        let (network, _) = tokio::try_join!(both, try_join_all(works.into_iter().take(at_work)))?;
        Ok(network.0)
    }

    async fn honest(&self) -> Network {
        let work = async |_, link: &mut MemoryLink| worker(Limits::default(), link, &mut ignore()).await;
        self.run(work).await.unwrap()
    }

    /// The same training with nobody else.
    fn alone(&self) -> Network {
        let whole = Unsplit {
            network: network(),
            loss: Loss::CrossEntropy,
            train: &self.train,
            schedule: schedule(),
            shuffle: Shuffle { seed: SEED },
        };
        unsplit(whole).unwrap().0
    }
}

/// The largest difference of a weight.
fn difference(left: &Network, right: &Network) -> f32 {
    let pairs = left.parameters().into_iter().zip(right.parameters());
    let of_one = pairs.flat_map(|((_, left), (_, right))| (left - right).into_iter().map(f32::abs).collect::<Vec<_>>());
    of_one.fold(0.0, f32::max)
}

#[tokio::test]
async fn an_enclave_trains_what_one_machine_would() {
    for (blinding, workers, most) in [
        (Blinding::None, 1, 1e-5),
        (Blinding::None, 3, 1e-5),
        (Blinding::Permute { rekey_every: 2 }, 2, 1e-5),
        (Blinding::Masked, 3, 1e-3),
        (Blinding::Masked, 4, 1e-3),
    ] {
        let setting = Setting::new(blinding, workers);
        let trained = setting.honest().await;
        let alone = setting.alone();
        let difference = difference(&trained, &alone);
        assert!(difference < most, "{blinding:?} with {workers} workers: {difference}");
        // It has learnt something, and not what it began with.
        assert!(self::difference(&alone, &network()) > 100.0 * most);
    }
}

#[tokio::test]
async fn masked_products_are_the_same_whatever_the_masks_are() {
    let setting = Setting::new(Blinding::Masked, 3);
    let first = setting.honest().await;
    let other = Setting {
        identity: Identity::generate(party("vault")).unwrap().0,
        ..Setting::new(Blinding::Masked, 3)
    };
    assert_eq!(first.parameters(), other.honest().await.parameters());
}

#[test]
fn what_is_sealed_opens_under_its_key_job_and_name_only() {
    let seal = sealing::Seal::new(&[1; 32], &[2; 32]);
    let sealed = seal.seal("network", b"weights").unwrap();
    assert_eq!(&seal.open("network", &sealed).unwrap()[..], b"weights");
    assert_eq!(sealed, seal.seal("network", b"weights").unwrap());
    assert_ne!(sealed[..24], seal.seal("network", b"weighty").unwrap()[..24]);
    assert!(seal.open("other", &sealed).is_err());
    assert!(sealing::Seal::new(&[1; 32], &[3; 32]).open("network", &sealed).is_err());
    assert!(sealing::Seal::new(&[3; 32], &[2; 32]).open("network", &sealed).is_err());
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert!(seal.open("network", &bad).is_err(), "{at}");
        assert!(seal.open("network", &sealed[..at]).is_err(), "{at}");
    }
}

#[test]
fn every_party_is_told_what_others_learn() {
    let leaks = |blinding| Setting::new(blinding, 4).terms.leaks();
    let masked = leaks(Blinding::Masked);
    assert!(
        masked
            .iter()
            .any(|leak| leak.party == "w1, w2, w3" && leak.learns.contains("any two"))
    );
    assert!(masked.iter().all(|leak| leak.party != "w4"));
    assert!(
        masked
            .iter()
            .any(|leak| leak.party == "vault" && leak.learns.contains("simulated"))
    );
    assert!(
        leaks(Blinding::Permute { rekey_every: 1 })
            .iter()
            .any(|leak| leak.learns.contains("initial weights"))
    );
    assert!(
        leaks(Blinding::None)
            .iter()
            .any(|leak| leak.party == "w4" && leak.learns.contains("in the clear"))
    );
}
