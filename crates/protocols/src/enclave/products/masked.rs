//! Operands in shares of degree 1 at three workers.

use cloven_accel::{
    AccelError, Kind, Matrices, Residues, Shape,
    freivalds::{check_integers, check_residues},
    job::{Job as WorkerJob, Step, Tensor},
    masked::{Blinder, Norms, Quantised, Side, WORKERS, balanced_scales, decode, fitting_scale, product_exponent},
};
use cloven_nn::offload::{Job, ProductKind};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{
    Operands, gradient, kind, matrices,
    pool::{Pool, Task},
    product, slots,
};
use crate::{ProtocolError, enclave::Terms};

pub(super) struct Masked {
    blinder: Blinder,
    /// X and W of each product on its last way forward.
    kept: Vec<Option<Kept>>,
}

struct Kept {
    last: Operands,
    x: Operand,
    w: Operand,
    /// Who has which share of them.
    holders: [usize; WORKERS],
}

/// An operand, and its shares.
struct Operand {
    integers: Quantised,
    shares: [Residues; WORKERS],
}

/// A product that the workers are asked for.
struct Asked<'o> {
    kind: Kind,
    operands: [&'o Operand; 2],
}

impl Masked {
    pub(super) fn new(products: usize, rng: &mut ChaCha20Rng) -> Self {
        Self {
            blinder: Blinder::new(rng),
            kept: (0..products).map(|_| None).collect(),
        }
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
        let norms = [Norms::of(&x)?, Norms::of(&w)?];
        let (scale_x, scale_w) = balanced_scales(Kind::Forward, x.shape().columns, &norms[0], &norms[1])?;
        let x = self.operand(Quantised::new(&x, norms[0], scale_x)?)?;
        let w = self.operand(Quantised::new(&w, norms[1], scale_w)?)?;
        let slots = slots(number);
        let work = |worker| {
            vec![
                x.put(slots[0], worker),
                w.put(slots[1], worker),
                product(slots, Kind::Forward),
            ]
        };
        let asked = Asked {
            kind: Kind::Forward,
            operands: [&x, &w],
        };
        let (products, holders) = answered(&work, &[asked], name, pool, rng).await?;
        let last = [job.left.clone(), job.right.clone()];
        self.kept[number] = Some(Kept { last, x, w, holders });
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
        let Some(Kept { x, w, holders, .. }) = kept else {
            return Ok(Vec::new());
        };
        let norms = Norms::of(&g)?;
        // One scale for all products of G: the smallest that any of them needs.
        let scales = jobs.iter().map(|job| match job.kind {
            ProductKind::InputGradient => fit(Kind::InputGradient, g.shape().columns, (&w, Side::Right), &norms),
            _ => fit(Kind::WeightGradient, g.shape().rows, (&x, Side::Left), &norms),
        });
        let scales: Vec<_> = scales.collect::<Result<_, _>>()?;
        let Some(scale) = scales.into_iter().min() else {
            return Ok(Vec::new());
        };
        let g = self.operand(Quantised::new(&g, norms, scale)?)?;
        let slots = slots(number);
        let work = |worker| {
            // A spare was not there on the way forward: it gets what the one before it had.
            let mut steps = match holders.contains(&worker) {
                true => Vec::new(),
                false => vec![x.put(slots[0], worker), w.put(slots[1], worker)],
            };
            steps.push(g.put(slots[2], worker));
            steps.extend(jobs.iter().map(|job| product(slots, kind(job.kind))));
            steps.extend(slots.map(|slot| Step::Free { slot }));
            steps
        };
        let asked: Vec<Asked<'_>> = jobs
            .iter()
            .map(|job| Asked {
                kind: kind(job.kind),
                operands: match job.kind {
                    ProductKind::InputGradient => [&g, &w],
                    _ => [&x, &g],
                },
            })
            .collect();
        Ok(answered(&work, &asked, name, pool, rng).await?.0)
    }

    fn operand(&mut self, integers: Quantised) -> Result<Operand, ProtocolError> {
        let shares = self.blinder.share(&integers)?;
        Ok(Operand { integers, shares })
    }
}

