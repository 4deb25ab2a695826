//! The test ladder of `vertical`: the same network as on pooled data, kills, tampering, what messages hide, alignment.

use std::collections::BTreeMap;

use cloven_mpc::shares::{FixedPoint, Matrix, reconstruct};
use cloven_nn::{BatchTargets, LayerSpec, Loss, ModelSpec, Network};
use cloven_wire::{Direction, Link, Party, memory};
use futures_util::future::join_all;
use ndarray::{Array2, ArrayD, Axis, Ix2, IxDyn, concatenate, s};

use super::*;
use crate::{Event, Examples, Keep, ProtocolError, Service, Shuffle, plain, testing::*};

mod alignment;
mod crash;
mod tampering;

const WIDTH: usize = 5;
const SECRETS: [u8; 5] = [11, 12, 13, 14, 15];

/// The holders' columns, by name; the label holder is the last name given, with columns or not.
pub(super) fn terms(columns: &[(&str, usize)], label_holder: &str, dealer: bool) -> Terms {
    Terms {
        columns: columns.iter().map(|(name, count)| (party(name), *count)).collect(),
        label_holder: party(label_holder),
        server: party("server"),
        coordinator: None,
        dealer: dealer.then(|| party("dealer")),
        width: WIDTH,
        first_layer: FirstLayer::Shares,
        private_activation: false,
        activation_circuit: ActivationCircuit::default(),
        gradient: Gradient::Shared,
        public_weights: None,
        schedule: schedule(),
        shuffle: Shuffle { seed: SEED },
        optimiser: sgd(0.2),
        job: [7; 32],
    }
}

pub(super) fn model(features: usize) -> ModelSpec {
    let dense = |outputs| LayerSpec::Dense { outputs, bias: true };
    ModelSpec {
        input: vec![features],
        layers: vec![dense(WIDTH), LayerSpec::Relu {}, dense(4), LayerSpec::Relu {}, dense(1)],
    }
}

pub(super) fn layers(features: usize, range: std::ops::Range<usize>) -> Network {
    Network::new(&model(features), range, SEED)
        .unwrap()
        .with_optimiser(sgd(0.2))
        .unwrap()
}

/// The first layer of the pooled network, `[features + 1, width]`.
pub(super) fn first_layer(network: &Network) -> Array2<f32> {
    let parameters: BTreeMap<String, ArrayD<f32>> = network.parameters().into_iter().collect();
    let weight = parameters["0.weight"].clone().into_dimensionality::<Ix2>().unwrap();
    let bias = parameters["0.bias"].clone().into_shape_with_order((1, WIDTH)).unwrap();
    concatenate(Axis(0), &[weight.t(), bias.view()]).unwrap()
}

/// Pooled rows with labels that depend on all columns.
pub(super) fn pooled(rows: usize, features: usize) -> Examples {
    let mut state = 9u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let x = ArrayD::from_shape_fn(IxDyn(&[rows, features]), |_| next());
    let labels = x.outer_iter().map(|row| f32::from(row.sum() > 0.0)).collect();
    let targets = BatchTargets::Values(ArrayD::from_shape_vec(IxDyn(&[rows, 1]), labels).unwrap());
    Examples { x, targets }
}

/// All ends of a full mesh: each party's links in the order of names.
pub(super) fn mesh(names: &[Party]) -> BTreeMap<Party, Vec<MemoryLink>> {
    let mut links: BTreeMap<Party, BTreeMap<Party, MemoryLink>> = BTreeMap::new();
    for (i, a) in names.iter().enumerate() {
        for b in &names[i + 1..] {
            let (at_a, at_b) = memory::pair(a.clone(), b.clone());
            links
                .entry(a.clone())
                .or_default()
                .insert(b.clone(), Link::new(at_a).record());
            links
                .entry(b.clone())
                .or_default()
                .insert(a.clone(), Link::new(at_b).record());
        }
    }
    links
        .into_iter()
        .map(|(party, ends)| (party, ends.into_values().collect()))
        .collect()
}

