//! No worker ever gets two shares of an operand, whoever fails, also over another connection.

use std::cell::RefCell;

use cloven_accel::{
    Words,
    job::{Step, Tensor, Worker},
    masked::{MAX_OPERAND, decode},
};

use super::*;

/// All shares that a worker got, in order.
type Got = RefCell<Vec<Vec<Words>>>;

/// An honest worker up to `jobs` jobs, which leaves then; it notes what it gets.
async fn noting(number: usize, jobs: u64, got: &Got, link: &mut MemoryLink) -> Result<(), ProtocolError> {
    let mut honest = Worker::new(Limits::default());
    for round in 1..=jobs {
        let WorkerJob(job) = link.receive(round, &(1 << 30)).await?;
        if job.0.is_empty() {
            break;
        }
        for step in &job.0 {
            if let Step::Put {
                tensor: Tensor::Words(share),
                ..
            } = step
            {
                got.borrow_mut()[number].push(share.clone());
            }
        }
        if round == jobs {
            break;
        }
        link.send(round, &WorkerAnswer(honest.run(job).unwrap())).await?;
    }
    link.abort(cloven_wire::AbortReason::Interrupted).await;
    Ok(())
}

/// What the workers of one share got, each share once: a spare gets some again.
fn of_share(share: usize, got: &[Vec<Words>]) -> Vec<&Words> {
    let mut all: Vec<&Words> = Vec::new();
    for number in (share..got.len()).step_by(3) {
        for one in &got[number] {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all
}

/// Whatever workers of number 1, 2 and 0 modulo three got is shares 1, 2 and 3 of the same operands, and of each operand no other share.
fn assert_shares(got: &[Vec<Words>], operands: usize) {
    let [first, second, third] = [0, 1, 2].map(|share| of_share(share, got));
    assert_eq!([first.len(), second.len(), third.len()], [operands; 3]);
    for ((first, second), third) in first.into_iter().zip(second).zip(third) {
        // Of shares of degree 1 the decoding of products gives the operand; of shares in another order numbers of any size.
        let decoded = decode([first, second, third], 0).unwrap();
        let largest = decoded.integers().values().iter().map(|value| value.unsigned_abs()).max();
        assert!(f64::from(largest.unwrap()) <= MAX_OPERAND as f64, "{largest:?}");
    }
}

#[tokio::test]
async fn a_worker_gets_one_share_of_every_operand_for_ever() {
    let setting = Setting::new(Blinding::Masked, 7);
    let honest = setting.honest().await;
    // Of one training: three operands each of five products in six batches, two each in four evaluations.
    let operands = 6 * 5 * 3 + 4 * 5 * 2;
    // After how many jobs each leaves; the first three and the seventh, which comes after the fourth, are not there the second time.
    for (leaving, there) in [
        ([4, 17, 30, 7, 100, 100, 100], [true; 7]),
        ([8, 8, 8, 1, 100, 100, 100], [true; 7]),
        ([100; 7], [false, false, false, true, true, true, false]),
        ([40, 100, 100, 22, 100, 100, 100], [true, false, true, true, true, true, true]),
    ] {
        let got: Got = RefCell::new(vec![Vec::new(); 7]);
        let work = async |number: usize, link: &mut MemoryLink| noting(number, leaving[number], &got, link).await;
        let (trained, _) = setting.run_with(|number| there[number], work).await;
        assert_eq!(trained.unwrap().parameters(), honest.parameters());
        assert_shares(&got.into_inner(), operands);
    }
}
