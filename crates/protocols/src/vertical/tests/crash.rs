//! Whatever message is the last before a crash, the training goes on from checkpoints to the same weights.

use std::cell::Cell;

use tokio::sync::Notify;

use super::*;
use crate::testing::crash::Disk;

/// A mesh whose wires are cut after `frames` messages; with the relays that carry them.
struct Wires {
    ends: BTreeMap<Party, Vec<MemoryLink>>,
    outer: Vec<(memory::MemoryChannel, memory::MemoryChannel)>,
}

fn wires(names: &[Party]) -> Wires {
    let (mut ends, mut outer): (BTreeMap<Party, BTreeMap<Party, MemoryLink>>, _) = (BTreeMap::new(), Vec::new());
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let ((at_a, to_a), (to_b, at_b)) = (memory::pair(a.clone(), b.clone()), memory::pair(a.clone(), b.clone()));
            ends.entry(a.clone()).or_default().insert(b.clone(), Link::new(at_a));
            ends.entry(b.clone()).or_default().insert(a.clone(), Link::new(at_b));
            outer.push((to_a, to_b));
        }
    }
    let ends = ends
        .into_iter()
        .map(|(party, ends)| (party, ends.into_values().collect()))
        .collect();
    Wires { ends, outer }
}

async fn until_cut(
    terms: &Terms,
    rows: [&Examples; 2],
    frames: usize,
    kept: &Kept<'_>,
) -> (Result<Outcome, ProtocolError>, usize) {
    let Wires { ends, outer } = wires(&parties(terms));
    let (passed, cut) = (Cell::new(0), Notify::new());
    let relays = outer.into_iter().map(async |(one, other)| {
        while passed.get() < frames {
            tokio::select! {
                biased;
                () = cut.notified() => return,
                frame = one.receive_raw() => match frame {
                    Some(frame) => other.send_raw(frame),
                    None => return,
                },
                frame = other.receive_raw() => match frame {
                    Some(frame) => one.send_raw(frame),
                    None => return,
                },
            }
            passed.set(passed.get() + 1);
        }
        cut.notify_waiters();
    });
    let (outcome, _) = tokio::join!(train(terms, rows, ends, kept), join_all(relays));
    (outcome, passed.get())
}

fn same(a: &Outcome, b: &Outcome) -> bool {
    a.shares == b.shares && a.hidden.parameters() == b.hidden.parameters() && a.tail.parameters() == b.tail.parameters()
}

#[tokio::test]
async fn every_crash_is_survived() {
    let (train_rows, test_rows) = (pooled(11, 7), pooled(4, 7));
    let rows = [&train_rows, &test_rows];
    let all = jobs();
    // Shared and open gradient with a dealer, no protection, both kinds of encryption, the activation on shares, a coordinator.
    for (terms, cases) in [
        (&all[1], 16),
        (&all[2], 16),
        (&all[3], 16),
        (&all[6], 8),
        (&all[8], 4),
        (&all[10], 4),
        (&all[15], 16),
    ] {
        let keepers: Vec<Party> = terms.holders().cloned().chain([terms.server.clone()]).collect();
        let disks = || {
            keepers
                .iter()
                .map(|party| (party.clone(), Disk::default()))
                .collect::<BTreeMap<_, _>>()
        };
        let first = disks();
        let views: Kept<'_> = first
            .iter()
            .map(|(party, disk)| (party.clone(), (disk as &dyn Keep, false)))
            .collect();
        let (undisturbed, messages) = until_cut(terms, rows, usize::MAX, &views).await;
        let undisturbed = undisturbed.unwrap();
        assert!(first.values().all(|disk| disk.complete.get()));

        let mut resumed = 0;
        for case in 0..cases {
            let disks = disks();
            let views: Kept<'_> = disks
                .iter()
                .map(|(party, disk)| (party.clone(), (disk as &dyn Keep, false)))
                .collect();
            let mut attempt = 0;
            loop {
                let frames: usize = match attempt {
                    0..3 => 1 + (case * 7919 + attempt * 104_729) % (messages - 1),
                    _ => usize::MAX,
                };
                match until_cut(terms, rows, frames, &views).await.0 {
                    Ok(outcome) => {
                        assert!(same(&outcome, &undisturbed), "case {case}, attempt {attempt}");
                        break;
                    }
                    Err(error) => assert!(attempt < 3, "case {case}: {error}"),
                }
                attempt += 1;
            }
            resumed += usize::from(disks.values().any(|disk| disk.loads.get() > 0));
        }
        assert!(2 * resumed > cases, "{resumed} of {cases} runs went on from a checkpoint");

        // Complete: everybody finds its last state with no wire at all.
        let alone: Kept<'_> = first
            .iter()
            .map(|(party, disk)| (party.clone(), (disk as &dyn Keep, true)))
            .collect();
        let without = Terms {
            dealer: None,
            coordinator: None,
            ..terms.clone()
        };
        let (outcome, passed) = until_cut(&without, rows, 0, &alone).await;
        assert!(same(&outcome.unwrap(), &undisturbed) && passed == 0);
    }
}