pub(super) fn parties(terms: &Terms) -> Vec<Party> {
    let mut all: Vec<Party> = terms
        .holders()
        .cloned()
        .chain([terms.server.clone()])
        .chain(terms.dealer.clone())
        .chain(terms.coordinator.clone())
        .collect();
    all.sort();
    all
}

/// What a job ends with.
pub(super) struct Outcome {
    pub first: Array2<f64>,
    pub hidden: Network,
    pub tail: Network,
    pub evaluations: usize,
    /// Everybody's words of the first layer.
    pub shares: Vec<Vec<u8>>,
}

/// Where a party keeps its checkpoints, if anywhere, and whether it finishes alone.
pub(super) type Kept<'a> = BTreeMap<Party, (&'a dyn Keep, bool)>;

/// Runs every party over `links`.
pub(super) async fn train(
    terms: &Terms,
    [train, test]: [&Examples; 2],
    mut links: BTreeMap<Party, Vec<MemoryLink>>,
    kept: &Kept<'_>,
) -> Result<Outcome, ProtocolError> {
    let server_links = links.remove(&terms.server).unwrap();
    let dealer_links = terms.dealer.as_ref().map(|dealer| links.remove(dealer).unwrap());
    let coordinator_links = terms
        .coordinator
        .as_ref()
        .map(|coordinator| links.remove(coordinator).unwrap());
    let coordinator = async {
        match coordinator_links {
            Some(mut links) => super::coordinator(terms, &mut links, &mut ignore).await,
            None => Ok(()),
        }
    };
    let holders = links.into_iter().map(async |(holder, mut links)| {
        let kept = kept.get(&holder).copied();
        run_holder(terms, [train, test], &holder, kept, &mut links).await
    });
    let server = async {
        let mut links = server_links;
        run_server(terms, kept.get(&terms.server).copied(), &mut links).await
    };
    let dealer = async {
        match dealer_links {
            Some(mut links) => super::dealer(&[31; 32], terms, &mut links, &mut ignore).await,
            None => Ok(()),
        }
    };
    let (holders, hidden, dealt, coordinated) = tokio::join!(join_all(holders), server, dealer, coordinator);
    let (hidden, (), ()) = (hidden?, dealt?, coordinated?);
    let (mut tail, mut shares, mut evaluations) = (None, Vec::new(), 0);
    for holder in holders {
        let (trained, found) = holder?;
        evaluations += found;
        tail = trained.tail.or(tail);
        shares.extend(Some(trained.shares).filter(|shares| !shares.is_empty()));
    }
    Ok(Outcome {
        first: combined(terms, &shares),
        hidden,
        tail: tail.unwrap(),
        evaluations,
        shares,
    })
}

/// A holder, and how often it heard an evaluation.
async fn run_holder(
    terms: &Terms,
    [train, test]: [&Examples; 2],
    holder: &Party,
    kept: Option<(&dyn Keep, bool)>,
    links: &mut [MemoryLink],
) -> Result<(TrainedHolder, usize), ProtocolError> {
    let place = terms.holders().position(|other| other == holder).unwrap();
    run_holder_with(terms, [train, test], holder, kept, links, SECRETS[place]).await
}

async fn run_holder_with(
    terms: &Terms,
    [train, test]: [&Examples; 2],
    holder: &Party,
    kept: Option<(&dyn Keep, bool)>,
    links: &mut [MemoryLink],
    secret: u8,
) -> Result<(TrainedHolder, usize), ProtocolError> {
    let depth = model(terms.features()).layers.len();
    let columns = terms.columns.get(holder).map(|&count| {
        let from: usize = terms
            .columns
            .iter()
            .take_while(|(name, _)| *name != holder)
            .map(|(_, count)| count)
            .sum();
        let own = |rows: &Examples| {
            let x = rows.x.view().into_dimensionality::<Ix2>().unwrap();
            x.slice(s![.., from..from + count]).to_owned()
        };
        Columns {
            train: own(train),
            test: own(test),
        }
    });
    let labels = (*holder == terms.label_holder).then(|| Labels {
        tail: layers(terms.features(), depth - 1..depth),
        loss: Loss::Bce.into(),
        train: &train.targets,
        test: &test.targets,
    });
    let me = Holder {
        party: holder.clone(),
        columns,
        labels,
        secret: &[secret; 32],
    };
    let mut found = 0;
    let (keep, alone) = kept.map_or((None, false), |(keep, alone)| (Some(keep), alone));
    let mut observe = |event| {
        found += usize::from(matches!(event, Event::Evaluated { evaluation: Some(_), .. }));
        Ok(())
    };
    let trained = super::holder(me, terms, keep, alone, links, &mut observe).await?;
    Ok((trained, found))
}

