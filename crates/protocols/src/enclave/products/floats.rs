//! Operands as numbers, permuted or in the clear: every worker has some of the rows, or some of a batch's matrices.

use std::{collections::BTreeMap, ops::Range};

use cloven_accel::{
    AccelError, Kind, Matrices, Shape,
    freivalds::check_floats,
    job::{Job as WorkerJob, Step, Tensor},
    permuted::{LayerKeys, SignedPermutation},
    sharding::{Split, join, split},
};
use cloven_nn::offload::{Job, Product, ProductKind, Windows};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{
    Operands, gradient, kind, left, matrices,
    pool::{Pool, Task},
    product, slots, window,
};
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
    parts: Vec<Part>,
}

/// The part of one worker in a product: rows of X, or matrices of a batch.
struct Part {
    batch: Range<usize>,
    rows: Range<usize>,
    /// Who has it. Once that worker has failed nobody: others are then given what they need each time, until the product's next way forward.
    at: Option<usize>,
}

impl Part {
    /// Its rows of X or G.
    fn rows_of(&self, all: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        all.block(self.batch.clone(), self.rows.clone(), 0..all.shape().columns)
    }

    /// All of W, of its matrices.
    fn all_of(&self, all: &Matrices<f32>) -> Result<Matrices<f32>, AccelError> {
        all.block(self.batch.clone(), 0..all.shape().rows, 0..all.shape().columns)
    }
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
        let w = matrices(&job.right)?;
        let (x, w, rows) = match self.keys_of(number) {
            None => (left(job, None)?, w, None),
            Some(keys) => {
                let w = keys.blind_weights(&w)?;
                let (x, rows) = match job.windows.and_then(window) {
                    Some(window) => {
                        let images = matrices(&job.left)?;
                        let rows = LayerKeys::rows(window.patches(images.shape().batch)?.rows, rng)?;
                        (keys.blind_patches(&rows, &window, &images)?, rows)
                    }
                    None => {
                        let x = left(job, None)?;
                        let rows = LayerKeys::rows(x.shape().rows, rng)?;
                        (keys.blind_input(&rows, &x)?, rows)
                    }
                };
                (x, w, Some(rows))
            }
        };
        let asked = Asked {
            kinds: vec![Kind::Forward],
            x: &x,
            w: &w,
            g: None,
            slots: [slots(number), self.spare_slots()],
            name,
        };
        let mut parts = asked.parts(&pool.left()?)?;
        let mut products = answered(&asked, &mut parts, pool, rng).await?;
        if let (Some(keys), Some(rows)) = (self.keys_of(number), &rows) {
            products = vec![keys.unblind_output(rows, &products[0])?];
        }
        let last = [job.left.clone(), job.right.clone()];
        self.kept[number] = Some(Kept { last, x, w, rows, parts });
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
        let Some(Kept {
            x, w, rows, mut parts, ..
        }) = kept
        else {
            return Ok(Vec::new());
        };
        let keys = self.keys_of(number).zip(rows.as_ref());
        let g = keys.map_or_else(|| Ok(g.clone()), |(keys, rows)| keys.blind_gradient(rows, &g))?;
        let asked = Asked {
            kinds: jobs.iter().map(|job| kind(job.kind)).collect(),
            x: &x,
            w: &w,
            g: Some(&g),
            slots: [slots(number), self.spare_slots()],
            name,
        };
        let products = answered(&asked, &mut parts, pool, rng).await?;
        let Some((keys, rows)) = keys else { return Ok(products) };
        let unblinded = products.iter().zip(jobs).map(|(product, job)| match kind(job.kind) {
            Kind::InputGradient => match job.windows.and_then(window) {
                Some(window) => keys.unblind_patches(rows, &window, product),
                None => keys.unblind_input(rows, product),
            },
            _ => keys.unblind_weights(product),
        });
        Ok(unblinded.collect::<Result<_, _>>()?)
    }

    /// Whether dX of these windows comes back as images; else as windows.
    pub(super) fn folds(&self, windows: Windows) -> bool {
        self.keys.is_some() && window(windows).is_some()
    }

    /// Slots for what a worker does in another's place.
    fn spare_slots(&self) -> [u32; 3] {
        slots(self.sizes.len())
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

/// Products that are asked for at once.
struct Asked<'o> {
    kinds: Vec<Kind>,
    x: &'o Matrices<f32>,
    w: &'o Matrices<f32>,
    /// None on the way forward.
    g: Option<&'o Matrices<f32>>,
    /// The product's own, and those for work in another's place.
    slots: [[u32; 3]; 2],
    name: &'o str,
}

