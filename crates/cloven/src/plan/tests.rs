use cloven_protocols::Schedule;

use super::{
    link::{Carriage, Line, Link, Size},
    pieces::{Kind, Workload, compose, cut},
    recorder::{Action, Mark, Noted, Step},
    replay::{Passed, Session, replay},
};

const FREE: f64 = 0.0;

fn link(line: Option<Line>) -> Link {
    Link {
        carriage: Carriage::free(),
        line,
    }
}

fn line(bytes_per_second: f64, delay: f64) -> Option<Line> {
    Some(Line { bytes_per_second, delay })
}

fn step(seconds: f64, action: Action) -> Step {
    Step { seconds, action }
}

const END: Action = Action::Mark(Mark::Epoch);

/// Client and server on one link.
fn two(client: &[Step], server: &[Step], link: &Link) -> [Passed; 2] {
    let sessions = [client, server].into_iter().enumerate();
    let sessions: Vec<_> = sessions
        .map(|(process, steps)| Session {
            process,
            peer: 1 - process,
            steps,
        })
        .collect();
    let passed = replay(&sessions, link, 2);
    [passed[0][0], passed[1][0]]
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "expected {b}, got {a}");
}

#[test]
fn parties_that_wait_for_each_other_take_turns() {
    let client = [step(2.0, Action::Send(100)), step(FREE, Action::Receive), step(1.0, END)];
    let server = [step(FREE, Action::Receive), step(3.0, Action::Send(100)), step(FREE, END)];
    let [client, server] = two(&client, &server, &link(None));
    close(client.at, 6.0);
    close(client.working, 3.0);
    close(server.at, 5.0);
    close(server.working, 3.0);
}

#[test]
fn work_after_sending_overlaps_the_other_party() {
    // The client works 4 s while the server works 3 s on what it was sent.
    let client = [step(2.0, Action::Send(1)), step(4.0, Action::Receive), step(1.0, END)];
    let server = [step(FREE, Action::Receive), step(3.0, Action::Send(1)), step(FREE, END)];
    let [client, _] = two(&client, &server, &link(None));
    close(client.at, 7.0);
}

#[test]
fn latency_counts_for_every_wait() {
    let rounds = 10;
    let client: Vec<Step> = (0..rounds)
        .flat_map(|_| [step(0.001, Action::Send(16)), step(FREE, Action::Receive)])
        .chain([step(FREE, END)])
        .collect();
    let server: Vec<Step> = (0..rounds)
        .flat_map(|_| [step(FREE, Action::Receive), step(0.002, Action::Send(16))])
        .chain([step(FREE, END)])
        .collect();
    let [client, _] = two(&client, &server, &link(line(f64::INFINITY, 0.025)));
    close(client.at, 10.0 * (0.003 + 0.05));
}

#[test]
fn a_narrow_line_carries_one_frame_after_the_other() {
    let bytes = 1_000_000;
    let client: Vec<Step> = (0..3)
        .map(|_| step(0.01, Action::Send(bytes)))
        .chain([step(FREE, END)])
        .collect();
    let server: Vec<Step> = (0..3).map(|_| step(FREE, Action::Receive)).chain([step(FREE, END)]).collect();
    let [client, server] = two(&client, &server, &link(line(1e6, 0.1)));
    // The sender is done long before the line is: 16 KiB records with 22 bytes each.
    close(client.at, 0.03);
    let frame = (bytes + 22 * bytes.div_ceil(1 << 14)) as f64 / 1e6;
    assert!((server.at - (0.01 + 3.0 * frame + 0.1)).abs() < 1e-3, "{}", server.at);
}

#[test]
fn a_sender_far_ahead_of_its_line_waits() {
    let bytes = 8 << 20;
    let client: Vec<Step> = (0..2)
        .map(|_| step(FREE, Action::Send(bytes)))
        .chain([step(FREE, END)])
        .collect();
    let server: Vec<Step> = (0..2).map(|_| step(FREE, Action::Receive)).chain([step(FREE, END)]).collect();
    let [client, server] = two(&client, &server, &link(line(1e6, FREE)));
    assert!(client.at > 10.0 && client.at < server.at, "{} {}", client.at, server.at);
}

#[test]
fn one_process_serves_its_sessions_in_turn() {
    let client = [step(1.0, Action::Send(1)), step(FREE, Action::Receive), step(FREE, END)];
    let server = [step(FREE, Action::Receive), step(2.0, Action::Send(1)), step(FREE, END)];
    let session = |process, peer, steps| Session { process, peer, steps };
    let sessions = [
        session(0, 2, &client[..]),
        session(1, 3, &client[..]),
        session(2, 0, &server[..]),
        session(2, 1, &server[..]),
    ];
    let ends = |cores| -> Vec<f64> {
        replay(&sessions, &link(None), cores)
            .iter()
            .map(|passed| passed[0].at)
            .collect()
    };
    // Both sessions are over when the second is.
    assert_eq!(ends(3), [3.0, 5.0, 5.0, 5.0]);
    // On one core the second client works after the first.
    assert_eq!(ends(1), [4.0, 6.0, 6.0, 6.0]);
}

