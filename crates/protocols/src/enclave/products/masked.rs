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

use super::{Operands, gradient, kind, matrices, pool::Pool, product, slots};
use crate::ProtocolError;

pub(super) struct Masked {
    blinder: Blinder,
    /// X and W of each product on its last way forward.
    kept: Vec<Option<(Operands, [Operand; 2])>>,
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
            let put = [x.put(slots[0], worker), w.put(slots[1], worker)];
            WorkerJob([&put[..], &[product(slots, Kind::Forward)]].concat())
        };
        let asked = Asked {
            kind: Kind::Forward,
            operands: [&x, &w],
        };
        let products = answered((0..WORKERS).map(work).collect(), &[asked], name, pool, rng).await?;
        self.kept[number] = Some(([job.left.clone(), job.right.clone()], [x, w]));
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
        let g = matrices(gradient(jobs, kept.as_ref().map(|(last, _)| last), name)?)?;
        let Some((_, [x, w])) = kept else { return Ok(Vec::new()) };
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
            let mut steps = vec![g.put(slots[2], worker)];
            steps.extend(jobs.iter().map(|job| product(slots, kind(job.kind))));
            steps.extend(slots.map(|slot| Step::Free { slot }));
            WorkerJob(steps)
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
        answered((0..WORKERS).map(work).collect(), &asked, name, pool, rng).await
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
    fn put(&self, slot: u32, worker: usize) -> Step {
        Step::Put {
            slot,
            tensor: Tensor::Residues(self.shares[worker].clone()),
        }
    }
}

impl Asked<'_> {
    fn shape(&self) -> Result<Shape, AccelError> {
        let [left, right] = self.operands.map(|operand| operand.integers.integers().shape());
        Ok(self.kind.dimensions(left, right)?.product())
    }
}

/// The products that the workers' answers stand for, checked.
async fn answered<C: Channel>(
    jobs: Vec<WorkerJob>,
    asked: &[Asked<'_>],
    name: &str,
    pool: &mut Pool<'_, C>,
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Matrices<f32>>, ProtocolError> {
    let shapes: Vec<Shape> = asked.iter().map(Asked::shape).collect::<Result<_, _>>()?;
    let answers = pool.run(jobs).await?.into_iter().enumerate();
    let answers: Vec<Vec<Residues>> = answers
        .map(|(worker, answer)| pool.residues(worker, answer, &shapes))
        .collect::<Result<_, _>>()?;
    let mut products = Vec::with_capacity(asked.len());
    for (number, asked) in asked.iter().enumerate() {
        let [x, y] = asked.operands;
        let each = [0, 1, 2].map(|worker| &answers[worker][number]);
        let decoded = decode(each, product_exponent(asked.kind, &x.integers, &y.integers)?)?;
        if let Err(cause) = check_integers(asked.kind, &x.integers, &y.integers, &decoded, rng) {
            let liar = (0..WORKERS).find(|worker| {
                let (left, right) = (&x.shares[*worker], &y.shares[*worker]);
                check_residues(asked.kind, left, right, each[*worker], rng).is_err()
            });
            // Without one it is this machine's own arithmetic.
            return Err(liar.map_or(ProtocolError::Acceleration(cause), |worker| pool.lied(worker, name)));
        }
        products.push(decoded.numbers()?);
    }
    Ok(products)
}
