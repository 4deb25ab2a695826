//! Operands in shares of degree 1 at three workers.

use std::cell::RefCell;

use cloven_accel::{
    AccelError, Kind, Matrices, Shape, Words,
    convolution::{Window, check_input_gradient, check_output, check_weight_gradient},
    freivalds::{check_integers, check_residues},
    job::{Job as WorkerJob, Step, Tensor},
    masked::{Blinder, MaskedOperand, Norms, Quantised, Side, WORKERS, balanced_scales, decode, fitting_scale, product_exponent},
    residue_products,
};
use cloven_nn::offload::{Job, ProductKind};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{
    Operands, asks, gradient, kind, left, matrices,
    pool::{Pool, Task},
    slots,
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

/// An operand, and its shares until they are given away: they can be made again for a spare and for the check of a worker, and are three times as large as the
/// operand.
struct Operand {
    masked: MaskedOperand,
    shares: RefCell<[Option<Words>; WORKERS]>,
}

/// A product that the workers are asked for.
struct Asked<'o> {
    kind: Kind,
    /// Of a convolution, whose X and dX are images.
    window: Option<Window>,
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
        window: Option<Window>,
        jobs: &[Job],
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        match jobs {
            [job] if job.kind == ProductKind::Forward => self.forward(place, window, job, pool, rng).await,
            jobs => self.backward(place, window, jobs, pool, rng).await,
        }
    }

    async fn forward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        window: Option<Window>,
        job: &Job,
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        let (x, w) = (left(job, window)?, matrices(&job.right)?);
        let norms_x = window.map_or_else(|| Norms::of(&x), |window| window.norms(&x))?;
        let norms = [norms_x, Norms::of(&w)?];
        let (scale_x, scale_w) = balanced_scales(Kind::Forward, w.shape().rows, &norms[0], &norms[1])?;
        let x = self.operand(Quantised::new(&x, norms[0], scale_x)?)?;
        let w = self.operand(Quantised::new(&w, norms[1], scale_w)?)?;
        let (slots, spare, blinder) = (slots(number), self.spare_slots(), &self.blinder);
        let work = |worker| {
            let mut steps = vec![x.put(slots[0], worker, blinder), w.put(slots[1], worker, blinder)];
            steps.extend(asks(slots, spare, Kind::Forward, window));
            steps
        };
        let asked = Asked {
            kind: Kind::Forward,
            window,
            operands: [&x, &w],
        };
        let (products, holders) = answered(&work, &[asked], name, blinder, pool, rng).await?;
        let last = [job.left.clone(), job.right.clone()];
        self.kept[number] = Some(Kept { last, x, w, holders });
        Ok(products)
    }

    async fn backward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        window: Option<Window>,
        jobs: &[Job],
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        let kept = self.kept[number].take();
        let gradients = matrices(gradient(jobs, kept.as_ref().map(|kept| &kept.last), name)?)?;
        let Some(Kept { x, w, holders, .. }) = kept else {
            return Ok(Vec::new());
        };
        let norms = Norms::of(&gradients)?;
        let Shape { rows, columns, .. } = gradients.shape();
        // One scale for all products of G: the smallest that any of them needs.
        let scales = jobs.iter().map(|job| match job.kind {
            ProductKind::InputGradient => fit(Kind::InputGradient, columns, (&w, Side::Right), &norms),
            _ => fit(Kind::WeightGradient, rows, (&x, Side::Left), &norms),
        });
        let scales: Vec<_> = scales.collect::<Result<_, _>>()?;
        let Some(scale) = scales.into_iter().min() else {
            return Ok(Vec::new());
        };
        let g = self.operand(Quantised::new(&gradients, norms, scale)?)?;
        // Workers fold dX where its sums have room at this scale, which is mostly the other product's. For a lower one G would lose bits.
        let folding = window.filter(|window| window.exponent(Kind::InputGradient, g.integers(), w.integers()).is_ok());
        let window_of = |kind| if kind == ProductKind::InputGradient { folding } else { window };
        let (slots, spare, blinder) = (slots(number), self.spare_slots(), &self.blinder);
        let work = |worker| {
            // A spare was not there on the way forward: it gets what the one before it had.
            let mut steps = match holders.contains(&worker) {
                true => Vec::new(),
                false => vec![x.put(slots[0], worker, blinder), w.put(slots[1], worker, blinder)],
            };
            steps.push(g.put(slots[2], worker, blinder));
            steps.extend(
                jobs.iter()
                    .flat_map(|job| asks(slots, spare, kind(job.kind), window_of(job.kind))),
            );
            steps.extend(slots.map(|slot| Step::Free { slot }));
            steps
        };
        let asked: Vec<Asked<'_>> = jobs
            .iter()
            .map(|job| Asked {
                kind: kind(job.kind),
                window: window_of(job.kind),
                operands: match job.kind {
                    ProductKind::InputGradient => [&g, &w],
                    _ => [&x, &g],
                },
            })
            .collect();
        let (products, _) = answered(&work, &asked, name, blinder, pool, rng).await?;
        let whole = products.into_iter().zip(jobs).map(|(product, job)| match window {
            Some(window) if job.kind == ProductKind::InputGradient && folding.is_none() => window.fold(&product),
            _ => Ok(product),
        });
        Ok(whole.collect::<Result<_, _>>()?)
    }

    /// Slots for windows, only while a job lasts: kept are the images, which are several times smaller.
    fn spare_slots(&self) -> [u32; 3] {
        slots(self.kept.len())
    }

    fn operand(&mut self, integers: Quantised) -> Result<Operand, ProtocolError> {
        let masked = self.blinder.masked(integers)?;
        let shares = RefCell::new(self.blinder.shares(&masked).map(Some));
        Ok(Operand { masked, shares })
    }
}

