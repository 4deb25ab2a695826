//! Operands as numbers, permuted or in the clear: every worker has some of the rows, or some of a batch's matrices.

use cloven_accel::{
    Kind, Matrices,
    freivalds::check_floats,
    job::{Job as WorkerJob, Step, Tensor},
    permuted::{LayerKeys, SignedPermutation},
    sharding::{Piece, Split, join, split},
};
use cloven_nn::offload::{Job, Product, ProductKind};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{Operands, gradient, kind, matrices, pool::Pool, product, slots};
use crate::ProtocolError;

/// Rounds of a check: of a product that is off by 2^20 times the tolerance, one in 2^40 passes.
const ROUNDS: usize = 2;

pub(super) struct Floats {
    /// With permutations: those of each product's inner side and columns, and after how many steps they are drawn anew.
    keys: Option<(Vec<LayerKeys>, u64)>,
    /// Inner size and columns of each product.
    sizes: Vec<[usize; 2]>,
    steps: u64,
    /// X and W of each product on its last way forward.
    kept: Vec<Option<Kept>>,
}

/// X and W as the workers have them.
struct Kept {
    last: Operands,
    x: Matrices<f32>,
    w: Matrices<f32>,
    rows: Option<SignedPermutation>,
}

impl Floats {
    pub(super) fn new(products: &[Product], rekey_every: Option<u64>, rng: &mut ChaCha20Rng) -> Result<Self, ProtocolError> {
        let sizes: Vec<[usize; 2]> = products.iter().map(|product| [product.inner, product.columns]).collect();
        let keys = rekey_every.map(|every| Ok::<_, ProtocolError>((drawn(&sizes, rng)?, every.max(1))));
        Ok(Self {
            keys: keys.transpose()?,
            steps: 0,
            kept: sizes.iter().map(|_| None).collect(),
            sizes,
        })
    }

    pub(super) async fn multiply<C: Channel>(
        &mut self,
        place: (usize, &str),
        jobs: &[Job],
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        match jobs {
            [job] if job.kind == ProductKind::Forward => self.forward(place, job, pool, rng).await,
            jobs => self.backward(place, jobs, pool, rng).await,
        }
    }