#[test]
fn costs_of_a_frame_are_between_those_measured() {
    let size = |bytes, send| Size {
        bytes,
        send,
        over: 2.0 * send,
        take: send,
    };
    let carriage = Carriage {
        sizes: vec![size(100, 1.0), size(200, 2.0), size(400, 3.0)],
        wake: FREE,
        line: FREE,
    };
    let link = Link { carriage, line: None };
    for (bytes, expected) in [
        (50, 1.0),
        (100, 1.0),
        (150, 1.5),
        (200, 2.0),
        (300, 2.5),
        (400, 3.0),
        (600, 4.0),
    ] {
        let sent = link.send(10.0, bytes, &mut 0.0);
        close(sent.free, 10.0 + expected);
        close(sent.arrives, 10.0 + expected);
    }
}

/// A log of three epochs: 5 batches and a smaller one, a message at the end, 2 evaluation batches, settling. A frame's length says what it is.
fn log() -> Vec<Noted> {
    let mut log = vec![(Some(0), Action::Send(1)), (None, Action::Mark(Mark::Started))];
    let mut rounds = 1..;
    for _ in 1..=3 {
        let frames = [100, 101, 102, 101, 102, 103, 200, 300, 301, 400];
        for (frame, round) in frames.into_iter().zip(&mut rounds) {
            log.push((Some(round), Action::Send(frame)));
            log.push((Some(round), Action::Receive));
            match frame {
                200 => log.push((None, Action::Mark(Mark::Epoch))),
                301 => log.push((None, Action::Mark(Mark::Evaluated))),
                _ => (),
            }
        }
    }
    let noted = |(round, action)| Noted {
        round,
        step: step(1.0, action),
    };
    log.into_iter().map(noted).collect()
}

fn workload(epochs: u32, train_rows: usize) -> Workload {
    Workload {
        schedule: Schedule {
            epochs,
            batch: 4,
            evaluation_batch: 10,
            evaluate_every: 1,
            checkpoint_every: 2,
        },
        train_rows,
        test_rows: 13,
    }
}

#[test]
fn a_log_is_cut_into_pieces_and_put_together_again() {
    let (log, workload) = (log(), workload(3, 22));
    let pieces = cut(&log, &workload);
    let kinds: Vec<Kind> = pieces.keys().copied().collect();
    let expected = [
        Kind::Setup,
        Kind::FirstBatch,
        Kind::Batch,
        Kind::AfterCheckpoint,
        Kind::LastBatch,
        Kind::End,
        Kind::FirstEvaluation,
        Kind::LastEvaluation,
        Kind::Evaluated,
        Kind::Settle,
    ];
    assert_eq!(kinds, expected);
    let steps: Vec<Step> = log.iter().map(|noted| noted.step).collect();
    let again = compose(&pieces, &workload, 3, &|_| true, usize::MAX);
    // All but the settling of the last epoch.
    assert_eq!(again, steps[..steps.len() - 2]);
}

#[test]
fn a_longer_training_has_more_of_the_same_pieces() {
    let pieces = cut(&log(), &workload(3, 22));
    let long = compose(&pieces, &workload(2, 42), 2, &|epoch| epoch == 2, usize::MAX);
    let sent = |bytes| long.iter().filter(|step| step.action == Action::Send(bytes)).count();
    // 10 batches and a smaller one in each epoch; a checkpoint after every second.
    assert_eq!([100, 101, 102, 103, 200, 400].map(sent), [2, 10, 8, 2, 1, 1]);
    let marks = long.iter().filter(|step| matches!(step.action, Action::Mark(Mark::Epoch)));
    assert_eq!(marks.count(), 2, "an epoch ends also where the protocol has nothing to send");
}

#[test]
fn times_are_means_without_the_first_epoch_and_without_outliers() {
    let mut log = log();
    for (index, noted) in log.iter_mut().enumerate() {
        // The first epoch is slow.
        noted.step.seconds = if index < 24 { 100.0 } else { 1.0 };
    }
    let pieces = cut(&log, &workload(3, 22));
    assert!(
        pieces
            .iter()
            .all(|(kind, steps)| *kind == Kind::Setup || steps.iter().all(|step| step.seconds == 1.0)),
        "{pieces:?}"
    );
}
