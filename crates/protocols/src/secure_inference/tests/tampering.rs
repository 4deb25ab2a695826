//! Every kind of message, tampered with, is refused by its receiver with an error that says who, when, what; and what a user sees.

use std::collections::{BTreeMap, BTreeSet};

use cloven_wire::Message;
use futures_util::future::join_all;

use super::*;
use crate::{
    Ask,
    testing::{Frame, MemoryLink, all_ones, assert_says_it_all, header, tampered_header},
};

/// What each party was sent by each other one in an honest run: by (sender, receiver).
type Frames = BTreeMap<(Party, Party), Vec<Frame>>;

const USER: &str = "alice";

/// One party with its links, in the order of names.
async fn alone(setting: &Setting, me: &Party, x: &ArrayD<f32>, mut links: Vec<MemoryLink>) -> Result<(), ProtocolError> {
    let terms = &setting.terms;
    match terms.number(me) {
        None => {
            let me = User {
                roster: &setting.roster,
                secret: &[9; 32],
            };
            user(me, terms, x, &mut links[0], &mut |_| (), &mut ignore()).await
        }
        Some(0) => {
            let place = links.iter().position(|link| link.peer().as_str() == USER).unwrap();
            let mut users = links.remove(place);
            let (mut desk, mut requests) = desk();
            let work = Work {
                pool: 0,
                open_when_full: false,
                inferences: Some(x.len_of(ndarray::Axis(0)) as u64),
            };
            let (mut told, mut observe) = (ignore(), ignore());
            let first = setting.first.as_ref().map(|first| (first, &[8; 32]));
            let session = desk.serve(terms, first, &mut users, &mut observe);
            let servers = gateway(setting.server(0), terms, work, &mut links, &mut requests, &mut told);
            tokio::try_join!(session, servers).map(drop)
        }
        Some(number) => remote(setting.server(number), terms, &mut links, &mut ignore()).await,
    }
}

fn parties(setting: &Setting) -> Vec<Party> {
    let mut all: Vec<Party> = setting.terms.servers().cloned().chain([party(USER)]).collect();
    all.sort();
    all
}

fn connected(setting: &Setting, a: &Party, b: &Party) -> bool {
    let users = [a, b].iter().any(|party| party.as_str() == USER);
    !users || [a, b].contains(&&setting.terms.gateway)
}

