//! Operands as numbers, permuted or in the clear: every worker has a part of each product ([`Cut`]).

use cloven_accel::{
    Kind, Matrices,
    convolution::Window,
    permuted::{BatchKeys, LayerKeys},
    sharding::{Cut, Operand},
};
use cloven_nn::offload::{Job, OffloadedNetwork, Product, ProductKind};
use cloven_wire::Channel;
use rand_chacha::ChaCha20Rng;

use super::{
    Operands, gradient,
    in_place::InPlace,
    kind, matrices,
    parts::{Asked, Part, Slots, all_present, answered, cheapest},
    pool::Pool,
    slots, view,
};
use crate::ProtocolError;

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

fn drawn(layers: &[Layer], rng: &mut ChaCha20Rng) -> Result<Vec<LayerKeys>, ProtocolError> {
    let keys = layers.iter().map(|layer| match layer.window {
        Some(window) => LayerKeys::of_images(window, layer.columns, rng),
        None => LayerKeys::new(layer.inner, layer.columns, rng),
    });
    Ok(keys.collect::<Result<_, _>>()?)
}