async fn run_server(terms: &Terms, kept: Option<(&dyn Keep, bool)>, links: &mut [MemoryLink]) -> Result<Network, ProtocolError> {
    run_server_with(terms, kept, links, 21).await
}

async fn run_server_with(
    terms: &Terms,
    kept: Option<(&dyn Keep, bool)>,
    links: &mut [MemoryLink],
    secret: u8,
) -> Result<Network, ProtocolError> {
    let depth = model(terms.features()).layers.len();
    let keeps: Vec<&dyn Keep> = kept.iter().map(|(keep, _)| *keep).collect();
    let service = Service {
        schedule: terms.schedule,
        keeps: &keeps,
        alone: kept.is_some_and(|(_, alone)| alone),
    };
    let me = Server {
        hidden: layers(terms.features(), 1..depth - 1),
        secret: &[secret; 32],
    };
    super::server(me, terms, service, links, &mut ignore).await
}

/// The first layer's weights from what all holders have of them, the bias last.
fn combined(terms: &Terms, shares: &[Vec<u8>]) -> Array2<f64> {
    if terms.first_layer == FirstLayer::Plain {
        let all: Vec<f64> = shares
            .concat()
            .as_chunks()
            .0
            .iter()
            .map(|value| f32::from_le_bytes(*value).into())
            .collect();
        return bias_last(terms, all);
    }
    let words = shares[0].len() / 8;
    let shares: Vec<_> = shares
        .iter()
        .map(|bytes| Matrix::decode(words / WIDTH, WIDTH, bytes).unwrap())
        .collect();
    let sum = FixedPoint::new(scales::WEIGHTS)
        .unwrap()
        .decode_all(&reconstruct(&shares).unwrap());
    bias_last(terms, sum)
}

fn bias_last(terms: &Terms, all: Vec<f64>) -> Array2<f64> {
    let sum = Array2::from_shape_vec((all.len() / WIDTH, WIDTH), all).unwrap();
    // The bias stands after the first holder's columns.
    let bias = *terms.columns.values().next().unwrap();
    let order: Vec<usize> = (0..sum.nrows()).filter(|row| *row != bias).chain([bias]).collect();
    sum.select(Axis(0), &order)
}

/// The same network on pooled data.
fn unsplit(train: &Examples, features: usize) -> Network {
    let depth = model(features).layers.len();
    let me = plain::Unsplit {
        network: layers(features, 0..depth),
        loss: Loss::Bce,
        train,
        schedule: schedule(),
        shuffle: Shuffle { seed: SEED },
    };
    plain::unsplit(me).unwrap().0
}

fn largest_difference(outcome: &Outcome, reference: &Network) -> f64 {
    let first = first_layer(reference);
    let first = outcome.first.iter().zip(&first).map(|(a, b)| (a - f64::from(*b)).abs());
    let others: BTreeMap<String, ArrayD<f32>> = reference.parameters().into_iter().collect();
    let parts = [outcome.hidden.parameters(), outcome.tail.parameters()].concat();
    let rest: Vec<f64> = parts
        .iter()
        .flat_map(|(name, value)| {
            value
                .iter()
                .zip(&others[name])
                .map(|(a, b)| f64::from((a - b).abs()))
                .collect::<Vec<_>>()
        })
        .collect();
    first.chain(rest).fold(0.0, f64::max)
}

