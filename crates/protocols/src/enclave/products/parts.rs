//! Parts of the products of one layer, one at each worker: which, the steps that a worker takes for its own, and what it gives joined and checked.

use std::{collections::BTreeMap, ops::Range};

use cloven_accel::{
    AccelError, Kind, Matrices, Shape,
    convolution::{self, Window},
    freivalds::check_floats,
    job::{Job as WorkerJob, Step, Tensor},
    sharding::{Cut, Operand},
};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{
    SLOTS, asks,
    in_place::InPlace,
    pool::{Pool, Task},
    product, unfolded,
};
use crate::ProtocolError;

/// Rounds of a check: of a product that is off by 2^20 times the tolerance, one in 2^40 passes.
const ROUNDS: usize = 2;

/// The part of one worker in a product.
pub(super) struct Part {
    /// Of what is cut.
    pub(super) range: Range<usize>,
    /// Who has it. Once that worker has failed nobody: others are then given what they need each time, until the product's next way forward.
    pub(super) at: Option<usize>,
}

/// Whether nobody who has a part has failed.
pub(super) fn all_present(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.at.is_some())
}

/// The cut under which the fewest numbers cross the links in a training step, of a layer whose three products are wanted; X may be images. Weights that stay at workers, as they
/// do where each is at one only, are not sent.
pub(in crate::enclave) fn cheapest(window: Option<Window>, x: Shape, w: Shape, workers: usize, stays: bool) -> Cut {
    if w.batch != 1 {
        return Cut::Batch;
    }
    let places = window.map_or(x.rows, |window| x.batch * window.output().iter().product::<usize>());
    // Each operand, and what has its form: to or from all workers where it is not cut.
    let crossing = |cut: &Cut| {
        let copies = |operand| if cut.cuts(operand) { 1 } else { workers };
        let of_weights = match copies(Operand::W) {
            1 if stays => 1,
            copies => 2 * copies,
        };
        2 * copies(Operand::X) * x.elements() + 2 * copies(Operand::G) * places * w.columns + of_weights * w.elements()
    };
    let mut cuts = vec![Cut::Rows(window), Cut::Columns];
    // Channels of images are not rows of W that lie together.
    cuts.extend(window.is_none().then_some(Cut::Inner));
    cuts.into_iter().min_by_key(crossing).unwrap_or(Cut::Rows(window))
}

/// Where a worker keeps operands: X, W and G of the product, of another's part, and windows while a job lasts.
#[derive(Clone, Copy)]
pub(super) struct Slots {
    pub(super) own: [u32; 3],
    pub(super) in_anothers_place: [u32; 3],
    pub(super) windows: [u32; 3],
}

/// Products that are asked for at once.
pub(super) struct Asked<'o> {
    pub(super) kinds: Vec<Kind>,
    pub(super) cut: Cut,
    /// Of a convolution, whose X and dX are images.
    pub(super) window: Option<Window>,
    pub(super) x: &'o Matrices<f32>,
    pub(super) w: &'o Matrices<f32>,
    /// None on the way forward.
    pub(super) g: Option<&'o Matrices<f32>>,
    pub(super) slots: Slots,
    /// Weights that are at the workers on the way forward, and stay there after the way back.
    pub(super) there: Option<&'o InPlace>,
    pub(super) name: &'o str,
}

