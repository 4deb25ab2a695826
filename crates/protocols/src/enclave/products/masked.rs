//! Operands in shares of degree 1 at three workers.

use cloven_accel::{
    AccelError, Kind, Matrices, Residues, Shape,
    freivalds::check_integers,
    job::{Job, Step, Tensor},
    masked::{Blinder, Norms, Quantised, Side, WORKERS, balanced_scales, decode, fitting_scale, product_exponent},
    residue_products,
};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{Gradients, pool::Pool, slots};
use crate::ProtocolError;

pub(super) struct Masked {
    blinder: Blinder,
    /// Of a training step, what backward needs of each layer.
    kept: Vec<Option<[Operand; 2]>>,
}

/// An operand, and its shares.
struct Operand {
    integers: Quantised,
    shares: [Residues; WORKERS],
}

/// What every worker is asked for: products of slots, in order.
struct Asked<'o> {
    kind: Kind,
    operands: [&'o Operand; 2],
}

impl Masked {
    pub(super) fn new(layers: usize, rng: &mut ChaCha20Rng) -> Self {
        Self {
            blinder: Blinder::new(rng),
            kept: (0..layers).map(|_| None).collect(),
        }
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
        let norms = [Norms::of(&x)?, Norms::of(&w)?];
        let scales = balanced_scales(Kind::Forward, x.shape().columns, &norms[0], &norms[1])?;
        let x = self.operand(Quantised::new(&x, norms[0], scales.0)?)?;
        let w = self.operand(Quantised::new(&w, norms[1], scales.1)?)?;
        let [slot_x, slot_w, _] = slots(number);
        let asked = Asked {
            kind: Kind::Forward,
            operands: [&x, &w],
        };
        let jobs = (0..WORKERS).map(|worker| {
            let mut steps = vec![
                x.put(slot_x, worker),
                w.put(slot_w, worker),
                product(asked.kind, slot_x, slot_w),
            ];
            if !keep {
                steps.extend([slot_x, slot_w].map(|slot| Step::Free { slot }));
            }
            Job(steps)
        });
        let mut products = answered(jobs.collect(), &[asked], name, pool, rng).await?;
        if keep {
            self.kept[number] = Some([x, w]);
        }
        products.pop().ok_or_else(|| nothing_kept(name))
    }

    pub(super) async fn backward<C: Channel>(
        &mut self,
        (number, name): (usize, &str),
        g: Matrices<f32>,
        wanted: bool,
        pool: &mut Pool<'_, C>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Gradients, ProtocolError> {
        let [x, w] = self.kept[number].take().ok_or_else(|| nothing_kept(name))?;
        let norms = Norms::of(&g)?;
        let given = |operand: &Operand, side| (*operand.integers.norms(), operand.integers.scale(), side);
        let fitting =
            |kind, depth, (norms_of, scale, side): (Norms, _, Side)| fitting_scale(kind, depth, (&norms_of, scale, side), &norms);
        let mut scale = fitting(Kind::WeightGradient, g.shape().rows, given(&x, Side::Left))?;
        if wanted {
            scale = scale.min(fitting(Kind::InputGradient, g.shape().columns, given(&w, Side::Right))?);
        }
        let g = self.operand(Quantised::new(&g, norms, scale)?)?;
        let slots = slots(number);
        let [slot_x, slot_w, slot_g] = slots;
        let mut asked = vec![Asked {
            kind: Kind::WeightGradient,
            operands: [&x, &g],
        }];
        if wanted {
            asked.push(Asked {
                kind: Kind::InputGradient,
                operands: [&g, &w],
            });
        }
        let jobs = (0..WORKERS).map(|worker| {
            let mut steps = vec![g.put(slot_g, worker), product(Kind::WeightGradient, slot_x, slot_g)];
            if wanted {
                steps.push(product(Kind::InputGradient, slot_g, slot_w));
            }
            steps.extend(slots.map(|slot| Step::Free { slot }));
            Job(steps)
        });
        let mut products = answered(jobs.collect(), &asked, name, pool, rng).await?.into_iter();
        let weight = products.next().ok_or_else(|| nothing_kept(name))?;
        Ok((weight, products.next()))
    }

    fn operand(&mut self, integers: Quantised) -> Result<Operand, ProtocolError> {
        let shares = self.blinder.share(&integers)?;
        Ok(Operand { integers, shares })
    }
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

fn product(kind: Kind, left: u32, right: u32) -> Step {
    Step::Product {
        kind,
        left,
        right,
        keep: None,
    }
}

/// The products that the workers' answers stand for, checked.
async fn answered<C: Channel>(
    jobs: Vec<Job>,
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
        let decoded = decode(
            [0, 1, 2].map(|worker| &answers[worker][number]),
            product_exponent(asked.kind, &x.integers, &y.integers)?,
        )?;
        if let Err(cause) = check_integers(asked.kind, &x.integers, &y.integers, &decoded, rng) {
            return Err(liar(
                asked,
                [0, 1, 2].map(|worker| &answers[worker][number]),
                name,
                cause,
                pool,
            ));
        }
        products.push(decoded.numbers()?);
    }
    Ok(products)
}

/// Who gave another product than that of its shares: computed again here, which only a lie costs.
fn liar<C: Channel>(
    asked: &Asked<'_>,
    answers: [&Residues; WORKERS],
    name: &str,
    cause: AccelError,
    pool: &Pool<'_, C>,
) -> ProtocolError {
    let [x, y] = asked.operands;
    for (worker, answer) in answers.into_iter().enumerate() {
        match residue_products(asked.kind, &x.shares[worker], &y.shares[worker]) {
            Ok(product) if product == *answer => {}
            Ok(_) => return pool.lied(worker, name),
            Err(own) => return Pool::<C>::unexplained(own),
        }
    }
    Pool::<C>::unexplained(cause)
}

fn nothing_kept(name: &str) -> ProtocolError {
    ProtocolError::Structure(format!(
        "layer {name} has gone forward before it goes back: expected a product, got none"
    ))
}
