//! Workers that lie, stall or leave are named, and the training goes on without them.

use std::time::Duration;

use cloven_accel::{
    Matrices, Words,
    job::{Answer, Tensor, Worker},
};
use cloven_wire::{AbortReason, DecodeError, Message, Reader, WireError};

use super::*;

/// What a worker does at a job, which it has received.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Another number in its answer.
    Lie,
    /// No answer, and no end.
    Stall,
    /// It leaves.
    Die,
    /// An answer that cannot be read.
    Garbage,
    /// An answer to something else.
    OtherShape,
}

const FAULTS: [Fault; 5] = [Fault::Lie, Fault::Stall, Fault::Die, Fault::Garbage, Fault::OtherShape];

/// What an answer is not.
struct Unreadable;

impl Message for Unreadable {
    const KIND: u8 = WorkerAnswer::KIND;
    const NAME: &'static str = WorkerAnswer::NAME;
    type Expect = ();

    fn max_len((): &()) -> usize {
        7
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([1; 7]);
    }

    fn decode(_: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// An honest worker up to job `at`.
async fn fail(fault: Fault, at: u64, link: &mut MemoryLink) -> Result<(), ProtocolError> {
    let mut honest = Worker::new(Limits::default());
    for round in 1.. {
        let WorkerJob(job) = link.receive(round, &(1 << 30)).await?;
        if job.0.is_empty() {
            break;
        }
        let mut answer = honest.run(job).unwrap();
        match fault {
            _ if round != at => (),
            Fault::Lie => answer = spoilt(answer),
            Fault::Stall => {
                while link.channel_mut().receive_raw().await.is_some() {}
                return Ok(());
            }
            Fault::Die => {
                link.abort(AbortReason::Internal).await;
                return Ok(());
            }
            Fault::Garbage => {
                link.send(round, &Unreadable).await?;
                continue;
            }
            Fault::OtherShape => drop(answer.0.pop()),
        }
        link.send(round, &WorkerAnswer(answer)).await?;
    }
    Ok(())
}

fn spoilt(mut answer: Answer) -> Answer {
    let last = answer.0.pop().unwrap();
    answer.0.push(match last {
        Tensor::Words(words) => {
            let mut values = words.values().to_vec();
            values[0] = if values[0] == 1 { 2 } else { 1 };
            Tensor::Words(Words::new(Matrices::new(words.shape(), values).unwrap()).unwrap())
        }
        Tensor::Floats(floats) => {
            let mut values = floats.values().to_vec();
            values[0] += 1.0;
            Tensor::Floats(Matrices::new(floats.shape(), values).unwrap())
        }
    });
    answer
}

/// The first forward pass, a later product of it, the way back, another batch, the evaluation (after three batches of ten jobs), the second epoch.
const PLACES: [u64; 6] = [1, 4, 7, 13, 33, 45];

/// Whoever waits for the enclave waits less long than the enclave does for a worker, and hears of it meanwhile.
const DEADLINES: BothDeadlines = (deadlines(20, 30), deadlines(30, 20));

const fn deadlines(message: u64, peer: u64) -> Deadlines {
    Deadlines {
        message: Duration::from_secs(message),
        total: Duration::from_secs(600),
        peer: Duration::from_secs(peer),
    }
}

impl Setting {
    /// Workers of these numbers fail so, the others are honest.
    async fn failing(&self, faults: &[(usize, Fault, u64)]) -> (Result<Network, ProtocolError>, Vec<(String, String)>) {
        let work = async |number: usize, link: &mut MemoryLink| match faults.iter().find(|(who, ..)| *who == number) {
            Some((_, fault, at)) => fail(*fault, *at, link).await,
            None => worker(Worker::new(Limits::default()), link, &mut ignore()).await,
        };
        self.run(work).await
    }
}

fn stalling(blinding: Blinding, workers: usize) -> Setting {
    Setting {
        deadlines: Some(DEADLINES),
        ..Setting::new(blinding, workers)
    }
}

fn says(fault: Fault) -> &'static str {
    match fault {
        Fault::Lie => "expected the product of the operands of",
        Fault::Stall => "deadline passed",
        Fault::Die => "stopped the run",
        Fault::Garbage => "expected products that were asked for",
        Fault::OtherShape => "expected products of shapes",
    }
}

#[tokio::test(start_paused = true)]
async fn a_spare_takes_the_share_of_a_worker_that_fails() {
    let setting = stalling(Blinding::Masked, 6);
    let honest = setting.honest().await;
    for fault in FAULTS {
        for (at, who) in PLACES.into_iter().zip([0, 1, 2].into_iter().cycle()) {
            let (trained, dropped) = setting.failing(&[(who, fault, at)]).await;
            let name = format!("w{}", who + 1);
            let [(party, why)] = &dropped[..] else { panic!("{dropped:?}") };
            assert!(*party == name && why.contains(says(fault)), "{fault:?} at {at}: {dropped:?}");
            // One that says itself that it leaves does so in no round.
            assert!(fault == Fault::Die || why.contains(&format!("round {at}")), "{why}");
            assert_eq!(trained.unwrap().parameters(), honest.parameters(), "{fault:?} at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rest_do_the_work_of_a_worker_that_fails() {
    for blinding in [Blinding::Permute { rekey_every: 2 }, Blinding::None] {
        let setting = stalling(blinding, 3);
        let honest = setting.honest().await;
        for fault in FAULTS {
            for (at, who) in PLACES.into_iter().zip([0, 1, 2].into_iter().cycle()) {
                let (trained, dropped) = setting.failing(&[(who, fault, at)]).await;
                let name = format!("w{}", who + 1);
                assert!(
                    matches!(&dropped[..], [(party, why)] if *party == name && why.contains(says(fault))),
                    "{blinding:?}, {fault:?} at {at}: {dropped:?}"
                );
                let difference = difference(&trained.unwrap(), &honest);
                assert!(difference < 1e-5, "{blinding:?}, {fault:?} at {at}: {difference}");
            }
        }
    }
}

/// A worker leaves at every single job of the training.
#[tokio::test]
async fn whenever_a_worker_leaves_the_rest_go_on() {
    let masked = Setting::new(Blinding::Masked, 4);
    let honest = masked.honest().await;
    for at in 1..=6 * 10 + 4 * 5 {
        let (trained, dropped) = masked.failing(&[(0, Fault::Die, at)]).await;
        assert_eq!(trained.unwrap().parameters(), honest.parameters(), "{at}");
        assert_eq!(dropped.len(), 1, "{at}: {dropped:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_workers_that_fail() {
    let masked = stalling(Blinding::Masked, 7);
    let honest = masked.honest().await;
    // At once; one after the other; a spare after the one whose place it took, at its first job.
    for faults in [
        [(0, Fault::Stall, 7), (2, Fault::Lie, 7)],
        [(1, Fault::Die, 4), (0, Fault::Stall, 33)],
        [(0, Fault::Die, 8), (3, Fault::Lie, 1)],
    ] {
        let (trained, dropped) = masked.failing(&faults).await;
        assert_eq!(dropped.len(), 2, "{dropped:?}");
        assert_eq!(trained.unwrap().parameters(), honest.parameters(), "{faults:?}");
    }
    let floats = stalling(Blinding::None, 3);
    let honest = floats.honest().await;
    for faults in [
        [(0, Fault::Lie, 7), (1, Fault::Die, 7)],
        [(2, Fault::Stall, 3), (0, Fault::Lie, 8)],
        // The second while it does the work of the first.
        [(1, Fault::Lie, 2), (0, Fault::Stall, 3)],
    ] {
        let (trained, dropped) = floats.failing(&faults).await;
        assert_eq!(dropped.len(), 2, "{dropped:?}");
        let difference = difference(&trained.unwrap(), &honest);
        assert!(difference < 1e-5, "{faults:?}: {difference}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_spare_the_run_stops_and_says_so() {
    // The fourth has the share of the first only.
    for (workers, faults, names) in [
        (3, vec![(1, Fault::Lie, 7)], "w2"),
        (4, vec![(1, Fault::Stall, 4)], "w2"),
        (4, vec![(0, Fault::Die, 4), (3, Fault::Lie, 2)], "w1, then w4"),
    ] {
        let (trained, dropped) = stalling(Blinding::Masked, workers).failing(&faults).await;
        assert_eq!(dropped.len(), faults.len(), "{dropped:?}");
        let error = trained.err().unwrap();
        assert!(matches!(error, ProtocolError::NoWorker { .. }), "{error}");
        let (share, text) = (faults[0].0 + 1, error.to_string());
        assert!(
            text.contains(&format!("no spare worker is left for share {share}, which {names} had")),
            "{text}"
        );
        assert!(text.contains(&dropped.last().unwrap().1), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_any_worker_the_run_stops_and_says_so() {
    for blinding in [Blinding::Permute { rekey_every: 1 }, Blinding::None] {
        let faults = [(0, Fault::Lie, 3), (1, Fault::Stall, 9), (2, Fault::Die, 9)];
        let (trained, dropped) = stalling(blinding, 3).failing(&faults).await;
        assert_eq!(dropped.len(), 3, "{dropped:?}");
        let error = trained.err().unwrap();
        assert!(matches!(error, ProtocolError::NoWorker { .. }), "{error}");
        assert!(error.to_string().ends_with("no worker is left"), "{error}");
    }
}

#[tokio::test]
async fn a_worker_that_is_not_connected_has_failed() {
    let honest = async |_, link: &mut MemoryLink| worker(Worker::new(Limits::default()), link, &mut ignore()).await;
    let setting = Setting::new(Blinding::Masked, 5);
    let (trained, dropped) = setting.run_with(|number| number != 1, honest).await;
    assert_eq!(trained.unwrap().parameters(), setting.honest().await.parameters());
    assert!(dropped[0].0 == "w2" && dropped[0].1.contains("not connected"), "{dropped:?}");
    let (trained, _) = setting.run_with(|number| number != 2, honest).await;
    assert!(trained.err().unwrap().to_string().contains("share 3, which w3 had"));
}

#[tokio::test]
async fn without_the_customer_the_run_stops() {
    let setting = Setting::new(Blinding::None, 2);
    let (near, far) = memory::pair(party("clinic"), party("vault"));
    let mut links = vec![Link::new(far)];
    let (policy, attester) = (policy(), attester());
    let mut observe = |event: Event| match event {
        // The customer leaves in the second epoch.
        Event::Batch { epoch: 2, .. } => Err(Halted { why: "enough".into() }),
        _ => Ok(()),
    };
    let mut workers = Vec::new();
    for name in ["w1", "w2"] {
        let (at_worker, at_enclave) = memory::pair(party(name), party("vault"));
        links.push(Link::new(at_enclave));
        workers.push(Link::new(at_worker));
    }
    let left = async {
        let mut near = Link::new(near);
        let me = setting.bring(&policy);
        customer(me, setting.task(), &mut near, &mut observe).await.err().unwrap()
    };
    let serves = async {
        let mut links = links;
        setting
            .enclave(&attester, schedule().into(), &mut links, &mut ignore())
            .await
            .err()
            .unwrap()
    };
    let works = join_all(
        workers
            .iter_mut()
            .map(async |link| worker(Worker::new(Limits::default()), link, &mut ignore()).await),
    );
    let (_, error, works) = tokio::join!(left, serves, works);
    assert!(
        matches!(&error, ProtocolError::Wire(WireError::Closed { party, .. }) if party.as_str() == "clinic"),
        "{error}"
    );
    assert!(works.iter().all(Result::is_err));
}
