//! Operands as numbers, permuted or in the clear: every worker has a part of each product ([`Cut`]).

use std::{collections::BTreeMap, ops::Range};

use cloven_accel::{
    AccelError, Kind, Matrices, Shape,
    convolution::{self, Window},
    freivalds::check_floats,
    job::{Job as WorkerJob, Step, Tensor},
    permuted::{BatchKeys, LayerKeys},
    sharding::{Cut, Operand},
};
use cloven_nn::offload::{Job, OffloadedNetwork, Product, ProductKind};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{
    Operands, SLOTS, asks, gradient,
    in_place::InPlace,
    kind, matrices,
    pool::{Pool, Task},
    product, slots, unfolded, view,
};
use crate::ProtocolError;

/// Rounds of a check: of a product that is off by 2^20 times the tolerance, one in 2^40 passes.
const ROUNDS: usize = 2;

pub(super) struct Floats {
    /// With permutations: those of each product's inner side and columns, and after how many steps they are drawn anew.
    keys: Option<(Vec<LayerKeys>, u64)>,
    layers: Vec<Layer>,
    steps: u64,
    /// X and W of each product on its last way forward.
    kept: Vec<Option<Kept>>,
    /// Weights that workers have from the last step, or will have.
    there: Vec<Option<InPlace>>,
    /// Whether weights may stay at all.
    may_stay: bool,
}

/// What keys are drawn for.
struct Layer {
    inner: usize,
    columns: usize,
    /// Of a convolution whose X and dX are images.
    window: Option<Window>,
    /// Whether W is a parameter; else both operands are activations.
    parameter: bool,
}

/// X and W as the workers have them.
struct Kept {
    last: Operands,
    x: Matrices<f32>,
    w: Matrices<f32>,
    batch: Option<BatchKeys>,
    cut: Cut,
    parts: Vec<Part>,
}

/// The part of one worker in a product.
struct Part {
    /// Of what is cut.
    range: Range<usize>,
    /// Who has it. Once that worker has failed nobody: others are then given what they need each time, until the product's next way forward.
    at: Option<usize>,
}

impl Floats {
    pub(super) fn new(products: &[Product], rekey_every: Option<u64>, rng: &mut ChaCha20Rng) -> Result<Self, ProtocolError> {
        let layers: Vec<Layer> = products
            .iter()
            .map(|product| Layer {
                inner: product.inner,
                columns: product.columns,
                window: product.windows.and_then(super::overlapping),
                parameter: product.parameter,
            })
            .collect();
        let keys = rekey_every.map(|every| Ok::<_, ProtocolError>((drawn(&layers, rng)?, every.max(1))));
        Ok(Self {
            keys: keys.transpose()?,
            steps: 0,
            kept: layers.iter().map(|_| None).collect(),
            there: layers.iter().map(|_| None).collect(),
            may_stay: stays(rekey_every),
            layers,
        })
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
        let unfolded = job
            .windows
            .filter(|_| window.is_none())
            .map(|windows| windows.unfold(&job.left));
        let unfolded = unfolded.transpose()?;
        let plain = [unfolded.as_ref().unwrap_or(&job.left), &*job.right];
        let (x, w, batch) = match self.keys_of(number) {
            None => (matrices(plain[0])?, matrices(plain[1])?, None),
            Some(keys) => {
                let [x, w] = [view(plain[0])?, view(plain[1])?];
                let count = if window.is_some() { x.shape().batch } else { x.shape().rows };
                let batch = keys.batch(count, rng)?;
                (keys.blind_input(&batch, x)?, keys.blind_weights(w)?, Some(batch))
            }
        };
        let left = pool.left()?;
        let mut there = self.there[number].take();
        there = there.filter(|there| there.workers.iter().all(|worker| left.contains(worker)));
        let (cut, workers) = match &there {
            Some(there) => (there.cut, there.workers.clone()),
            None => {
                let stays = self.may_stay && self.layers[number].parameter;
                (cheapest(window, x.shape(), w.shape(), left.len(), stays), left)
            }
        };
        let ranges = cut.ranges(x.shape(), w.shape(), workers.len()).into_iter();
        let parts = ranges.zip(workers).map(|(range, worker)| Part { range, at: Some(worker) });
        let mut parts: Vec<Part> = parts.collect();
        let asked = Asked {
            kinds: vec![Kind::Forward],
            cut,
            window,
            x: &x,
            w: &w,
            g: None,
            slots: self.slots(number),
            there: there.as_ref(),
            name,
        };
        let mut products = answered(&asked, &mut parts, pool, rng).await?;
        if let (Some(keys), Some(batch)) = (self.keys_of(number), &batch) {
            products = vec![keys.unblind_output(batch, &products[0])?];
        }
        self.there[number] = there.filter(|_| all_present(&parts)).map(|mut there| {
            there.done();
            there
        });
        let last = [job.left.clone(), job.right.clone()];
        self.kept[number] = Some(Kept {
            last,
            x,
            w,
            batch,
            cut,
            parts,
        });
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
        let plain = gradient(jobs, kept.as_ref().map(|kept| &kept.last), name)?;
        let Some(Kept {
            x,
            w,
            batch,
            cut,
            mut parts,
            ..
        }) = kept
        else {
            return Ok(Vec::new());
        };
        let keys = self.keys_of(number).zip(batch.as_ref());
        let g = match keys {
            None => matrices(plain)?,
            Some((keys, batch)) => keys.blind_gradient(batch, view(plain)?)?,
        };
        let mut there = self.there[number].take();
        if there.is_none() && self.stay(number, cut, &parts) {
            there = Some(InPlace::new(number, cut, parts.iter().filter_map(|part| part.at).collect()));
        }
        there = there.filter(|_| !self.rekeys_after_this());
        let asked = Asked {
            kinds: jobs.iter().map(|job| kind(job.kind)).collect(),
            cut,
            window,
            x: &x,
            w: &w,
            g: Some(&g),
            slots: self.slots(number),
            there: there.as_ref(),
            name,
        };
        let products = answered(&asked, &mut parts, pool, rng).await?;
        self.there[number] = there.filter(|_| all_present(&parts)).map(|mut there| {
            there.descend();
            there
        });
        let keys = self.keys_of(number).zip(batch.as_ref());
        let Some((keys, batch)) = keys else { return Ok(products) };
        let unblinded = products.iter().zip(jobs).map(|(product, job)| match kind(job.kind) {
            Kind::InputGradient => keys.unblind_input(batch, product),
            _ => keys.unblind_weights(product),
        });
        Ok(unblinded.collect::<Result<_, _>>()?)
    }

