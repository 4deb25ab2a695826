//! Workers that lie, stall or leave; enclaves that are not what the customer wants.

use cloven_accel::{
    Matrices, Residues,
    job::{Answer, Job, Tensor, Worker},
};
use cloven_wire::WireError;

use super::*;

/// A worker that changes a number of its answer to job `at`.
async fn lie(at: u64, link: &mut MemoryLink) -> Result<(), ProtocolError> {
    let mut honest = Worker::new(Limits::default());
    for round in 1.. {
        let WorkerJob(bytes) = link.receive(round, &(1 << 30)).await?;
        if bytes.is_empty() {
            break;
        }
        let mut answer = honest.run(Job::decode(&bytes).unwrap()).unwrap();
        if round == at {
            answer = spoilt(answer);
        }
        link.send(round, &WorkerAnswer(answer.encode())).await?;
    }
    Ok(())
}

fn spoilt(mut answer: Answer) -> Answer {
    let last = answer.0.pop().unwrap();
    answer.0.push(match last {
        Tensor::Residues(residues) => {
            let mut values = residues.values().to_vec();
            values[0] = if values[0] == 1 { 2 } else { 1 };
            Tensor::Residues(Residues::new(residues.shape(), values).unwrap())
        }
        Tensor::Floats(floats) => {
            let mut values = floats.values().to_vec();
            values[0] += 1.0;
            Tensor::Floats(Matrices::new(floats.shape(), values).unwrap())
        }
    });
    answer
}

#[tokio::test]
async fn a_worker_that_lies_is_named() {
    for blinding in [Blinding::Masked, Blinding::Permute { rekey_every: 1 }, Blinding::None] {
        let setting = Setting::new(blinding, 3);
        // In the first forward pass, and on the way back.
        for at in [1, 4, 7, 9] {
            let work = async |number: usize, link: &mut MemoryLink| match number {
                1 => lie(at, link).await,
                _ => worker(Limits::default(), link, &mut ignore()).await,
            };
            let error = setting.run(work).await.err().unwrap();
            let ProtocolError::Wire(WireError::Malformed { party, round, .. }) = &error else {
                panic!("{blinding:?}, {at}: {error}")
            };
            assert_eq!((party.as_str(), *round), ("w2", at), "{blinding:?}: {error}");
            assert!(error.to_string().contains("the product of the operands of"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_worker_that_leaves_is_named() {
    let setting = Setting::new(Blinding::Masked, 3);
    let work = async |number: usize, link: &mut MemoryLink| match number {
        2 => {
            let WorkerJob(_) = link.receive(1, &(1 << 30)).await?;
            link.abort(cloven_wire::AbortReason::Internal).await;
            Ok(())
        }
        _ => worker(Limits::default(), link, &mut ignore()).await,
    };
    let error = setting.run(work).await.err().unwrap();
    assert!(error.to_string().contains("w3"), "{error}");
}

#[tokio::test]
async fn too_few_workers_are_refused() {
    let setting = Setting::new(Blinding::Masked, 2);
    let work = async |_, link: &mut MemoryLink| worker(Limits::default(), link, &mut ignore()).await;
    let error = setting.run(work).await.err().unwrap();
    assert!(error.to_string().contains("needs 3 workers, the job has 2"), "{error}");
}

/// What the customer says to an enclave with this attester, and what it had sent by then.
async fn refused(policy: &Policy, attester: &Attester, sessions: [[u8; 32]; 2]) -> (String, u64) {
    let setting = Setting::new(Blinding::None, 1);
    let (near, far) = memory::pair(party("clinic"), party("vault"));
    let (mut near, mut far) = (
        Link::new(near.with_session(sessions[0])),
        Link::new(far.with_session(sessions[1])),
    );
    let own = setting.identity.certificate.clone();
    let (result, _) = tokio::join!(setting.customer(policy, &mut near), async {
        let given = attestation::give(attester, own.as_der(), &mut far).await;
        // The customer leaves.
        drop(far);
        given
    });
    (result.err().unwrap().to_string(), near.traffic().sent)
}

#[tokio::test]
async fn nothing_but_a_nonce_leaves_a_customer_that_does_not_accept_the_enclave() {
    let simulated = |measurement, debug| {
        Attester::Simulated(Simulated {
            measurement: Digest(measurement),
            debug,
        })
    };
    let same = [[1; 32]; 2];
    for (attester, sessions, expected) in [
        (simulated([8; 48], false), same, "measurement"),
        (simulated(MEASUREMENT, true), same, "debug"),
        // Evidence of another session, as somebody in between would relay it.
        (simulated(MEASUREMENT, false), [[1; 32], [2; 32]], "report data"),
    ] {
        let (error, sent) = refused(&policy(), &attester, sessions).await;
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(sent < 100, "{expected}: {sent} bytes");
    }
}
