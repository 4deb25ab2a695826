//! Operands as numbers, permuted or in the clear: every worker has some of the rows.

use std::ops::Range;

use cloven_accel::{
    Kind, Matrices, Shape,
    freivalds::check_floats,
    job::{Job, Step, Tensor},
    permuted::{LayerKeys, SignedPermutation},
};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{Gradients, Layer, pool::Pool, slots};
use crate::ProtocolError;

/// Rounds of a check: of a product that is off by 2^20 times the tolerance, one in 2^40 passes.
const ROUNDS: usize = 2;

pub(super) struct Floats {
    /// With permutations: those of each layer's inputs and outputs, and after how many steps they are drawn anew.
    keys: Option<(Vec<LayerKeys>, u64)>,
    /// Inner size and columns of each layer.
    sizes: Vec<[usize; 2]>,
    steps: u64,
    kept: Vec<Option<Kept>>,
}

/// Of a training step, what backward needs of a layer.
struct Kept {
    /// x, as the workers have it, and their rows of it.
    x: Matrices<f32>,
    w: Matrices<f32>,
    rows: Option<SignedPermutation>,
    parts: Vec<Range<usize>>,
}

impl Floats {
    pub(super) fn new(layers: &[Layer], rekey_every: Option<u64>, rng: &mut ChaCha20Rng) -> Result<Self, ProtocolError> {
        let sizes: Vec<[usize; 2]> = layers
            .iter()
            .map(|layer| [layer.windows.inner(), layer.windows.columns()])
            .collect();
        let keys = rekey_every.map(|every| Ok::<_, ProtocolError>((drawn(&sizes, rng)?, every.max(1))));
        Ok(Self {
            keys: keys.transpose()?,
            steps: 0,
            kept: sizes.iter().map(|_| None).collect(),
            sizes,
        })
    }

    pub(super) async fn forward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        x: Matrices<f32>,
        w: Matrices<f32>,
        keep: bool,
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Matrices<f32>, ProtocolError> {
        let (rows, columns) = (x.shape().rows, w.shape().columns);
        let (x, w, permutation) = match &self.keys {
            None => (x, w, None),
            Some((keys, _)) => {
                let (keys, rows) = (&keys[number], LayerKeys::rows(rows, rng)?);
                (keys.blind_input(&rows, &x)?, keys.blind_weights(&w)?, Some(rows))
            }
        };
        let parts = parts(rows, pool.workers());
        let [slot_x, slot_w, _] = slots(number);
        let mut jobs = Vec::with_capacity(parts.len());
        for part in &parts {
            let mut steps = vec![
                put(slot_x, block(&x, part)?),
                put(slot_w, w.clone()),
                product(Kind::Forward, slot_x, slot_w),
            ];
            if !keep {
                steps.extend([slot_x, slot_w].map(|slot| Step::Free { slot }));
            }
            jobs.push(Job(steps));
        }
        let mut values = Vec::with_capacity(rows * columns);
        for (worker, answer) in pool.run(jobs).await?.into_iter().enumerate() {
            let shape = Shape::matrix(parts[worker].len(), columns)?;
            for product in pool.floats(worker, answer, &[shape])? {
                check(Kind::Forward, [&block(&x, &parts[worker])?, &w], &product, rng).map_err(|()| pool.lied(worker, name))?;
                values.extend(product.into_values());
            }
        }
        let blinded = Matrices::new(Shape::matrix(rows, columns)?, values)?;
        let product = match (&self.keys, &permutation) {
            (Some((keys, _)), Some(rows)) => keys[number].unblind_output(rows, &blinded)?,
            _ => blinded,
        };
        if keep {
            let rows = permutation;
            self.kept[number] = Some(Kept { x, w, rows, parts });
        }
        Ok(product)
    }