/// Holders of a job, in every way.
fn jobs() -> Vec<Terms> {
    let two = [("bank", 4), ("shop", 3)];
    let three = [("bank", 3), ("clinic", 2), ("shop", 2)];
    let mut jobs = Vec::new();
    for gradient in [Gradient::Shared, Gradient::Open] {
        for terms in [
            terms(&two, "shop", true),
            terms(&two, "agency", true),
            terms(&three, "bank", true),
        ] {
            jobs.push(Terms { gradient, ..terms });
        }
    }
    for terms in [terms(&two, "shop", false), terms(&three, "agency", false)] {
        jobs.push(Terms {
            first_layer: FirstLayer::Plain,
            gradient: Gradient::Open,
            ..terms
        });
    }
    for first_layer in [FirstLayer::HomomorphicEncryption, FirstLayer::Shares] {
        for (gradient, terms) in [
            (Gradient::Shared, terms(&three, "bank", false)),
            (Gradient::Open, terms(&two, "agency", false)),
        ] {
            jobs.push(Terms {
                first_layer,
                gradient,
                ..terms
            });
        }
    }
    for terms in [terms(&two, "shop", true), terms(&three, "agency", true)] {
        jobs.push(Terms {
            private_activation: true,
            ..terms
        });
    }
    jobs.push(Terms {
        private_activation: true,
        activation_circuit: ActivationCircuit::LowDepth,
        ..terms(&two, "shop", true)
    });
    for terms in [terms(&three, "agency", true), terms(&two, "shop", false)] {
        jobs.push(Terms {
            coordinator: Some(party("coordinator")),
            ..terms
        });
    }
    jobs
}

/// With a party that has lost its secret and begins anew, the others' masks and noise are others too, though their own secrets are as they were: a holder, a label
/// holder without columns, the server. So they are with another label.
#[tokio::test]
async fn no_mask_serves_twice_when_another_party_begins_anew() {
    let (train_rows, test_rows) = (pooled(8, 7), pooled(3, 7));
    let mut other_label = train_rows.clone();
    let BatchTargets::Values(labels) = &mut other_label.targets else {
        panic!("values")
    };
    labels[[5, 0]] = 1.0 - labels[[5, 0]];
    let two = [("bank", 4), ("shop", 3)];
    let he = Terms {
        first_layer: FirstLayer::HomomorphicEncryption,
        ..terms(&two, "shop", false)
    };
    let private = Terms {
        private_activation: true,
        ..terms(&two, "shop", true)
    };
    for (terms, forgetful) in [
        (terms(&two, "shop", true), "shop"),
        (terms(&two, "shop", false), "shop"),
        (he.clone(), "shop"),
        (private.clone(), "shop"),
        (terms(&two, "doctor", true), "doctor"),
        (terms(&two, "doctor", false), "doctor"),
        (terms(&two, "shop", true), "server"),
        (he, "server"),
        (private, "server"),
        (terms(&two, "shop", true), "a label"),
        (terms(&two, "doctor", false), "a label"),
    ] {
        let mut runs = Vec::new();
        for secret in [50, 50, 51] {
            let secret_of = |party: &Party| if party.as_str() == forgetful { secret } else { 40 };
            let train_rows = if secret == 51 && forgetful == "a label" {
                &other_label
            } else {
                &train_rows
            };
            let mut links = mesh(&parties(&terms));
            let each = links.iter_mut().map(async |(party, links)| {
                let rows = [train_rows, &test_rows];
                match party.as_str() {
                    "server" => run_server_with(&terms, None, links, secret_of(party)).await.map(drop),
                    "dealer" => super::dealer(&[31; 32], &terms, links, &mut ignore).await,
                    "coordinator" => super::coordinator(&terms, links, &mut ignore).await,
                    _ => run_holder_with(&terms, rows, party, None, links, secret_of(party))
                        .await
                        .map(drop),
                }
            });
            join_all(each).await.into_iter().collect::<Result<(), _>>().unwrap();
            let bank = &links[&party("bank")];
            let sent = bank.iter().flat_map(|link| link.transcript().unwrap());
            // What holds no mask: counts, the half of a seed that the new secret of the other is put to, one bit of a choice.
            let masked = sent.filter(|entry| entry.direction == Direction::Sent && entry.len > 32);
            runs.push(masked.cloned().collect::<Vec<_>>());
        }
        let [first, again, anew] = &runs[..] else {
            panic!("three runs")
        };
        // Of the same secrets the bytes are the same: otherwise there would be nothing to compare.
        assert_eq!(first, again, "{terms:?}");
        assert!(first.len() > 10 && first.len() == anew.len());
        for (first, anew) in first.iter().zip(anew) {
            assert_eq!((first.what, first.len), (anew.what, anew.len));
            assert_ne!(
                first.digest, anew.digest,
                "{} in round {}: {terms:?}",
                first.what, first.round
            );
        }
    }
}

