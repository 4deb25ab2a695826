//! The test ladder of `vertical`: the same network as on pooled data, kills, tampering, what messages hide, alignment.

use std::collections::BTreeMap;

use cloven_mpc::shares::{FixedPoint, Matrix, reconstruct};
use cloven_nn::{BatchTargets, LayerSpec, Loss, ModelSpec, Network};
use cloven_wire::{Link, Party, memory};
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
        dealer: dealer.then(|| party("dealer")),
        width: WIDTH,
        first_layer: FirstLayer::Shares,
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
    let (holders, hidden, dealt) = tokio::join!(join_all(holders), server, dealer);
    let (hidden, ()) = (hidden?, dealt?);
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

/// One party of [`train`].
pub(super) async fn alone(
    terms: &Terms,
    rows: [&Examples; 2],
    party: &Party,
    mut links: Vec<MemoryLink>,
) -> Result<(), ProtocolError> {
    if *party == terms.server {
        return run_server(terms, None, &mut links).await.map(drop);
    }
    if Some(party) == terms.dealer.as_ref() {
        return super::dealer(&[31; 32], terms, &mut links, &mut ignore).await;
    }
    run_holder(terms, rows, party, None, &mut links).await.map(drop)
}

/// A holder, and how often it heard an evaluation.
async fn run_holder(
    terms: &Terms,
    [train, test]: [&Examples; 2],
    holder: &Party,
    kept: Option<(&dyn Keep, bool)>,
    links: &mut [MemoryLink],
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
        loss: Loss::Bce,
        train: &train.targets,
        test: &test.targets,
    });
    let place = terms.holders().position(|other| other == holder).unwrap();
    let me = Holder {
        party: holder.clone(),
        columns,
        labels,
        secret: &[SECRETS[place]; 32],
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
    let depth = model(terms.features()).layers.len();
    let keeps: Vec<&dyn Keep> = kept.iter().map(|(keep, _)| *keep).collect();
    let service = Service {
        schedule: terms.schedule,
        keeps: &keeps,
        alone: kept.is_some_and(|(_, alone)| alone),
    };
    let me = Server {
        hidden: layers(terms.features(), 1..depth - 1),
        secret: &[21; 32],
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
    jobs
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
        assert_eq!(outcome.evaluations, 3);
    }
}
