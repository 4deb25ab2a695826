use super::*;
use crate::Local;
use cloven_accel::{
    Kind, Shape, Words,
    job::{Answer, Job, Step, Tensor},
    residue_products,
};
use cloven_protocols::enclave::{WorkerAnswer, WorkerJob};
use cloven_wire::{Party, memory};

#[test]
fn accelerators_are_named_in_local_toml() {
    let read = |text: &str| toml::from_str::<Local>(text);
    let cases = [
        ("cpu", Accelerator::Cpu),
        ("wgpu", Accelerator::Wgpu(None)),
        ("wgpu:12", Accelerator::Wgpu(Some(12))),
        ("cuda:0", Accelerator::Cuda(Some(0))),
    ];
    for (text, expected) in cases {
        let local = read(&format!("accelerator = \"{text}\"")).unwrap();
        assert_eq!(local.accelerator, expected);
        assert_eq!(String::from(expected), text);
        assert_eq!(read(&toml::to_string(&local).unwrap()).unwrap(), local);
    }
    assert_eq!(read("").unwrap().accelerator, Accelerator::Cpu);
    for text in ["gpu", "cpu:0", "wgpu:", "cuda:-1", "wgpu:one", ""] {
        let error = read(&format!("accelerator = \"{text}\"")).unwrap_err().to_string();
        assert!(error.contains(&format!("\"wgpu:1\" or \"cuda\", got {text:?}")), "{error}");
    }
}

#[test]
fn what_is_not_there_is_a_sentence() {
    for accelerator in [Accelerator::Wgpu(Some(1000)), Accelerator::Cuda(Some(1000))] {
        let error = accelerator.open(Limits::default()).err().unwrap().to_string();
        assert!(error.starts_with("accelerator: "), "{error}");
    }
}

/// A product over a link, by every device that is here.
#[tokio::test]
async fn workers_answer_on_every_device() {
    let share = |seed: i32| {
        let integers: Vec<i32> = (0..20).map(|i| i * 1_234_567 + seed).collect();
        Words::of_integers(Shape::matrix(4, 5).unwrap(), &integers).unwrap()
    };
    let product = residue_products(Kind::WeightGradient, &share(1).residues(), &share(2).residues()).unwrap();
    let expected = Answer(vec![Tensor::Words(Words::of_residues(&product).unwrap())]);
    let put = |slot| Step::Put {
        slot,
        tensor: Tensor::Words(share(slot as i32)),
    };
    let product = Step::Product {
        kind: Kind::WeightGradient,
        left: 1,
        right: 2,
        keep: None,
    };
    let job = Job(vec![put(1), put(2), product]);
    let devices = Accelerator::available();
    println!("{devices:?}");
    for (accelerator, name) in devices {
        let worker = accelerator.open(Limits::default()).unwrap();
        assert_eq!(worker.device_name(), name);
        let [worker_name, enclave_name] = ["worker", "vault"].map(|name| name.parse::<Party>().unwrap());
        let (at_worker, at_enclave) = memory::pair(worker_name, enclave_name);
        let (mut at_worker, mut at_enclave) = (Link::new(at_worker), Link::new(at_enclave));
        let mut events = 0;
        let mut observe = |_| {
            events += 1;
            Ok(())
        };
        let asks = async {
            at_enclave.send(1, &WorkerJob(job.clone())).await.unwrap();
            let WorkerAnswer(answer) = at_enclave.receive(1, &(1 << 20)).await.unwrap();
            at_enclave.send(2, &WorkerJob(Job(Vec::new()))).await.unwrap();
            answer
        };
        let (computed, answer) = tokio::join!(worker.compute(&mut at_worker, &mut observe), asks);
        computed.unwrap();
        assert_eq!(answer, expected, "{name}");
        assert_eq!(events, 1, "a job");
    }
}
