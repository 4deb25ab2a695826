//! Trainings in an enclave in this process, with workers that record.

use std::time::SystemTime;

use cloven_accel::job::{Limits, Worker};
use cloven_attest::{Attester, Digest, Policy, Requirement, Simulated, SimulatedPolicy};
use cloven_audit::Finding;
use cloven_nn::{BatchTargets, LayerSpec, Loss, ModelSpec, Network, OptimiserSpec};
use cloven_protocols::{
    Event, Examples, Halted, Schedule, Shuffle, Task,
    enclave::{Blinding, Customer, Enclave, Terms, customer, enclave, worker},
};
use cloven_wire::{
    Link, memory,
    recording::{Limits as RecordingLimits, Recorder},
    tcp::Identity,
};
use futures_util::future::try_join_all;
use ndarray::Axis;

use super::*;

const JOB: [u8; 32] = [6; 32];
const SHUFFLE: Shuffle = Shuffle { seed: 5 };
const BATCH: usize = 48;

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn ignore() -> impl FnMut(Event) -> Result<(), Halted> {
    |_| Ok(())
}

/// Two dense layers and a convolution before them.
fn network() -> Network {
    let layers = vec![
        LayerSpec::Conv2d {
            channels: 12,
            kernel: 3,
            stride: 1,
            padding: 1,
            bias: true,
        },
        LayerSpec::Relu {},
        LayerSpec::Flatten {},
        LayerSpec::Dense { outputs: 24, bias: true },
        LayerSpec::Relu {},
        LayerSpec::Dense { outputs: 3, bias: true },
    ];
    let spec = ModelSpec {
        input: vec![2, 4, 4],
        layers,
    };
    let optimiser = OptimiserSpec::Sgd {
        learning_rate: 0.05,
        momentum: 0.9,
        weight_decay: 0.0,
        schedule: Default::default(),
    };
    let network = Network::new(&spec, 0..spec.layers.len(), 5).unwrap();
    network.with_optimiser(optimiser).unwrap()
}

fn examples(rows: usize) -> Examples {
    let x = ArrayD::from_shape_fn(vec![rows, 2, 4, 4], |at| {
        let number = at[0] * 31 + at[1] * 57 + at[2] * 13 + at[3] * 7;
        (number as f32 * 0.7).sin()
    });
    let classes = (0..rows).map(|row| row as u32 % 3).collect();
    Examples {
        x,
        targets: BatchTargets::Classes(classes),
    }
}

fn schedule() -> Schedule {
    Schedule {
        epochs: 1,
        batch: BATCH,
        evaluation_batch: 16,
        evaluate_every: 1,
        checkpoint_every: 0,
    }
}

fn path(folder: &Path, name: &str) -> std::path::PathBuf {
    Record::path(folder, &party(name))
}

/// A whole training; every worker records into the folder.
async fn recorded(folder: &Path, blinding: Blinding, workers: usize) {
    std::fs::create_dir_all(path(folder, "w1").parent().unwrap()).unwrap();
    let terms = Terms {
        customer: party("clinic"),
        enclave: party("vault"),
        workers: ["w1", "w2", "w3"][..workers].iter().map(|name| party(name)).collect(),
        blinding,
        simulated: true,
    };
    let measurement = Digest([7; 48]);
    let policy = Policy::new(Requirement::Simulated(SimulatedPolicy { measurement })).unwrap();
    let attester = Attester::Simulated(Simulated {
        measurement,
        debug: false,
    });
    let identity = Identity::generate(party("vault")).unwrap().0;
    let (at_customer, at_enclave) = memory::pair(party("clinic"), party("vault"));
    let (mut near, mut links, mut far) = (Link::new(at_customer), vec![Link::new(at_enclave)], Vec::new());
    let limits = RecordingLimits {
        bytes: 1 << 26,
        rounds: None,
    };
    for name in &terms.workers {
        let (at_worker, at_enclave) = memory::pair(name.clone(), party("vault"));
        links.push(Link::new(at_enclave));
        let recorder = Recorder::create(&Record::path(folder, name), name, &JOB, limits).unwrap();
        far.push((Link::new(at_worker).recorded(Some(recorder.clone())), recorder));
    }
    let (train, test) = (examples(2 * BATCH), examples(8));
    let task = Task {
        train: &train,
        test: &test,
        subsets: &[],
        loss: Loss::CrossEntropy,
        class_weights: None,
        schedule: schedule(),
        shuffle: SHUFFLE,
        clients: 1,
        keep: None,
        alone: false,
    };
    let at_clinic = Customer {
        network: network(),
        policy: (&policy, SystemTime::now()),
        certificate: identity.certificate.as_der(),
        nonce: [3; 32],
        sealing_key: [4; 32].into(),
    };
    let at_vault = Enclave {
        identity: &identity,
        attester: &attester,
        network: network(),
        loss: Loss::CrossEntropy,
        job: JOB,
        secret: &[8; 32],
    };
    let work = far
        .iter_mut()
        .map(async |(link, _)| worker(Worker::new(Limits::default()), link, &mut ignore()).await);
    let (mut at_one, mut at_other) = (ignore(), ignore());
    tokio::try_join!(
        customer(at_clinic, task, &mut near, &mut at_one),
        enclave(at_vault, &terms, schedule().into(), &mut links, &mut at_other),
        try_join_all(work)
    )
    .unwrap();
    for (_, recorder) in &far {
        recorder.finish().unwrap();
    }
}

