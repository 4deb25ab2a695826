mod faults;
mod keys;
mod layers;
mod tampering;

use std::cell::{Cell, RefCell};

use cloven_nn::{
    LayerSpec, ModelSpec, Network,
    fixed_point::{Ending, FixedModel, ModelShare},
};
use cloven_wire::{
    Link, Party, memory,
    tcp::{Identity, Roster},
};
use futures_util::future::try_join_all;
use ndarray::ArrayD;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{Event, Halted, LayerBytes, ProtocolError};

const RING_BITS: u32 = 32;
const FRACTION_BITS: u32 = 10;

/// Servers, shares of a network for them, and a user.
struct Setting {
    terms: Terms,
    model: FixedModel,
    shares: Vec<ModelShare>,
    /// The gateway's layers in the clear.
    first: Option<FirstLayers>,
    identities: Vec<Identity>,
    roster: Roster,
    /// What the gateway takes for the terms' limit of revealed numbers, if not the same as the others.
    lax: Option<u64>,
    /// How often the gateway has met the others.
    met: Cell<usize>,
    /// Inferences prepared before the first was answered.
    ahead: Cell<usize>,
    /// Bytes that all servers sent to prepare and to answer, from one event to the next, and what they say of layers.
    sent: Cell<[u64; 2]>,
    layers: RefCell<Vec<LayerBytes>>,
}

fn party(name: &str) -> Party {
    name.parse().unwrap()
}

fn dense(outputs: usize) -> LayerSpec {
    LayerSpec::Dense { outputs, bias: true }
}

fn conv(channels: usize, kernel: usize, padding: usize) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel,
        stride: 1,
        padding,
        bias: true,
    }
}

/// Every kind of step: convolutions, a residual block, both poolings, dense layers.
fn network() -> ModelSpec {
    let pool = LayerSpec::MaxPool2d {
        size: 2,
        stride: None,
        padding: 0,
    };
    let average = LayerSpec::AvgPool2d { size: 2, stride: None };
    let block = LayerSpec::Residual {
        body: vec![conv(2, 3, 1), LayerSpec::Relu {}, conv(2, 3, 1)],
        shortcut: Vec::new(),
    };
    ModelSpec {
        input: vec![1, 8, 8],
        layers: vec![
            conv(2, 3, 1),
            LayerSpec::Relu {},
            pool,
            block,
            LayerSpec::Relu {},
            average,
            LayerSpec::Flatten {},
            dense(6),
            LayerSpec::Relu {},
            dense(4),
        ],
    }
}

impl Setting {
    fn new(remotes: usize, engine: Engine, output: Output) -> Self {
        Self::of(network(), (remotes, engine, output), 0)
    }

    /// The gateway has the first layers in the clear; all where there are no other servers.
    fn split(layers: usize, remotes: usize, output: Output) -> Self {
        Self::of(network(), (remotes, Engine::Boolean, output), layers)
    }

    /// Two dense layers.
    fn small(engine: Engine) -> Self {
        let spec = ModelSpec {
            input: vec![4],
            layers: vec![dense(3), LayerSpec::Relu {}, dense(2)],
        };
        Self::of(spec, (2, engine, Output::Scores), 0)
    }

    /// Two dense layers, of which the gateway has the first with its ReLU in the clear.
    fn small_split() -> Self {
        let spec = ModelSpec {
            input: vec![4],
            layers: vec![dense(3), LayerSpec::Relu {}, dense(2)],
        };
        Self::of(spec, (2, Engine::Boolean, Output::Scores), 2)
    }

