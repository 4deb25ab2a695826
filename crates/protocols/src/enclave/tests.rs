//! The ladder: training against unsplit training, several blindings; attestation is in `faults`, workers that fail in `survivors`, which share reaches
//! whom in `assignment`, killed parties in `resume`, weights that stay at workers in `in_place`, images instead of windows in `windows`.

mod assignment;
mod faults;
mod in_place;
mod resume;
mod survivors;
mod tampering;
mod windows;

use std::time::SystemTime;

use cloven_accel::job::{Limits, Worker};
use cloven_attest::{Attester, Digest, Policy, Requirement, Simulated, SimulatedPolicy};
use cloven_nn::{LayerSpec, Loss, ModelSpec, Network, OptimiserSpec};
use cloven_wire::{Deadlines, Link, Party, memory, tcp::Identity};
use futures_util::future::{Either, join_all};
use ndarray::ArrayD;
use zeroize::Zeroizing;

use self::tampering::Tap;
use super::*;
use crate::{
    Event, Examples, Halted, Leak, Observe, ProtocolError, Schedule, Service, Shuffle, Task,
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
        checkpoint_every: 2,
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

/// What a run came to, by party.
struct Outcome {
    customer: Result<Network, ProtocolError>,
    enclave: Result<(), ProtocolError>,
    workers: Vec<(usize, Result<(), ProtocolError>)>,
    /// The workers that were dropped, with reasons.
    dropped: Vec<(String, String)>,
}

/// Deadlines of whoever waits for the enclave, and of the enclave.
type BothDeadlines = (Deadlines, Deadlines);

struct Setting {
    terms: Terms,
    /// None: nobody's wait has an end.
    deadlines: Option<BothDeadlines>,
    /// What all messages pass through.
    tap: Option<Tap>,
    identity: Identity,
    train: Examples,
    test: Examples,
}

impl Setting {
    fn new(blinding: Blinding, workers: usize) -> Self {
        let names = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"];
        Self {
            terms: Terms {
                customer: party("clinic"),
                enclave: party("vault"),
                workers: names[..workers].iter().map(|name| party(name)).collect(),
                blinding,
                simulated: true,
            },
            deadlines: None,
            tap: None,
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
        customer(self.bring(policy), self.task(), link, &mut ignore()).await
    }

    fn bring<'a>(&'a self, policy: &'a Policy) -> Customer<'a> {
        Customer {
            network: network(),
            policy: (policy, SystemTime::now()),
            certificate: self.identity.certificate.as_der(),
            nonce: [3; 32],
            sealing_key: Zeroizing::new([4; 32]),
        }
    }

    async fn enclave(
        &self,
        attester: &Attester,
        service: Service<'_>,
        links: &mut [MemoryLink],
        observe: &mut Observe<'_>,
    ) -> Result<(), ProtocolError> {
        let me = Enclave {
            identity: &self.identity,
            attester,
            network: network(),
            loss: Loss::CrossEntropy,
            job: [6; 32],
            secret: &[8; 32],
        };
        enclave(me, &self.terms, service, links, observe).await
    }

    /// Two ends, and what has to run for them to be connected.
    fn wire(&self, outer: &Party) -> (MemoryLink, MemoryLink, impl Future<Output = ()>) {
        let inner = &self.terms.enclave;
        let deadlines = |channel: memory::MemoryChannel, of: fn(BothDeadlines) -> Deadlines| {
            Link::new(match self.deadlines {
                Some(both) => channel.with_deadlines(of(both)),
                None => channel,
            })
        };
        let (at_outer, to_outer) = memory::pair(outer.clone(), inner.clone());
        let Some(tap) = &self.tap else {
            let ends = (deadlines(at_outer, |both| both.0), deadlines(to_outer, |both| both.1));
            return (ends.0, ends.1, Either::Left(std::future::ready(())));
        };
        let (to_inner, at_inner) = memory::pair(outer.clone(), inner.clone());
        let ends = (deadlines(at_outer, |both| both.0), deadlines(at_inner, |both| both.1));
        let relay = tap.relay(outer.to_string(), to_outer, to_inner);
        (ends.0, ends.1, Either::Right(relay))
    }

    /// All parties; the workers by `work`, and none that is not `there`.
    async fn outcome(
        &self,
        there: impl Fn(usize) -> bool,
        work: impl AsyncFn(usize, &mut MemoryLink) -> Result<(), ProtocolError>,
    ) -> Outcome {
        let (near, at_enclave, relay) = self.wire(&self.terms.customer);
        let (mut links, mut relays, mut workers) = (vec![at_enclave], vec![relay], Vec::new());
        for (number, worker) in self.terms.workers.iter().enumerate().filter(|(number, _)| there(*number)) {
            let (at_worker, at_enclave, relay) = self.wire(worker);
            links.push(at_enclave);
            relays.push(relay);
            workers.push((number, at_worker));
        }
        let (policy, attester) = (policy(), attester());
        let work = &work;
        // Whoever is done closes its links, so that everybody ends.
        let works = workers
            .into_iter()
            .map(async |(number, mut link)| (number, work(number, &mut link).await));
        let customer = async {
            let mut near = near;
            self.customer(&policy, &mut near).await
        };
        let mut dropped = Vec::new();
        let enclave = async {
            let (mut links, dropped) = (links, &mut dropped);
            let mut observe = |event| {
                if let Event::WorkerDropped { party, why } = event {
                    dropped.push((party.to_string(), why));
                }
                Ok(())
            };
            self.enclave(&attester, schedule().into(), &mut links, &mut observe).await
        };
        let (customer, enclave, workers, _) = tokio::join!(customer, enclave, join_all(works), join_all(relays));
        Outcome {
            customer,
            enclave,
            workers,
            dropped,
        }
    }

    /// The network, and the workers that were dropped, with reasons.
    async fn run_with(
        &self,
        there: impl Fn(usize) -> bool,
        work: impl AsyncFn(usize, &mut MemoryLink) -> Result<(), ProtocolError>,
    ) -> (Result<Network, ProtocolError>, Vec<(String, String)>) {
        let outcome = self.outcome(there, work).await;
        (outcome.enclave.and(outcome.customer), outcome.dropped)
    }

    async fn run(
        &self,
        work: impl AsyncFn(usize, &mut MemoryLink) -> Result<(), ProtocolError>,
    ) -> (Result<Network, ProtocolError>, Vec<(String, String)>) {
        self.run_with(|_| true, work).await
    }

    async fn honest(&self) -> Network {
        let work = async |_, link: &mut MemoryLink| worker(Worker::new(Limits::default()), link, &mut ignore()).await;
        let (trained, dropped) = self.run(work).await;
        assert_eq!(dropped, []);
        trained.unwrap()
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
    let says =
        |leaks: &[Leak], party: &str, what: &str| leaks.iter().any(|leak| leak.party == party && leak.learns.contains(what));
    let masked = leaks(Blinding::Masked);
    // The fourth has the share of the first, should that fail.
    assert!(says(&masked, "w1 or w4, w2, w3", "any two"));
    assert!(says(&masked, "w4", "unless w1 fails"));
    assert!(says(&masked, "w3", "no sample, label, weight or gradient"));
    assert!(says(&masked, "vault", "simulated"));
    assert!(says(&leaks(Blinding::Permute { rekey_every: 1 }), "w4", "initial weights"));
    assert!(says(&leaks(Blinding::None), "w4", "in the clear"));
}