    /// Of a convolution whose windows overlap, which workers unfold.
    pub(super) fn window(&self, number: usize) -> Option<Window> {
        self.layers[number].window
    }

    fn slots(&self, number: usize) -> Slots {
        Slots {
            own: slots(number),
            in_anothers_place: slots(self.layers.len()),
            windows: slots(self.layers.len() + 1),
        }
    }

    fn keys_of(&self, number: usize) -> Option<&LayerKeys> {
        self.keys.as_ref().map(|(keys, _)| &keys[number])
    }

    /// Whether the weights of a product can stay where these parts are.
    fn stay(&self, number: usize, cut: Cut, parts: &[Part]) -> bool {
        let once = cut.cuts(Operand::W) || parts.len() == 1;
        self.may_stay && self.layers[number].parameter && once && all_present(parts)
    }

    /// Whether the keys of this step are those of the next one.
    fn rekeys_after_this(&self) -> bool {
        let every = self.keys.as_ref().map(|(_, every)| *every);
        every.is_some_and(|every| (self.steps + 1).is_multiple_of(every))
    }

    /// The weights of a network have been updated. Draws the layers' permutations anew when it is time.
    pub(super) fn end_step(&mut self, network: &OffloadedNetwork, rng: &mut ChaCha20Rng) -> Result<(), ProtocolError> {
        let rekeys = self.rekeys_after_this();
        self.steps += 1;
        let step = network.last_step();
        self.may_stay &= step.is_some();
        for number in 0..self.there.len() {
            let there = self.there[number].take();
            let (Some(mut there), Some(step), false) = (there, step, rekeys) else {
                continue;
            };
            let velocity = || {
                let plain = network.velocity(number);
                let blinded = plain.map(|plain| match self.keys_of(number) {
                    None => matrices(&plain),
                    Some(keys) => Ok(keys.blind_weights(view(&plain)?)?),
                });
                blinded.transpose()
            };
            if there.follow(step, velocity)? {
                self.there[number] = Some(there);
            }
        }
        if let Some((keys, _)) = self.keys.as_mut().filter(|_| rekeys) {
            *keys = drawn(&self.layers, rng)?;
        }
        Ok(())
    }

    /// Weights are not what they were: workers are sent them again.
    pub(super) fn forget_weights(&mut self) {
        self.there.fill_with(|| None);
    }
}

/// Whether weights may stay at workers: where keys do, for longer than a step.
pub(in crate::enclave) fn stays(rekey_every: Option<u64>) -> bool {
    rekey_every.is_none_or(|every| every > 1)
}

/// Whether nobody who has a part has failed.
fn all_present(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.at.is_some())
}

fn drawn(layers: &[Layer], rng: &mut ChaCha20Rng) -> Result<Vec<LayerKeys>, ProtocolError> {
    let keys = layers.iter().map(|layer| match layer.window {
        Some(window) => LayerKeys::of_images(window, layer.columns, rng),
        None => LayerKeys::new(layer.inner, layer.columns, rng),
    });
    Ok(keys.collect::<Result<_, _>>()?)
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
struct Slots {
    own: [u32; 3],
    in_anothers_place: [u32; 3],
    windows: [u32; 3],
}

/// Products that are asked for at once.
struct Asked<'o> {
    kinds: Vec<Kind>,
    cut: Cut,
    /// Of a convolution, whose X and dX are images.
    window: Option<Window>,
    x: &'o Matrices<f32>,
    w: &'o Matrices<f32>,
    /// None on the way forward.
    g: Option<&'o Matrices<f32>>,
    slots: Slots,
    /// Weights that are at the workers on the way forward, and stay there after the way back.
    there: Option<&'o InPlace>,
    name: &'o str,
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
