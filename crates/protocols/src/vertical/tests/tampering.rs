//! Every kind of message, tampered with, is refused by its receiver with an error that says who, when, what.

use std::collections::BTreeSet;

use cloven_wire::Message;

use super::*;
use crate::vertical::msg::*;

/// What each party was sent by each other one in an honest run: by (sender, receiver).
type Frames = BTreeMap<(Party, Party), Vec<Frame>>;

async fn honest(terms: &Terms, rows: [&Examples; 2]) -> Frames {
    let names = parties(terms);
    let mut ends: BTreeMap<Party, BTreeMap<Party, MemoryLink>> = BTreeMap::new();
    let mut relays = Vec::new();
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let ((at_a, to_a), (to_b, at_b)) = (memory::pair(a.clone(), b.clone()), memory::pair(a.clone(), b.clone()));
            ends.entry(a.clone()).or_default().insert(b.clone(), Link::new(at_a));
            ends.entry(b.clone()).or_default().insert(a.clone(), Link::new(at_b));
            relays.push(async move {
                let mut frames = [Vec::new(), Vec::new()];
                loop {
                    tokio::select! {
                        Some(frame) = to_a.receive_raw() => { to_b.send_raw(frame.clone()); frames[0].push(frame); }
                        Some(frame) = to_b.receive_raw() => { to_a.send_raw(frame.clone()); frames[1].push(frame); }
                        else => break,
                    }
                }
                let [of_a, of_b] = frames;
                [((a.clone(), b.clone()), of_a), ((b.clone(), a.clone()), of_b)]
            });
        }
    }
    let ends = ends
        .into_iter()
        .map(|(party, ends)| (party, ends.into_values().collect()))
        .collect();
    let kept = Kept::new();
    let (outcome, frames) = tokio::join!(train(terms, rows, ends, &kept), join_all(relays));
    outcome.unwrap();
    frames.into_iter().flatten().collect()
}

/// The error of `receiver` when `sender` sent `script` and everybody else was honest.
async fn against(
    terms: &Terms,
    rows: [&Examples; 2],
    frames: &Frames,
    sender: &Party,
    receiver: &Party,
    script: &[Frame],
) -> ProtocolError {
    let mut links = BTreeMap::new();
    for other in parties(terms).into_iter().filter(|other| other != receiver) {
        let (peer, own) = memory::pair(other.clone(), receiver.clone());
        let sent = if other == *sender {
            script
        } else {
            &frames[&(other.clone(), receiver.clone())]
        };
        sent.iter().for_each(|frame| peer.send_raw(frame.clone()));
        links.insert(other, Link::new(own));
    }
    let links = links.into_values().collect();
    let (outcome, _) = alone_and_keep(terms, rows, receiver, links).await;
    outcome.expect_err("the tampered message was accepted")
}

#[tokio::test]
async fn every_tampered_message_is_refused() {
    let (train_rows, test_rows) = (pooled(5, 7), pooled(3, 7));
    let rows = [&train_rows, &test_rows];
    let all = jobs();
    let mut covered = BTreeSet::new();
    // Shared and open gradient, with a label holder without columns and one of three; no protection; encryption; the activation on shares; a coordinator.
    for terms in [&all[1], &all[2], &all[3], &all[6], &all[8], &all[12], &all[15]] {
        let frames = honest(terms, rows).await;
        for ((sender, receiver), sent) in &frames {
            for (message, kind) in MESSAGES {
                let Some(first) = sent.iter().position(|frame| header(frame).kind == kind) else {
                    continue;
                };
                let frame = &sent[first];
                let own = match kind {
                    Hidden::KIND | HiddenGradient::KIND | PlainOutput::KIND | PlainGradient::KIND => tampered_tensor(frame),
                    crate::Start::KIND | crate::Begin::KIND | Work::KIND | Positions::KIND => tampered_counts(frame),
                    crate::Settled::KIND | crate::AllSettled::KIND => vec![all_ones(frame)],
                    // The first step of the activation is a point.
                    ReceiverKey::KIND | EncryptedOperand::KIND | ActivationStep::KIND => vec![all_ones(frame)],
                    // Any words are possible shares, any bytes a seed.
                    _ => Vec::new(),
                };
                for (how, bad) in [tampered_header(frame), own].concat() {
                    let script = [&sent[..first], &[bad]].concat();
                    let error = against(terms, rows, &frames, sender, receiver, &script).await;
                    let case = format!("{message} from {sender} to {receiver}, {how}");
                    assert_says_it_all(&case, &error, sender.as_str(), frame, &MESSAGES);
                }
                covered.insert(kind);
            }
        }
    }
    let elsewhere = [
        SetSize::KIND,
        AlignmentStep::KIND,
        ReceiverKey::KIND,
        EncryptedOperand::KIND,
        EncryptedProduct::KIND,
    ];
    let missing: Vec<_> = MESSAGES
        .iter()
        .filter(|(_, kind)| !covered.contains(kind) && !elsewhere.contains(kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