#[tokio::test]
async fn the_network_is_that_of_pooled_data() {
    let (train_rows, test_rows) = (pooled(23, 7), pooled(9, 7));
    let reference = unsplit(&train_rows, 7);
    let untrained = layers(7, 0..5);
    for mut terms in jobs() {
        terms.public_weights = Some(first_layer(&untrained));
        let links = mesh(&parties(&terms));
        let outcome = train(&terms, [&train_rows, &test_rows], links, &Kept::new()).await.unwrap();
        let difference = largest_difference(&outcome, &reference);
        // Columns are rounded to 2^-12: the outputs move by about 1e-4.
        assert!(difference < 5e-4, "{terms:?}: {difference}");
        let moved = largest_difference(&outcome, &untrained);
        assert!(moved > 0.05, "{terms:?}: {moved}");
        // As an export puts them together.
        let shares: Vec<&[u8]> = outcome.shares.iter().map(Vec::as_slice).collect();
        assert_eq!(combined_weights(&terms, &shares).unwrap(), outcome.first);
        assert!(combined_weights(&terms, &shares[1..]).is_err());
        assert_eq!(outcome.evaluations, 3);
    }
}

/// What each party put on its links, by the counters, and what is declared.
#[tokio::test]
async fn messages_and_bytes_are_those_declared() {
    let (train_rows, test_rows) = (pooled(10, 7), pooled(9, 7));
    for terms in jobs() {
        let hidden = [4];
        let declared = |epochs: u32| {
            let mut all: BTreeMap<Party, [u64; 2]> = BTreeMap::new();
            let terms = with_epochs(&terms, epochs);
            let cost = cost::Cost::new(&terms, [10, 9], &hidden).unwrap();
            let batches = terms
                .schedule
                .training_sizes(10)
                .map(|rows| cost.training_batch(rows).unwrap());
            let evaluations = terms
                .schedule
                .evaluation_sizes(9)
                .map(|rows| cost.evaluation_batch(rows).unwrap());
            for frame in batches.chain(evaluations).flatten() {
                let sum = all.entry(frame.from).or_default();
                *sum = [sum[0] + epochs as u64, sum[1] + epochs as u64 * frame.bytes];
            }
            for frame in cost.before().unwrap() {
                let sum = all.entry(frame.from).or_default();
                *sum = [sum[0] + 1, sum[1] + frame.bytes];
            }
            all
        };
        let mut counted = Vec::new();
        for epochs in [1, 2] {
            let terms = with_epochs(&terms, epochs);
            let mut counts = BTreeMap::new();
            let ends = mesh(&parties(&terms));
            let (outcome, links) = train_and_keep(&terms, [&train_rows, &test_rows], ends).await;
            outcome.unwrap();
            for (party, links) in links {
                let sent = links.iter().flat_map(|link| link.sent_by_message().clone());
                let settling = ["settled", "all settled"];
                let of_batches = sent.filter(|(name, _)| !settling.contains(name));
                let sums = of_batches.fold([0, 0], |[m, b], (_, t)| [m + t.messages, b + t.bytes]);
                counts.insert(party, sums);
            }
            counted.push(counts);
        }
        let (once, twice) = (declared(1), declared(2));
        for (party, [messages, bytes]) in &once {
            let [one, two] = [0, 1].map(|run: usize| counted[run][party]);
            // What is sent before the first batch is in both, with a key of more bits if more epochs need one.
            let declared = [twice[party][0] - messages, twice[party][1] - bytes];
            assert_eq!([two[0] - one[0], two[1] - one[1]], declared, "{party}, {terms:?}");
        }
    }
}