    async fn forward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        job: &Job,
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        let (x, w) = (matrices(&job.left)?, matrices(&job.right)?);
        let (x, w, rows) = match self.keys_of(number) {
            None => (x, w, None),
            Some(keys) => {
                let rows = LayerKeys::rows(x.shape().rows, rng)?;
                (keys.blind_input(&rows, &x)?, keys.blind_weights(&w)?, Some(rows))
            }
        };
        let slots = slots(number);
        let put = |piece: &Piece| -> Result<Vec<Step>, ProtocolError> {
            let [x, w] = piece.operands(Kind::Forward, &x, &w)?;
            Ok(vec![self::put(slots[0], x), self::put(slots[1], w)])
        };
        let asked = [(Kind::Forward, [&x, &w])];
        let mut products = answered(&asked, slots, (&put, &[]), name, pool, rng).await?;
        if let (Some(keys), Some(rows)) = (self.keys_of(number), &rows) {
            products = vec![keys.unblind_output(rows, &products[0])?];
        }
        let last = [job.left.clone(), job.right.clone()];
        self.kept[number] = Some(Kept { last, x, w, rows });
        Ok(products)
    }

    async fn backward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        jobs: &[Job],
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        let kept = self.kept[number].take();
        let g = matrices(gradient(jobs, kept.as_ref().map(|kept| &kept.last), name)?)?;
        let Some(Kept { x, w, rows, .. }) = kept else {
            return Ok(Vec::new());
        };
        let keys = self.keys_of(number).zip(rows.as_ref());
        let g = keys.map_or_else(|| Ok(g.clone()), |(keys, rows)| keys.blind_gradient(rows, &g))?;
        let slots = slots(number);
        let put = |piece: &Piece| -> Result<Vec<Step>, ProtocolError> {
            // The rows of X, and so of G, that the worker has.
            let (rows, columns) = (piece.rows.clone(), 0..g.shape().columns);
            Ok(vec![self::put(slots[2], g.block(piece.batch.clone(), rows, columns)?)])
        };
        let asked = jobs.iter().map(|job| match job.kind {
            ProductKind::InputGradient => (Kind::InputGradient, [&g, &w]),
            other => (kind(other), [&x, &g]),
        });
        let asked: Vec<_> = asked.collect();
        let free = slots.map(|slot| Step::Free { slot });
        let products = answered(&asked, slots, (&put, &free), name, pool, rng).await?;
        let Some((keys, rows)) = keys else { return Ok(products) };
        let unblinded = products.iter().zip(&asked).map(|(product, (kind, _))| match kind {
            Kind::InputGradient => keys.unblind_input(rows, product),
            _ => keys.unblind_weights(product),
        });
        Ok(unblinded.collect::<Result<_, _>>()?)
    }

    fn keys_of(&self, number: usize) -> Option<&LayerKeys> {
        self.keys.as_ref().map(|(keys, _)| &keys[number])
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

fn put(slot: u32, matrix: Matrices<f32>) -> Step {
    let tensor = Tensor::Floats(matrix);
    Step::Put { slot, tensor }
}

/// Along which side a product is cut so that every worker has the same rows of X and G in all three, or the same matrices of a batch.
fn side(kind: Kind, batch: usize) -> Split {
    match (batch, kind) {
        (1, Kind::WeightGradient) => Split::Inner,
        (1, Kind::Forward | Kind::InputGradient) => Split::Rows,
        _ => Split::Batch,
    }
}

/// What the workers are given first, each for its piece of the rows or matrices, and told at the end.
type Around<'p> = (&'p dyn Fn(&Piece) -> Result<Vec<Step>, ProtocolError>, &'p [Step]);

/// Products of operands as the workers have them, checked piece by piece, and put together.
async fn answered<C: Channel>(
    asked: &[(Kind, [&Matrices<f32>; 2])],
    slots: [u32; 3],
    (first, last): Around<'_>,
    name: &str,
    pool: &mut Pool<'_, C>,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Matrices<f32>>, ProtocolError> {
    let mut cut = Vec::with_capacity(asked.len());
    for (kind, [left, right]) in asked {
        let dimensions = kind.dimensions(left.shape(), right.shape())?;
        let by = side(*kind, dimensions.batch);
        cut.push((dimensions, by, split(&dimensions, by, pool.workers())));
    }
    let mut jobs = Vec::new();
    for worker in 0..pool.workers() {
        let mut steps = Vec::new();
        if let (Some((kind, _)), Some(piece)) = (asked.first(), cut.first().and_then(|(_, _, pieces)| pieces.get(worker))) {
            // Of a weight gradient the rows are its terms.
            let rows = match kind {
                Kind::WeightGradient => piece.inner.clone(),
                Kind::Forward | Kind::InputGradient => piece.rows.clone(),
            };
            steps = first(&Piece { rows, ..piece.clone() })?;
            steps.extend(asked.iter().map(|(kind, _)| product(slots, *kind)));
            steps.extend_from_slice(last);
        }
        jobs.push(WorkerJob(steps));
    }
    let mut parts: Vec<Vec<Matrices<f32>>> = asked.iter().map(|_| Vec::new()).collect();
    for (worker, answer) in pool.run(jobs).await?.into_iter().enumerate() {
        let mut operands = Vec::with_capacity(asked.len());
        for ((kind, [left, right]), (_, _, pieces)) in asked.iter().zip(&cut) {
            if let Some(piece) = pieces.get(worker) {
                operands.push((*kind, piece.operands(*kind, left, right)?));
            }
        }
        let shapes = operands
            .iter()
            .map(|(kind, [left, right])| Ok(kind.dimensions(left.shape(), right.shape())?.product()));
        let shapes: Vec<_> = shapes.collect::<Result<_, ProtocolError>>()?;
        let products = pool.floats(worker, answer, &shapes)?.into_iter().zip(&operands);
        for ((product, (kind, [left, right])), parts) in products.zip(&mut parts) {
            if check_floats(*kind, left, right, &product, ROUNDS, rng).is_err() {
                return Err(pool.lied(worker, name));
            }
            parts.push(product);
        }
    }
    let joined = cut
        .iter()
        .zip(&parts)
        .map(|((dimensions, by, _), parts)| join(dimensions, *by, parts));
    Ok(joined.collect::<Result<_, _>>()?)
}
