//! Weights that stay at the workers.

use std::{collections::BTreeMap, sync::Mutex};

use cloven_accel::job::{Job, Step, Tensor};
use cloven_nn::{
    InputGradient,
    offload::{self, LocalProducts, Matrices, OffloadedNetwork, ProductKind},
};

use super::*;

/// What a worker was sent, and what it had in the end.
#[derive(Default)]
struct Seen {
    /// By product, after how many of its forward products weights were sent.
    weights: BTreeMap<u32, Vec<usize>>,
    forward: BTreeMap<u32, usize>,
    held: BTreeMap<u32, Tensor>,
}

impl Seen {
    fn look(&mut self, job: &Job) {
        for step in &job.0 {
            match step {
                // X comes with every product forward.
                Step::Put { slot, .. } if slot % SLOTS == 0 => *self.forward.entry(slot / SLOTS).or_default() += 1,
                Step::Put { slot, .. } if slot % SLOTS == 1 => {
                    let number = slot / SLOTS;
                    let forward = self.forward.get(&number).copied().unwrap_or_default();
                    self.weights.entry(number).or_default().push(forward);
                }
                _ => (),
            }
        }
    }
}

/// A training whose workers are looked at.
async fn seen(blinding: Blinding, workers: usize) -> (Network, Vec<Seen>) {
    let setting = Setting::new(blinding, workers);
    let all: Vec<Mutex<Seen>> = (0..workers).map(|_| Mutex::default()).collect();
    let work = async |number: usize, link: &mut MemoryLink| {
        let mut honest = Worker::new(Limits::default());
        for round in 1.. {
            let WorkerJob(job) = link.receive(round, &(1 << 30)).await?;
            if job.0.is_empty() {
                break;
            }
            all[number].lock().unwrap().look(&job);
            link.send(round, &WorkerAnswer(honest.run(job).unwrap())).await?;
        }
        let mut seen = all[number].lock().unwrap();
        for product in 0..5 {
            let slot = SLOTS * product + 1;
            if let Ok(answer) = honest.run(Job(vec![Step::Read { slot }])) {
                seen.held.extend(answer.0.into_iter().map(|tensor| (product, tensor)));
            }
        }
        Ok(())
    };
    let (trained, dropped) = setting.run(work).await;
    assert!(dropped.is_empty());
    (
        trained.unwrap(),
        all.into_iter().map(|seen| seen.into_inner().unwrap()).collect(),
    )
}

/// W of all products of a network.
struct Weights(Vec<Matrices>);

impl offload::Products for Weights {
    type Error = cloven_nn::ModelError;

    async fn multiply(&mut self, jobs: Vec<offload::Job>) -> Result<Vec<Matrices>, Self::Error> {
        let forward = jobs.iter().filter(|job| job.kind == ProductKind::Forward);
        self.0.extend(forward.map(|job| (*job.right).clone()));
        jobs.iter().map(LocalProducts::product).collect()
    }
}

async fn weights(network: Network) -> Vec<Matrices> {
    let mut weights = Weights(Vec::new());
    let network = OffloadedNetwork::new(network, InputGradient::NotWanted);
    network.forward(&mut weights, &examples(2).x).await.unwrap();
    weights.0
}

/// Two epochs of three batches and two batches of evaluation.
const FORWARD: usize = 2 * (3 + 2);

#[tokio::test]
async fn one_worker_is_sent_weights_once_and_ends_with_those_of_the_enclave() {
    let (trained, seen) = seen(Blinding::None, 1).await;
    let weights = weights(trained).await;
    assert_eq!(weights.len(), 5);
    for (number, weights) in weights.into_iter().enumerate() {
        let number = number as u32;
        assert_eq!((&seen[0].weights[&number][..], seen[0].forward[&number]), (&[0][..], FORWARD));
        let Tensor::Floats(held) = &seen[0].held[&number] else {
            panic!("words")
        };
        assert_eq!(held.values(), weights.values(), "{number}");
    }
}

#[tokio::test]
async fn weights_are_sent_again_with_new_keys_only() {
    // Steps 1 to 3, evaluation, steps 4 to 6, evaluation; new keys after steps 2, 4 and 6. Those of an evaluation stay nowhere.
    let (_, seen) = seen(Blinding::Permute { rekey_every: 2 }, 1).await;
    for (number, sent) in &seen[0].weights {
        assert_eq!(sent, &[0, 2, 6, 8, 9], "{number}");
    }
    let (_, every_time) = self::seen(Blinding::Permute { rekey_every: 1 }, 1).await;
    for sent in every_time[0].weights.values() {
        assert_eq!(sent, &(0..FORWARD).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_is_cut_stays_and_what_is_not_does_not() {
    let (_, seen) = seen(Blinding::None, 3).await;
    let sent: Vec<Vec<usize>> = seen
        .iter()
        .map(|seen| seen.weights.values().map(Vec::len).collect())
        .collect();
    let once = (0..5)
        .filter(|number| sent.iter().all(|of_worker| of_worker[*number] == 1))
        .count();
    // Small batches have no rows for some.
    let every_time = (0..5).filter(|number| sent[0][*number] == FORWARD).count();
    assert!(once > 0 && every_time > 0 && once + every_time == 5, "{sent:?}");
}