    fn of(spec: ModelSpec, (remotes, engine, output): (usize, Engine, Output), gateway_layers: usize) -> Self {
        let network = Network::new(&spec, 0..spec.layers.len(), 3).unwrap();
        let ending = match output {
            Output::Scores => Ending::Scores,
            Output::ArgMax => Ending::ArgMax,
        };
        let convert = || FixedModel::convert(&spec, &network.parameters(), RING_BITS, FRACTION_BITS, ending).unwrap();
        let share = |model: &FixedModel| model.share(remotes + 1, &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        let (clear, shares) = match (remotes, gateway_layers) {
            (0, _) => (Some(convert()), Vec::new()),
            (_, 0) => (None, share(&convert())),
            (_, layers) => {
                let (first, rest) = convert().split(layers).unwrap();
                (Some(first), share(&rest))
            }
        };
        let names = ["gate", "east", "north", "west"];
        let identities: Vec<Identity> = names[..=remotes]
            .iter()
            .map(|name| Identity::generate(party(name)).unwrap().0)
            .collect();
        let mut roster = Roster::default();
        for identity in &identities {
            roster.pin(identity.party.clone(), identity.certificate.clone());
        }
        let terms = Terms {
            gateway: party("gate"),
            remotes: names[1..=remotes].iter().map(|name| party(name)).collect(),
            inputs: spec.input.iter().product(),
            outputs: spec.shapes().unwrap().last().unwrap()[0],
            ring_bits: RING_BITS,
            fraction_bits: FRACTION_BITS,
            score_bits: 2 * FRACTION_BITS,
            output,
            engine,
            gateway_layers,
            revealed: Terms::REVEALED,
            job: [7; 32],
        };
        Self {
            first: clear.map(|clear| FirstLayers::new(&clear, &terms).unwrap()),
            terms,
            model: convert(),
            shares,
            identities,
            roster,
            lax: None,
            met: Cell::new(0),
            ahead: Cell::new(0),
            sent: Cell::default(),
            layers: RefCell::default(),
        }
    }

    fn inputs(&self, rows: usize) -> ArrayD<f32> {
        let shape = [&[rows], &self.model.structure().input[..]].concat();
        let number = |at: &[usize]| at.iter().zip([31, 5, 7, 13]).map(|(at, factor)| at * factor).sum::<usize>();
        ArrayD::from_shape_fn(shape, |at| (number(ndarray::Dimension::slice(&at)) % 17) as f32 / 8.0 - 1.0)
    }

    fn server(&self, number: usize) -> Server<'_> {
        const SECRETS: [[u8; 32]; 4] = [[40; 32], [41; 32], [42; 32], [43; 32]];
        Server {
            identity: &self.identities[number],
            model: &self.shares[number],
            secret: &SECRETS[number],
        }
    }

    /// The exact outputs in the clear.
    fn expected(&self, x: &ArrayD<f32>) -> Vec<Vec<f32>> {
        let samples = self.model.quantise(x).unwrap();
        let outputs = samples.iter().map(|sample| self.model.evaluate(sample).unwrap());
        match self.terms.output {
            Output::Scores => outputs.map(|output| self.model.scores(&output).unwrap()).collect(),
            Output::ArgMax => outputs.map(|output| vec![output[0] as f32]).collect(),
        }
    }

    /// Adds up what a server has sent.
    fn counted(&self) -> impl FnMut(Event) -> Result<(), Halted> {
        let mut before = 0;
        move |event| {
            let mut add = |place: usize, now: u64| {
                let mut sent = self.sent.get();
                sent[place] += now - std::mem::replace(&mut before, now);
                self.sent.set(sent);
            };
            match event {
                Event::Prepared { traffic, .. } => add(0, traffic.sent),
                Event::Answered { traffic, .. } => add(1, traffic.sent),
                Event::Working { traffic } | Event::Met { traffic } => before = traffic.sent,
                Event::Layers { layers } => self.layers.borrow_mut().extend(layers),
                _ => (),
            }
            Ok(())
        }
    }