fn with_epochs(terms: &Terms, epochs: u32) -> Terms {
    let schedule = crate::Schedule {
        epochs,
        ..terms.schedule
    };
    Terms {
        schedule,
        ..terms.clone()
    }
}

/// As [`train`] without checkpoints; the links come back.
async fn train_and_keep(
    terms: &Terms,
    rows: [&Examples; 2],
    mut links: BTreeMap<Party, Vec<MemoryLink>>,
) -> (Result<(), ProtocolError>, BTreeMap<Party, Vec<MemoryLink>>) {
    let each = links.iter_mut().map(async |(party, links)| {
        let own = std::mem::take(links);
        let (outcome, own) = alone_and_keep(terms, rows, party, own).await;
        *links = own;
        outcome
    });
    let outcomes = join_all(each).await;
    (outcomes.into_iter().collect(), links)
}

async fn alone_and_keep(
    terms: &Terms,
    rows: [&Examples; 2],
    party: &Party,
    mut links: Vec<MemoryLink>,
) -> (Result<(), ProtocolError>, Vec<MemoryLink>) {
    let outcome = if *party == terms.server {
        run_server(terms, None, &mut links).await.map(drop)
    } else if Some(party) == terms.dealer.as_ref() {
        super::dealer(&[31; 32], terms, &mut links, &mut ignore).await
    } else if Some(party) == terms.coordinator.as_ref() {
        super::coordinator(terms, &mut links, &mut ignore).await
    } else {
        run_holder(terms, rows, party, None, &mut links).await.map(drop)
    };
    (outcome, links)
}

#[tokio::test]
async fn predictions_are_the_outputs_of_the_trained_network() {
    let (train_rows, test_rows) = (pooled(12, 7), pooled(5, 7));
    let queries = pooled(19, 7);
    for terms in jobs().into_iter().filter(|terms| terms.first_layer != FirstLayer::Plain) {
        let outcome = train(&terms, [&train_rows, &test_rows], mesh(&parties(&terms)), &Kept::new())
            .await
            .unwrap();
        // Who has nothing to do with predictions.
        let present = parties(&terms)
            .into_iter()
            .filter(|party| Some(party) != terms.coordinator.as_ref());
        let mut links = mesh(&present.collect::<Vec<_>>());
        let mut server_links = links.remove(&terms.server).unwrap();
        let dealer_links = terms.dealer.as_ref().map(|dealer| links.remove(dealer).unwrap());
        let columns_of = |holder: &Party| {
            terms.columns.get(holder).map(|&count| {
                let from: usize = terms
                    .columns
                    .iter()
                    .take_while(|(name, _)| *name != holder)
                    .map(|(_, count)| count)
                    .sum();
                let x = queries.x.view().into_dimensionality::<Ix2>().unwrap();
                x.slice(s![.., from..from + count]).to_owned()
            })
        };
        let mut shares = outcome.shares.iter();
        let holders: Vec<_> = links
            .into_iter()
            .map(|(holder, links)| (columns_of(&holder), holder, links))
            .map(|(columns, holder, links)| {
                let own = match columns {
                    Some(_) => shares.next().unwrap().as_slice(),
                    None => &[],
                };
                (columns, holder, links, own)
            })
            .collect();
        let each = holders
            .into_iter()
            .zip(SECRETS)
            .map(async |((columns, party, mut links, shares), secret)| {
                let me = predict::Holder {
                    columns,
                    shares,
                    tail: (party == terms.label_holder).then_some(&outcome.tail),
                    rows: 19,
                    // Fresh.
                    secret: &[secret + 100; 32],
                    party,
                };
                predict::holder(me, &terms, &mut links, &mut ignore).await.unwrap()
            });
        let dealer = async {
            if let Some(mut links) = dealer_links {
                predicting_dealer(&[99; 32], &terms, &mut links, &mut ignore).await.unwrap();
            }
        };
        let mut quiet = ignore;
        let served = predict::server(&outcome.hidden, &terms, &mut server_links, &mut quiet);
        let (outputs, served, ()) = tokio::join!(join_all(each), served, dealer);
        served.unwrap();
        let outputs = outputs.into_iter().flatten().next().unwrap();
        // The same in the clear.
        let x = queries.x.view().into_dimensionality::<Ix2>().unwrap().mapv(f64::from);
        let h1 = x.dot(&outcome.first.slice(s![..7, ..])) + outcome.first.slice(s![7.., ..]);
        let h1 = h1.mapv(|value| value as f32).into_dyn();
        let expected = outcome.tail.forward(&outcome.hidden.forward(&h1).unwrap()).unwrap();
        assert_eq!(outputs.shape(), expected.shape());
        let difference = outputs.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 2e-3, "{terms:?}: {difference}");
    }
}