    pub(super) async fn backward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        g: Matrices<f32>,
        wanted: bool,
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Gradients, ProtocolError> {
        let Some(Kept { x, w, rows, parts }) = self.kept[number].take() else {
            let problem = format!("layer {name} has gone forward before it goes back: expected a product, got none");
            return Err(ProtocolError::Structure(problem));
        };
        let keys = self.keys.as_ref().map(|(keys, _)| &keys[number]).zip(rows.as_ref());
        let g = keys.map_or(Ok(g.clone()), |(keys, rows)| keys.blind_gradient(rows, &g))?;
        let (all, [inner, columns]) = (g.shape().rows, self.sizes[number]);
        let slots = slots(number);
        let [slot_x, slot_w, slot_g] = slots;
        let mut jobs = Vec::with_capacity(parts.len());
        for part in &parts {
            let mut steps = vec![put(slot_g, block(&g, part)?), product(Kind::WeightGradient, slot_x, slot_g)];
            if wanted {
                steps.push(product(Kind::InputGradient, slot_g, slot_w));
            }
            steps.extend(slots.map(|slot| Step::Free { slot }));
            jobs.push(Job(steps));
        }
        let mut sum = Matrices::new(Shape::matrix(inner, columns)?, vec![0.0f32; inner * columns])?;
        let mut values = Vec::new();
        for (worker, answer) in pool.run(jobs).await?.into_iter().enumerate() {
            let part = &parts[worker];
            let mut shapes = vec![Shape::matrix(inner, columns)?];
            shapes.extend(wanted.then_some(Shape::matrix(part.len(), inner)?));
            let (x, g) = (block(&x, part)?, block(&g, part)?);
            let operands = [(Kind::WeightGradient, [&x, &g]), (Kind::InputGradient, [&g, &w])];
            for (product, (kind, operands)) in pool.floats(worker, answer, &shapes)?.into_iter().zip(operands) {
                check(kind, operands, &product, rng).map_err(|()| pool.lied(worker, name))?;
                match kind {
                    Kind::InputGradient => values.extend(product.into_values()),
                    _ => {
                        let terms = sum.values_mut().iter_mut().zip(product.values());
                        terms.for_each(|(sum, term)| *sum += term);
                    }
                }
            }
        }
        let input = wanted
            .then(|| Matrices::new(Shape::matrix(all, inner)?, values))
            .transpose()?;
        Ok(match keys {
            None => (sum, input),
            Some((keys, rows)) => {
                let input = input.map(|input| keys.unblind_input(rows, &input)).transpose()?;
                (keys.unblind_weights(&sum)?, input)
            }
        })
    }

    /// Draws the layers' permutations anew when it is time.
    pub(super) fn end_step(&mut self, rng: &mut ChaCha20Rng) -> Result<(), ProtocolError> {
        self.steps += 1;
        if let Some((keys, every)) = &mut self.keys
            && self.steps.is_multiple_of(*every)
        {
            *keys = drawn(&self.sizes, rng)?;
        }
        Ok(())
    }
}

fn drawn(sizes: &[[usize; 2]], rng: &mut ChaCha20Rng) -> Result<Vec<LayerKeys>, ProtocolError> {
    let keys = sizes.iter().map(|[inner, columns]| LayerKeys::new(*inner, *columns, rng));
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Rows for each worker, as even as can be; none for some if there are few.
fn parts(rows: usize, workers: usize) -> Vec<Range<usize>> {
    (0..workers)
        .map(|worker| rows * worker / workers..rows * (worker + 1) / workers)
        .collect()
}

fn block(matrix: &Matrices<f32>, rows: &Range<usize>) -> Result<Matrices<f32>, ProtocolError> {
    Ok(matrix.block(0..1, rows.clone(), 0..matrix.shape().columns)?)
}

fn put(slot: u32, matrix: Matrices<f32>) -> Step {
    let tensor = Tensor::Floats(matrix);
    Step::Put { slot, tensor }
}

fn product(kind: Kind, left: u32, right: u32) -> Step {
    Step::Product {
        kind,
        left,
        right,
        keep: None,
    }
}

fn check(kind: Kind, [left, right]: [&Matrices<f32>; 2], product: &Matrices<f32>, rng: &mut ChaCha20Rng) -> Result<(), ()> {
    check_floats(kind, left, right, product, ROUNDS, rng).map_err(drop)
}