    /// All servers, and users with these inputs at the same time; what each user is told.
    async fn run(&self, pool: usize, users: &[ArrayD<f32>]) -> Result<Vec<Vec<Vec<f32>>>, ProtocolError> {
        let servers = self.identities.len();
        let mut links: Vec<Vec<Link<_>>> = (0..servers).map(|_| Vec::new()).collect();
        for a in 0..servers {
            for b in a + 1..servers {
                let (first, second) = memory::pair(self.identities[a].party.clone(), self.identities[b].party.clone());
                links[a].push(Link::new(first));
                links[b].push(Link::new(second));
            }
        }
        let (desk, mut requests) = desk();
        let mut links = links.into_iter();
        let mut gateway_links = links.next().unwrap();
        let work = Work {
            pool,
            open_when_full: pool > 1,
            inferences: None,
        };
        let mut count = self.counted();
        let mut answered = false;
        let mut told = |event| {
            self.met.set(self.met.get() + usize::from(matches!(event, Event::Met { .. })));
            answered |= matches!(event, Event::Answered { .. });
            let ahead = !answered && matches!(event, Event::Prepared { .. });
            self.ahead.set(self.ahead.get() + usize::from(ahead));
            count(event)
        };
        let lax = Terms {
            revealed: self.lax.unwrap_or(self.terms.revealed),
            ..self.terms.clone()
        };
        let gateway = async {
            if self.shares.is_empty() {
                requests.open_alone();
                return Ok(());
            }
            let (me, links) = (self.server(0), &mut gateway_links);
            gateway(me, &lax, work, links, &mut requests, &mut told).await
        };
        let remotes = links.enumerate().map(|(number, mut links)| async move {
            remote(self.server(number + 1), &self.terms, &mut links, &mut self.counted()).await
        });
        let sessions = users.iter().enumerate().map(|(number, x)| {
            let (at_user, at_gateway) = memory::pair(party("alice"), party("gate"));
            let mut desk = desk.clone();
            async move {
                let mut answers = Vec::new();
                let me = User {
                    roster: &self.roster,
                    secret: &[number as u8 + 90; 32],
                };
                let (mut near, mut far) = (Link::new(at_user), Link::new(at_gateway));
                let mut take = |answer| answers.push(answer);
                let mut told = ignore();
                let asks = user(me, &self.terms, x, &mut near, &mut take, &mut told);
                let mut observe = ignore();
                let secret = [number as u8 + 150; 32];
                let first = self.first.as_ref().map(|first| (first, &secret));
                tokio::try_join!(asks, desk.serve(&self.terms, first, &mut far, &mut observe))?;
                Ok::<_, ProtocolError>(answers)
            }
        });
        let sessions: Vec<_> = sessions.collect();
        let users = async {
            let answers = try_join_all(sessions).await;
            drop(desk);
            answers
        };
        let ((), _, answers) = tokio::try_join!(gateway, try_join_all(remotes), users)?;
        Ok(answers)
    }
}

fn ignore() -> impl FnMut(Event) -> Result<(), Halted> {
    |_| Ok(())
}

#[tokio::test]
async fn users_are_told_exactly_what_the_fixed_point_network_gives() {
    for (remotes, engine, output) in [
        (2, Engine::Boolean, Output::Scores),
        (2, Engine::BooleanLowDepth, Output::ArgMax),
        (2, Engine::Garbled, Output::Scores),
        (2, Engine::Garbled, Output::ArgMax),
        (3, Engine::Boolean, Output::ArgMax),
        (3, Engine::Garbled, Output::Scores),
    ] {
        let setting = Setting::new(remotes, engine, output);
        let x = setting.inputs(2);
        let answers = setting.run(1, std::slice::from_ref(&x)).await.unwrap();
        assert_eq!(
            answers[0],
            setting.expected(&x),
            "{remotes} remote servers, {engine:?}, {output:?}"
        );
    }
}

#[tokio::test]
async fn layers_of_the_gateway_change_no_answer() {
    // After a convolution, in front of and behind a residual block, before and after a pooling; all.
    for (layers, remotes, output) in [
        (1, 2, Output::Scores),
        (2, 2, Output::ArgMax),
        (4, 3, Output::Scores),
        (6, 2, Output::Scores),
        (9, 2, Output::ArgMax),
        (0, 0, Output::Scores),
        (0, 0, Output::ArgMax),
    ] {
        let setting = Setting::split(layers, remotes, output);
        let x = setting.inputs(2);
        let answers = setting.run(1, std::slice::from_ref(&x)).await.unwrap();
        assert_eq!(
            answers[0],
            setting.expected(&x),
            "{layers} layers, {remotes} remote servers, {output:?}"
        );
    }
}

#[tokio::test]
async fn several_users_are_answered_at_the_same_time_with_and_without_a_pool() {
    let setting = Setting::new(2, Engine::Boolean, Output::Scores);
    let all = setting.inputs(5);
    let users = [0..2, 2..3, 3..5].map(|rows| all.slice_axis(ndarray::Axis(0), ndarray::Slice::from(rows)).to_owned());
    for pool in [0, 3] {
        setting.ahead.set(0);
        let answers = setting.run(pool, &users).await.unwrap();
        assert_eq!(answers.concat(), setting.expected(&all), "a pool of {pool}");
        // Users came when the pool was full.
        assert_eq!(setting.ahead.get(), pool.max(1));
    }
}