/// SGLD: the noise of all holders together has the optimiser's variance, whoever adds it; without noise it is SGD at half the rate.
#[tokio::test]
async fn langevin_noise_is_of_the_variance_that_the_optimiser_names() {
    let (train_rows, test_rows) = (pooled(8, 40), pooled(3, 40));
    let sgld = |temperature| cloven_nn::OptimiserSpec::Sgld {
        learning_rate: 0.02,
        temperature,
        weight_decay: 0.0,
        schedule: Default::default(),
    };
    let first = first_layer(&Network::new(&model(40), 0..5, SEED).unwrap());
    for (gradient, first_of) in [
        (Gradient::Shared, FirstLayer::Shares),
        (Gradient::Open, FirstLayer::Shares),
        (Gradient::Open, FirstLayer::Plain),
    ] {
        let mut weights = Vec::new();
        for temperature in [0.0, 0.5] {
            let job = Terms {
                gradient,
                first_layer: first_of,
                public_weights: Some(first.clone()),
                optimiser: sgld(temperature),
                ..terms(&[("bank", 15), ("shop", 25)], "shop", first_of == FirstLayer::Shares)
            };
            let outcome = train(&job, [&train_rows, &test_rows], mesh(&parties(&job)), &Kept::new())
                .await
                .unwrap();
            weights.push(outcome.first);
        }
        // Six updates; the gradient's answer to the noise is small beside it.
        let noise = &weights[1] - &weights[0];
        let variance = noise.iter().map(|value| value * value).sum::<f64>() / noise.len() as f64;
        let expected = 6.0 * 0.5 * 0.02;
        assert!(
            (0.7..1.4).contains(&(variance / expected)),
            "{gradient:?} {first_of:?}: {variance} instead of {expected}"
        );
    }
}

#[test]
fn what_is_learnt_is_said() {
    for terms in jobs() {
        let said = |party: &str, what: &str| {
            terms
                .leaks()
                .iter()
                .any(|leak| leak.party == party && leak.learns.contains(what))
        };
        let plain = terms.first_layer == FirstLayer::Plain;
        let open = plain || terms.gradient == Gradient::Open;
        for holder in terms.columns.keys() {
            assert_eq!(said(holder.as_str(), "tells its label"), open, "{terms:?}");
        }
        assert_eq!(said("server", "unprotected"), plain);
        assert_eq!(said("server", "relu of the first layer's output"), terms.private_activation);
        assert!(said("server", "linear algebra"));
        assert_eq!(said("dealer", "together with any holder"), terms.dealer.is_some());
    }
}