fn beginning() -> Beginning {
    let order = SHUFFLE.order(1, 2 * BATCH);
    Beginning {
        network: network(),
        batch: examples(2 * BATCH).x.select(Axis(0), &order[..BATCH]),
    }
}

fn audited(folder: &Path) -> Result<BTreeMap<Party, PartyAudit>, Error> {
    parties(folder, JOB, &["w1", "w2", "w3"].map(party), beginning())
}

fn targets(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.target.as_str()).collect()
}

const TARGETS: [&str; 7] = [
    "weights 0.weight",
    "features 0.weight",
    "inputs",
    "weights 3.weight",
    "features 3.weight",
    "weights 5.weight",
    "features 5.weight",
];

#[tokio::test]
async fn permuted_and_open_products_give_everything_to_every_worker() {
    for blinding in [Blinding::Permute { rekey_every: 1 }, Blinding::None] {
        let folder = tempfile::tempdir().unwrap();
        recorded(folder.path(), blinding, 2).await;
        let audits = audited(folder.path()).unwrap();
        assert_eq!(audits.keys().map(Party::as_str).collect::<Vec<_>>(), ["w1", "w2"]);
        for (party, PartyAudit { recording, audit }) in audits {
            assert_eq!(recording, "everything that was received is recorded");
            assert_eq!(targets(&audit.findings), TARGETS);
            for finding in &audit.findings {
                assert!(finding.value == 1.0 && finding.succeeded, "{blinding:?} {party}: {finding:?}");
            }
            // Half of the windows of the first batch.
            assert_eq!(audit.rows, BATCH * 16 / 2);
            assert!(audit.not_tried.is_empty(), "{:?}", audit.not_tried);
        }
    }
}

#[tokio::test]
async fn of_shares_nothing_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    recorded(folder.path(), Blinding::Masked, 3).await;
    let audits = audited(folder.path()).unwrap();
    assert_eq!(audits.len(), 3);
    for (party, PartyAudit { audit, .. }) in audits {
        assert_eq!(targets(&audit.findings), TARGETS);
        for finding in &audit.findings {
            assert!(!finding.succeeded && finding.value <= finding.bound, "{party}: {finding:?}");
        }
        assert_eq!(audit.findings[2].value, 0.0, "{party}: a row of the samples");
        assert!(audit.not_tried[0].contains("two workers"), "{:?}", audit.not_tried);
    }
}

#[tokio::test]
async fn recordings_of_something_else_are_refused_and_short_ones_say_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(audited(folder.path()).unwrap().is_empty());
    recorded(folder.path(), Blinding::None, 1).await;
    let refused = |job, beginning| {
        parties(folder.path(), job, &[party("w1")], beginning)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    assert!(refused([0; 32], beginning()).contains("w1's view of this run's job"));
    let spec = ModelSpec {
        input: vec![2, 4, 4],
        layers: vec![LayerSpec::Flatten {}, LayerSpec::Dense { outputs: 24, bias: true }],
    };
    let other = Beginning {
        network: Network::new(&spec, 0..2, 5).unwrap(),
        ..beginning()
    };
    assert!(refused(JOB, other).contains("weights 1.weight of 32 x 24"));

    let file = path(folder.path(), "w1");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..200]).unwrap();
    let audit = &audited(folder.path()).unwrap()[&party("w1")];
    assert!(audit.recording.contains("cut"));
    assert!(
        audit.audit.findings.is_empty() && audit.audit.not_tried.len() == 4,
        "{:?}",
        audit.audit.not_tried
    );
    // The first step's kind, after head, tag, names, kind, round, length and count.
    let at = 8 + 2 + 3 + 32 + 1 + 6 + 1 + "products to compute".len() + 1 + 8 + 4 + 4;
    let mut damaged = whole;
    damaged[at] = 9;
    std::fs::write(&file, damaged).unwrap();
    let error = audited(folder.path()).map(drop).unwrap_err().to_string();
    assert!(error.contains("products to compute of round 1"), "{error}");
}