async fn honest(setting: &Setting, x: &ArrayD<f32>) -> Frames {
    let names = parties(setting);
    let mut ends: BTreeMap<Party, BTreeMap<Party, MemoryLink>> = BTreeMap::new();
    let mut relays = Vec::new();
    for (i, a) in names.iter().enumerate() {
        for b in names[i + 1..].iter().filter(|b| connected(setting, a, b)) {
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
    let work = ends.into_iter().map(|(me, ends)| {
        let links: Vec<MemoryLink> = ends.into_values().collect();
        async move { alone(setting, &me, x, links).await }
    });
    let (outcome, frames) = tokio::join!(try_join_all(work), join_all(relays));
    outcome.unwrap();
    frames.into_iter().flatten().collect()
}

/// The error of `receiver` when `sender` sent `script` and everybody else was honest.
async fn against(
    setting: &Setting,
    x: &ArrayD<f32>,
    frames: &Frames,
    [sender, receiver]: [&Party; 2],
    script: &[Frame],
) -> Option<ProtocolError> {
    let mut links = BTreeMap::new();
    for other in parties(setting) {
        let Some(sent) = frames.get(&(other.clone(), receiver.clone())) else {
            continue;
        };
        let (peer, own) = memory::pair(other.clone(), receiver.clone());
        let sent = if other == *sender { script } else { sent };
        sent.iter().for_each(|frame| peer.send_raw(frame.clone()));
        links.insert(other, Link::new(own));
    }
    alone(setting, receiver, x, links.into_values().collect()).await.err()
}

#[tokio::test]
async fn every_tampered_message_is_refused() {
    let mut covered = BTreeSet::new();
    for setting in [Setting::small(Engine::Garbled), Setting::small_split()] {
        covered.extend(refused(&setting).await);
    }
    let missing: Vec<_> = MESSAGES.iter().filter(|(_, kind)| !covered.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Tampers with a message of every kind; the kinds.
async fn refused(setting: &Setting) -> BTreeSet<u8> {
    let x = setting.inputs(1);
    let frames = honest(setting, &x).await;
    let mut covered = BTreeSet::new();
    for ((sender, receiver), sent) in &frames {
        for (message, kind) in MESSAGES {
            let Some(first) = sent.iter().position(|frame| header(frame).kind == kind) else {
                continue;
            };
            let frame = &sent[first];
            let own = match kind {
                Meeting::KIND | RemoteKey::KIND | Command::KIND | Ask::KIND | ServerKeys::KIND => vec![all_ones(frame)],
                GatewayLayers::KIND | UserKey::KIND | UserActivation::KIND | UserStep::KIND => vec![all_ones(frame)],
                UserProduct::KIND if sender.as_str() == USER => vec![all_ones(frame)],
                // Masked words and boxes may be any bytes; what steps make of others is a test of theirs.
                _ => Vec::new(),
            };
            for (how, bad) in [tampered_header(frame), own].concat() {
                let script = [&sent[..first], &[bad]].concat();
                let case = format!("{message} from {sender} to {receiver}, {how}");
                let error = against(setting, &x, &frames, [sender, receiver], &script).await;
                match error {
                    Some(error) => assert_says_it_all(&case, &error, sender.as_str(), frame, &MESSAGES),
                    None => panic!("{case}: accepted"),
                }
            }
            covered.insert(kind);
        }
    }
    covered
}

#[tokio::test]
async fn steps_of_other_bytes_are_refused_by_name_or_pass_without_a_panic() {
    let mut refused = BTreeSet::new();
    for setting in [
        Setting::small(Engine::Boolean),
        Setting::small(Engine::Garbled),
        Setting::small_split(),
    ] {
        let x = setting.inputs(1);
        let frames = honest(&setting, &x).await;
        for ((sender, receiver), sent) in &frames {
            for place in 0..sent.len() {
                let (_, bad) = all_ones(&sent[place]);
                let script = [&sent[..place], &[bad], &sent[place + 1..]].concat();
                // The others' frames do not follow what this changes, but each of them is well formed: so an error is of this one.
                let Some(error) = against(&setting, &x, &frames, [sender, receiver], &script).await else {
                    continue;
                };
                let kind = header(&sent[place]).kind;
                let engine = setting.terms.engine;
                let case = format!("{engine:?}, message {place} from {sender} to {receiver}");
                assert_says_it_all(&case, &error, sender.as_str(), &sent[place], &MESSAGES);
                refused.insert(MESSAGES.iter().find(|(_, other)| *other == kind).unwrap().0);
            }
        }
    }
    for step in [
        KeyStep::NAME,
        WeightStep::NAME,
        TransferStep::NAME,
        ActivationPreparation::NAME,
        ActivationStep::NAME,
        SealedOutput::NAME,
    ] {
        assert!(refused.contains(step), "{step} is not in {refused:?}");
    }
}

#[tokio::test]
async fn what_a_user_sees_is_alike_for_networks_that_differ_in_depth_and_width() {
    // Behind layers of the gateway, and without such.
    for first in [0, 2] {
        let networks = [
            vec![dense(2)],
            vec![dense(30), LayerSpec::Relu {}, dense(7), LayerSpec::Relu {}, dense(2)],
        ];
        let mut views = Vec::new();
        for rest in networks {
            let layers = [vec![dense(5), LayerSpec::Relu {}][..first].to_vec(), rest].concat();
            views.push(users_view(ModelSpec { input: vec![4], layers }, first).await);
        }
        assert_eq!(views[0], views[1], "{first} layers of the gateway");
    }
}

/// Kinds, rounds and lengths of what a user receives and sends.
async fn users_view(network: ModelSpec, gateway_layers: usize) -> [Vec<(u8, u64, usize)>; 2] {
    let setting = Setting::of(network, (2, Engine::Boolean, Output::Scores), gateway_layers);
    let x = setting.inputs(3);
    let mut frames = honest(&setting, &x).await;
    let view = |frames: Vec<Frame>| -> Vec<(u8, u64, usize)> {
        let shape = |frame: &Frame| (header(frame).kind, header(frame).round, frame.len());
        frames.iter().map(shape).collect()
    };
    let received = view(frames.remove(&(party("gate"), party(USER))).unwrap());
    let sent = view(frames.remove(&(party(USER), party("gate"))).unwrap());
    // A signature's length is its own.
    [received[1..].to_vec(), sent]
}