/// The largest scale of an operand with these norms beside the other one.
fn fit(
    kind: Kind,
    depth: usize,
    (other, side): (&Operand, Side),
    norms: &Norms,
) -> Result<cloven_accel::masked::Scale, AccelError> {
    let other = other.integers();
    fitting_scale(kind, depth, (other.norms(), other.scale(), side), norms)
}

impl Operand {
    fn integers(&self) -> &Quantised {
        self.masked.integers()
    }

    /// Gives a worker its share. The only way out: nobody is given a share by its number.
    fn put(&self, slot: u32, worker: usize, blinder: &Blinder) -> Step {
        let share = Terms::share(worker);
        let kept = self.shares.borrow_mut()[share].take();
        Step::Put {
            slot,
            tensor: Tensor::Words(kept.unwrap_or_else(|| self.share(share, blinder))),
        }
    }

    /// A share again.
    fn share(&self, share: usize, blinder: &Blinder) -> Words {
        let [first, second, third] = blinder.shares(&self.masked);
        match share {
            0 => first,
            1 => second,
            _ => third,
        }
    }
}

impl Asked<'_> {
    fn shape(&self) -> Result<Shape, AccelError> {
        let [left, right] = self.operands.map(|operand| operand.integers().integers().shape());
        match (self.kind, self.window) {
            (kind, None) => Ok(kind.dimensions(left, right)?.product()),
            (Kind::InputGradient, Some(window)) => {
                let [height, width] = window.output();
                window.images(left.rows / (height * width))
            }
            (kind, Some(window)) => Ok(kind.dimensions(window.patches(left.batch)?, right)?.product()),
        }
    }

    /// The product that these answers of the three shares stand for, checked.
    fn decoded(&self, answers: [&Words; WORKERS], rng: &mut ChaCha20Rng) -> Result<Matrices<f32>, AccelError> {
        let [x, y] = self.operands.map(|operand| operand.integers());
        let exponent = match self.window {
            None => product_exponent(self.kind, x, y)?,
            Some(window) => window.exponent(self.kind, x, y)?,
        };
        let decoded = decode(answers, exponent)?;
        match (self.kind, self.window) {
            (kind, None) => check_integers(kind, x, y, &decoded, rng),
            (Kind::Forward, Some(window)) => check_output(&window, x, y, &decoded, rng),
            (Kind::WeightGradient, Some(window)) => check_weight_gradient(&window, x, y, &decoded, rng),
            (Kind::InputGradient, Some(window)) => check_input_gradient(&window, x, y, &decoded, rng),
        }?;
        decoded.numbers()
    }

    /// Whether this is what the worker with this share should have answered.
    fn is_answered(&self, share: usize, answer: &Words, blinder: &Blinder, rng: &mut ChaCha20Rng) -> bool {
        let [left, right] = self.operands.map(|operand| operand.share(share, blinder).residues());
        let answer = answer.residues();
        match (self.kind, self.window) {
            (kind, None) => check_residues(kind, &left, &right, &answer, rng).is_ok(),
            // Of a folded answer there is no check but to compute it.
            (Kind::InputGradient, Some(window)) => {
                let folded =
                    residue_products(Kind::InputGradient, &left, &right).and_then(|patches| window.fold_residues(&patches));
                folded.is_ok_and(|expected| expected == answer)
            }
            (kind, Some(window)) => window
                .unfold_residues(&left)
                .is_ok_and(|patches| check_residues(kind, &patches, &right, &answer, rng).is_ok()),
        }
    }
}

/// The products that the workers' answers stand for, checked, and who gave them. The part of a worker that fails is done by a spare.
async fn answered<C: Channel>(
    work: &dyn Fn(usize) -> Vec<Step>,
    asked: &[Asked<'_>],
    name: &str,
    blinder: &Blinder,
    pool: &mut Pool<'_, C>,
    rng: &mut ChaCha20Rng,
) -> Result<(Vec<Matrices<f32>>, [usize; WORKERS]), ProtocolError> {
    let shapes: Vec<Shape> = asked.iter().map(Asked::shape).collect::<Result<_, _>>()?;
    let mut answers: [Option<(usize, Vec<Words>)>; WORKERS] = [const { None }; WORKERS];
    loop {
        let mut tasks = Vec::new();
        for share in (0..WORKERS).filter(|share| answers[*share].is_none()) {
            let worker = pool.holder(share)?;
            let (job, shapes) = (Box::new(move || Ok(WorkerJob(work(worker)))), shapes.clone());
            tasks.push(Task { worker, job, shapes });
        }
        for (worker, answer) in pool.run(tasks, words).await? {
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
        let liars = liars(asked, all, blinder, rng);
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

fn words(tensor: Tensor) -> Option<Words> {
    match tensor {
        Tensor::Words(words) => Some(words),
        Tensor::Floats(_) => None,
    }
}

fn decoded(
    asked: &[Asked<'_>],
    answers: [&Vec<Words>; WORKERS],
    rng: &mut ChaCha20Rng,
) -> Result<Vec<Matrices<f32>>, AccelError> {
    let each = asked.iter().enumerate();
    each.map(|(number, asked)| asked.decoded(answers.map(|answer| &answer[number]), rng))
        .collect()
}

/// The shares whose answers are not the products of what their workers were given.
fn liars(asked: &[Asked<'_>], answers: [&Vec<Words>; WORKERS], blinder: &Blinder, rng: &mut ChaCha20Rng) -> Vec<usize> {
    let mut is_right = |share: usize| {
        let mut each = asked.iter().zip(answers[share]);
        each.all(|(asked, answer)| asked.is_answered(share, answer, blinder, rng))
    };
    (0..WORKERS).filter(|share| !is_right(*share)).collect()
}