impl Asked<'_> {
    fn operand(&self, operand: Operand) -> &Matrices<f32> {
        match operand {
            Operand::X => self.x,
            Operand::W => self.w,
            Operand::G => self.g.unwrap_or(self.x),
        }
    }

    /// The shape of the whole product.
    fn shape(&self, kind: Kind) -> Result<Shape, AccelError> {
        let (x, w) = (self.x.shape(), self.w.shape());
        match kind {
            Kind::Forward => {
                let rows = self.window.map_or(Ok(x), |window| window.patches(x.batch))?;
                Shape::new(w.batch, rows.rows, w.columns)
            }
            Kind::WeightGradient => Ok(w),
            Kind::InputGradient => Ok(x),
        }
    }

    /// The steps for a part, at its own worker or in its place.
    fn steps(&self, part: &Part) -> Result<Vec<Step>, ProtocolError> {
        let slots = match part.at {
            Some(_) => self.slots.own,
            None => self.slots.in_anothers_place,
        };
        let put = |operand: Operand| {
            let tensor = Tensor::Floats(self.cut.part(operand, &part.range, self.operand(operand))?);
            let slot = slots[operand as usize];
            Ok::<_, AccelError>(Step::Put { slot, tensor })
        };
        let there = self.there.filter(|_| part.at.is_some());
        let mut steps = Vec::new();
        if self.g.is_none() || part.at.is_none() {
            match there {
                Some(there) => steps.extend(there.steps(&part.range)?),
                None => steps.push(put(Operand::W)?),
            }
            steps.push(put(Operand::X)?);
        }
        if self.g.is_some() {
            steps.push(put(Operand::G)?);
        }
        for kind in &self.kinds {
            match (there, *kind, self.window) {
                (Some(there), Kind::WeightGradient, window) => {
                    let (slot, windows) = (there.gradient(), self.slots.windows[0]);
                    match window {
                        Some(window) => steps.extend(unfolded(slots, windows, *kind, window, Some(slot))),
                        None => steps.push(product(slots, *kind, Some(slot))),
                    }
                    steps.push(Step::Read { slot });
                }
                (_, kind, window) => steps.extend(asks(slots, self.slots.windows, kind, window)),
            }
        }
        if self.g.is_some() || part.at.is_none() {
            let [x, w, g] = slots;
            steps.extend([x, g].map(|slot| Step::Free { slot }));
            if there.is_none() {
                // Also what weights left there that do not stay any more.
                let more = [w, x + SLOTS - 2, x + SLOTS - 1];
                steps.extend(more.map(|slot| Step::Free { slot }));
            }
        }
        Ok(steps)
    }

    /// Shapes of a part's products.
    fn shapes(&self, part: &Part) -> Result<Vec<Shape>, ProtocolError> {
        let shape = |kind: &Kind| {
            let [.., form] = Operand::of(*kind);
            self.cut.part_shape(form, &part.range, self.shape(*kind)?)
        };
        Ok(self.kinds.iter().map(shape).collect::<Result<_, _>>()?)
    }

    /// Whether these are the products of operands, or of parts of them.
    fn are_right<'m>(
        &self,
        operand: impl Fn(Operand) -> &'m Matrices<f32>,
        products: &[Matrices<f32>],
        rng: &mut ChaCha20Rng,
    ) -> bool {
        self.kinds.iter().zip(products).all(|(kind, product)| {
            let [left, right, _] = Operand::of(*kind);
            let (left, right) = (operand(left), operand(right));
            match &self.window {
                Some(window) => convolution::check_floats(window, *kind, left, right, product, rng).is_ok(),
                None => check_floats(*kind, left, right, product, ROUNDS, rng).is_ok(),
            }
        })
    }

    /// [`Self::are_right`] of a part.
    fn is_right(&self, part: &Part, products: &[Matrices<f32>], rng: &mut ChaCha20Rng) -> Result<bool, ProtocolError> {
        let of = |operand| self.cut.part(operand, &part.range, self.operand(operand));
        let (x, w) = (of(Operand::X)?, of(Operand::W)?);
        let g = self.g.map(|_| of(Operand::G)).transpose()?;
        let operand = |operand| match operand {
            Operand::X => &x,
            Operand::W => &w,
            Operand::G => g.as_ref().unwrap_or(&x),
        };
        Ok(self.are_right(operand, products, rng))
    }

    /// The products from those of all parts.
    fn joined(&self, parts: &[Part], products: &[Vec<Matrices<f32>>]) -> Result<Vec<Matrices<f32>>, ProtocolError> {
        let joined = self.kinds.iter().enumerate().map(|(number, kind)| {
            let [.., form] = Operand::of(*kind);
            let each = parts.iter().zip(products);
            let each: Vec<_> = each
                .filter_map(|(part, products)| Some((part.range.clone(), products.get(number)?)))
                .collect();
            self.cut.joined(form, self.shape(*kind)?, &each)
        });
        Ok(joined.collect::<Result<_, _>>()?)
    }
}

fn floats(tensor: Tensor) -> Option<Matrices<f32>> {
    match tensor {
        Tensor::Floats(floats) => Some(floats),
        Tensor::Words(_) => None,
    }
}

/// The products, put together and checked; where they are wrong, part by part. The parts of workers that fail are done by the others.
pub(super) async fn answered<C: Channel>(
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
            let mut shapes = Vec::new();
            for number in turn {
                shapes.extend(asked.shapes(&parts[*number])?);
            }
            let parts = &*parts;
            let job = move || {
                let mut steps = Vec::new();
                for number in turn {
                    steps.extend(asked.steps(&parts[*number])?);
                }
                Ok(WorkerJob(steps))
            };
            let job = Box::new(job);
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
            let whole = asked.joined(parts, &own)?;
            if asked.are_right(|operand| asked.operand(operand), &whole, rng) {
                return Ok(whole);
            }
            for (number, own) in own.into_iter().enumerate() {
                match asked.is_right(&parts[number], &own, rng)? {
                    true => done[number] = Some(own),
                    false => pool.lied(by[number], asked.name).await?,
                }
            }
        }
    }
    let own: Vec<_> = done.into_iter().flatten().collect();
    asked.joined(parts, &own)
}