impl Asked<'_> {
    /// The parts of these workers on the way forward.
    fn parts(&self, workers: &[usize]) -> Result<Vec<Part>, ProtocolError> {
        let dimensions = Kind::Forward.dimensions(self.x.shape(), self.w.shape())?;
        let pieces = split(&dimensions, side(Kind::Forward, dimensions.batch), workers.len());
        let parts = pieces.into_iter().zip(workers).map(|(piece, worker)| Part {
            batch: piece.batch,
            rows: piece.rows,
            at: Some(*worker),
        });
        Ok(parts.collect())
    }

    /// The steps for a part, at its own worker or in its place.
    fn steps(&self, part: &Part) -> Result<Vec<Step>, ProtocolError> {
        let slots = self.slots[usize::from(part.at.is_none())];
        let mut steps = Vec::new();
        if self.g.is_none() || part.at.is_none() {
            steps.extend([put(slots[0], part.rows_of(self.x)?), put(slots[1], part.all_of(self.w)?)]);
        }
        if let Some(g) = self.g {
            steps.push(put(slots[2], part.rows_of(g)?));
        }
        steps.extend(self.kinds.iter().map(|kind| product(slots, *kind)));
        if self.g.is_some() || part.at.is_none() {
            steps.extend(slots.map(|slot| Step::Free { slot }));
        }
        Ok(steps)
    }

    /// Shapes of a part's products.
    fn shapes(&self, part: &Part) -> Result<Vec<Shape>, ProtocolError> {
        let (batch, rows) = (part.batch.len(), part.rows.len());
        let x = Shape::new(batch, rows, self.x.shape().columns)?;
        let w = Shape::new(batch, self.w.shape().rows, self.w.shape().columns)?;
        let g = self.g.map_or(Ok(x), |g| Shape::new(batch, rows, g.shape().columns))?;
        let shape = |kind: &Kind| {
            let [left, right] = of_kind(*kind, [x, w, g]);
            Ok(kind.dimensions(left, right)?.product())
        };
        self.kinds.iter().map(shape).collect()
    }

    /// Whether these are the products of the whole operands.
    fn all_right(&self, products: &[Matrices<f32>], rng: &mut ChaCha20Rng) -> bool {
        self.kinds.iter().zip(products).all(|(kind, product)| {
            let [left, right] = of_kind(*kind, [self.x, self.w, self.g.unwrap_or(self.x)]);
            check_floats(*kind, left, right, product, ROUNDS, rng).is_ok()
        })
    }

    /// Whether these are the products of a part.
    fn are_right(&self, part: &Part, products: &[Matrices<f32>], rng: &mut ChaCha20Rng) -> Result<bool, ProtocolError> {
        let (x, w) = (part.rows_of(self.x)?, part.all_of(self.w)?);
        let g = self.g.map(|g| part.rows_of(g)).transpose()?;
        Ok(self.kinds.iter().zip(products).all(|(kind, product)| {
            let [left, right] = of_kind(*kind, [&x, &w, g.as_ref().unwrap_or(&x)]);
            check_floats(*kind, left, right, product, ROUNDS, rng).is_ok()
        }))
    }

    /// The products from those of all parts.
    fn joined(&self, parts: &[Vec<Matrices<f32>>]) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        let joined = self.kinds.iter().enumerate().map(|(number, kind)| {
            let products: Vec<_> = parts.iter().filter_map(|products| products.get(number)).collect();
            let [left, right] = of_kind(*kind, [self.x, self.w, self.g.unwrap_or(self.x)]);
            let dimensions = kind.dimensions(left.shape(), right.shape())?;
            join(&dimensions, side(*kind, dimensions.batch), &products)
        });
        Ok(joined.collect::<Result<_, _>>()?)
    }
}

/// Left and right operand, of X, W and G.
fn of_kind<O>(kind: Kind, [x, w, g]: [O; 3]) -> [O; 2] {
    match kind {
        Kind::Forward => [x, w],
        Kind::WeightGradient => [x, g],
        Kind::InputGradient => [g, w],
    }
}

fn floats(tensor: Tensor) -> Option<Matrices<f32>> {
    match tensor {
        Tensor::Floats(floats) => Some(floats),
        Tensor::Words(_) => None,
    }
}

/// The products, put together and checked; where they are wrong, part by part. The parts of workers that fail are done by the others.
async fn answered<C: Channel>(
    asked: &Asked<'_>,
    parts: &mut [Part],
    pool: &mut Pool<'_, C>,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Matrices<f32>>, ProtocolError> {
    let mut done: Vec<Option<Vec<Matrices<f32>>>> = parts.iter().map(|_| None).collect();
    let mut by = vec![0; parts.len()];
    while done.iter().any(Option::is_none) {
        let left = pool.left()?;
        let mut others = left.iter().cycle();
        let mut turns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for number in (0..parts.len()).filter(|number| done[*number].is_none()) {
            let part = &mut parts[number];
            part.at = part.at.filter(|at| left.contains(at));
            let worker = part.at.or_else(|| others.next().copied());
            turns.entry(worker.unwrap_or_default()).or_default().push(number);
        }
        let mut tasks = Vec::new();
        for (&worker, turn) in &turns {
            let (mut steps, mut shapes) = (Vec::new(), Vec::new());
            for number in turn {
                steps.extend(asked.steps(&parts[*number])?);
                shapes.extend(asked.shapes(&parts[*number])?);
            }
            let job = WorkerJob(steps);
            tasks.push(Task { worker, job, shapes });
        }
        for (worker, answer) in pool.run(tasks, floats).await? {
            let mut products = answer.into_iter().flatten();
            for &number in &turns[&worker] {
                let own: Vec<_> = products.by_ref().take(asked.kinds.len()).collect();
                if own.len() < asked.kinds.len() {
                    break;
                }
                by[number] = worker;
                done[number] = Some(own);
            }
        }
        if done.iter().all(Option::is_some) {
            let own: Vec<_> = done.iter_mut().map(|products| products.take().unwrap_or_default()).collect();
            let whole = asked.joined(&own)?;
            if asked.all_right(&whole, rng) {
                return Ok(whole);
            }
            for (number, own) in own.into_iter().enumerate() {
                match asked.are_right(&parts[number], &own, rng)? {
                    true => done[number] = Some(own),
                    false => pool.lied(by[number], asked.name).await?,
                }
            }
        }
    }
    let own: Vec<_> = done.into_iter().flatten().collect();
    asked.joined(&own)
}