/// The largest scale of an operand with these norms beside the other one.
fn fit(
    kind: Kind,
    depth: usize,
    (other, side): (&Operand, Side),
    norms: &Norms,
) -> Result<cloven_accel::masked::Scale, AccelError> {
    let other = &other.integers;
    fitting_scale(kind, depth, (other.norms(), other.scale(), side), norms)
}

impl Operand {
    /// Gives a worker its share. The only way to any: nobody asks for a share by its number.
    fn put(&self, slot: u32, worker: usize) -> Step {
        Step::Put {
            slot,
            tensor: Tensor::Residues(self.shares[Terms::share(worker)].clone()),
        }
    }
}

impl Asked<'_> {
    fn shape(&self) -> Result<Shape, AccelError> {
        let [left, right] = self.operands.map(|operand| operand.integers.integers().shape());
        Ok(self.kind.dimensions(left, right)?.product())
    }
}

/// The products that the workers' answers stand for, checked, and who gave them. The part of a worker that fails is done by a spare.
async fn answered<C: Channel>(
    work: &dyn Fn(usize) -> Vec<Step>,
    asked: &[Asked<'_>],
    name: &str,
    pool: &mut Pool<'_, C>,
    rng: &mut ChaCha20Rng,
) -> Result<(Vec<Matrices<f32>>, [usize; WORKERS]), ProtocolError> {
    let shapes: Vec<Shape> = asked.iter().map(Asked::shape).collect::<Result<_, _>>()?;
    let mut answers: [Option<(usize, Vec<Residues>)>; WORKERS] = [const { None }; WORKERS];
    loop {
        let mut tasks = Vec::new();
        for share in (0..WORKERS).filter(|share| answers[*share].is_none()) {
            let worker = pool.holder(share)?;
            let (job, shapes) = (WorkerJob(work(worker)), shapes.clone());
            tasks.push(Task { worker, job, shapes });
        }
        for (worker, answer) in pool.run(tasks, residues).await? {
            answers[Terms::share(worker)] = answer.map(|answer| (worker, answer));
        }
        let [Some(first), Some(second), Some(third)] = &answers else {
            continue;
        };
        let (holders, all) = ([first.0, second.0, third.0], [&first.1, &second.1, &third.1]);
        let cause = match decoded(asked, all, rng) {
            Ok(products) => return Ok((products, holders)),
            Err(cause) => cause,
        };
        let liars = liars(asked, all, rng);
        if liars.is_empty() {
            // It is this machine's own arithmetic.
            return Err(cause.into());
        }
        for share in liars {
            answers[share] = None;
            pool.lied(holders[share], name).await?;
        }
    }
}

fn residues(tensor: Tensor) -> Option<Residues> {
    match tensor {
        Tensor::Residues(residues) => Some(residues),
        Tensor::Floats(_) => None,
    }
}

fn decoded(
    asked: &[Asked<'_>],
    answers: [&Vec<Residues>; WORKERS],
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Matrices<f32>>, AccelError> {
    let each = asked.iter().enumerate().map(|(number, asked)| {
        let [x, y] = asked.operands.map(|operand| &operand.integers);
        let decoded = decode(answers.map(|answer| &answer[number]), product_exponent(asked.kind, x, y)?)?;
        check_integers(asked.kind, x, y, &decoded, rng)?;
        decoded.numbers()
    });
    each.collect()
}

/// The shares whose answers are not the products of what their workers were given.
fn liars(asked: &[Asked<'_>], answers: [&Vec<Residues>; WORKERS], rng: &mut ChaCha20Rng) -> Vec<usize> {
    let mut is_right = |share: usize| {
        asked.iter().zip(answers[share]).all(|(asked, answer)| {
            let [left, right] = asked.operands.map(|operand| &operand.shares[share]);
            check_residues(asked.kind, left, right, answer, rng).is_ok()
        })
    };
    (0..WORKERS).filter(|share| !is_right(*share)).collect()
}
