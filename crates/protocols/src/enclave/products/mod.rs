//! The matrix products of a network, blinded, at workers.
//!
//! For a product with operands X and W, and the gradient G at it ([`cloven_nn::offload`]):
//!
//! - forward: blinded X and W → workers, who keep them until the same product's next; X W → enclave
//! - backward: blinded G → workers; X^T G, and where something before learns G W^T → enclave
//!
//! Weights may stay at the workers from step to step, who then update them ([`in_place`]).
//!
//! What comes back is checked before it is used. One exchange with every worker for a product and direction. A worker that lies, stalls or leaves is dropped;
//! the operands of a step are kept until its products are there, so that others do its part.

mod floats;
mod in_place;
mod masked;
mod parts;
mod pool;
mod teller;

use std::sync::Arc;

use cloven_accel::{Kind, Matrices, Shape, View, convolution::Window, job::Step};
use cloven_nn::offload::{self, Job, OffloadedNetwork, Product, ProductKind};
use cloven_wire::{Channel, Link};
use rand_chacha::ChaCha20Rng;

pub(super) use self::teller::Teller;
use self::{floats::Floats, masked::Masked, pool::Pool};
pub(super) use self::{floats::stays, parts::cheapest};
use super::{Blinding, Terms};
use crate::ProtocolError;

/// The products of one network.
pub(super) struct Products<'l, C> {
    names: Vec<String>,
    pool: Pool<'l, C>,
    hidden: Hidden,
    rng: ChaCha20Rng,
}

/// How operands are hidden.
enum Hidden {
    Masked(Masked),
    Floats(Floats),
}

impl<'l, C: Channel> Products<'l, C> {
    /// `workers` by number in [`Terms::workers`], `None` for one that is not connected.
    ///
    /// # Errors
    /// [`ProtocolError::Structure`] for a job with fewer workers than the blinding needs.
    pub(super) fn new(
        products: &[Product],
        terms: &Terms,
        workers: Vec<Option<&'l mut Link<C>>>,
        teller: &'l Teller<'l>,
        mut rng: ChaCha20Rng,
    ) -> Result<Self, ProtocolError> {
        let hidden = match terms.blinding {
            Blinding::Masked => Hidden::Masked(Masked::new(products.len(), &mut rng)),
            Blinding::Permute { rekey_every } => Hidden::Floats(Floats::new(products, Some(rekey_every), &mut rng)?),
            Blinding::None => Hidden::Floats(Floats::new(products, None, &mut rng)?),
        };
        Ok(Self {
            names: products.iter().map(|product| product.name.clone()).collect(),
            pool: Pool::new(workers, terms, teller)?,
            hidden,
            rng,
        })
    }

    /// After a training step of this network, whose weights have been updated.
    pub(super) fn end_step(&mut self, network: &OffloadedNetwork) -> Result<(), ProtocolError> {
        match &mut self.hidden {
            Hidden::Masked(_) => Ok(()),
            Hidden::Floats(floats) => floats.end_step(network, &mut self.rng),
        }
    }

    /// Weights have been changed otherwise than by an update.
    pub(super) fn forget_weights(&mut self) {
        if let Hidden::Floats(floats) = &mut self.hidden {
            floats.forget_weights();
        }
    }

    /// Awaits `work`, which the workers wait for.
    pub(super) async fn wait_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.pool.wait_while(work).await
    }

    /// Ends the workers' work.
    pub(super) async fn end(mut self) {
        self.pool.end().await;
    }
}

impl<C: Channel> offload::Products for Products<'_, C> {
    type Error = ProtocolError;

    async fn multiply(&mut self, jobs: Vec<Job>) -> Result<Vec<offload::Matrices>, ProtocolError> {
        let Some(first) = jobs.first() else { return Ok(Vec::new()) };
        let place = (first.product, self.names[first.product].as_str());
        let window = match &self.hidden {
            Hidden::Masked(_) => first.windows.and_then(window),
            Hidden::Floats(floats) => floats.window(first.product),
        };
        let here = first.windows.filter(|_| window.is_none());
        let products = match &mut self.hidden {
            Hidden::Masked(masked) => masked.multiply(place, window, &jobs, &mut self.pool, &mut self.rng).await?,
            Hidden::Floats(floats) => floats.multiply(place, window, &jobs, &mut self.pool, &mut self.rng).await?,
        };
        let given = products.into_iter().zip(&jobs).map(|(product, job)| {
            let Shape { batch, rows, columns } = product.shape();
            let product = offload::Matrices::new([batch, rows, columns], product.into_values())?;
            match (job.kind, here) {
                (ProductKind::InputGradient, Some(windows)) => windows.fold(&product),
                _ => Ok(product),
            }
        });
        Ok(given.collect::<Result<_, _>>()?)
    }
}

/// Slots at a worker for each product: X, W and G, and two for gradients of weights that stay there and their velocity.
pub const SLOTS: u32 = 5;

/// Slots at a worker for X, W and G of a product.
fn slots(number: usize) -> [u32; 3] {
    [0, 1, 2].map(|operand| SLOTS * number as u32 + operand)
}

/// The steps that answer with a product; `spare`: for windows and images that are there only while a job lasts.
fn asks([x, w, g]: [u32; 3], [windows, images, _]: [u32; 3], kind: Kind, window: Option<Window>) -> Vec<Step> {
    match (kind, window) {
        (_, None) => vec![product([x, w, g], kind, None)],
        (Kind::InputGradient, Some(window)) => vec![
            product([x, w, g], kind, Some(windows)),
            Step::Fold {
                from: windows,
                to: images,
                window,
            },
            Step::Read { slot: images },
            Step::Free { slot: windows },
            Step::Free { slot: images },
        ],
        (_, Some(window)) => unfolded([x, w, g], windows, kind, window, None),
    }
}

/// The steps for a product of windows, which are made in a slot and do not stay.
fn unfolded([x, w, g]: [u32; 3], windows: u32, kind: Kind, window: Window, keep: Option<u32>) -> Vec<Step> {
    vec![
        Step::Unfold {
            from: x,
            to: windows,
            window,
        },
        product([windows, w, g], kind, keep),
        Step::Free { slot: windows },
    ]
}

/// The step for a product of these slots, into the answer or a slot.
fn product([x, w, g]: [u32; 3], kind: Kind, keep: Option<u32>) -> Step {
    let (left, right) = match kind {
        Kind::Forward => (x, w),
        Kind::WeightGradient => (x, g),
        Kind::InputGradient => (g, w),
    };
    Step::Product { kind, left, right, keep }
}

fn kind(kind: ProductKind) -> Kind {
    match kind {
        ProductKind::Forward => Kind::Forward,
        ProductKind::WeightGradient => Kind::WeightGradient,
        ProductKind::InputGradient => Kind::InputGradient,
    }
}

/// The geometry of images that workers are sent, and unfold; `None` where they are sent windows: where these do not overlap, unless they are masked, and beyond the workers' limits.
pub fn images(blinding: Blinding, windows: offload::Windows) -> Option<Window> {
    match blinding {
        Blinding::Masked => window(windows),
        Blinding::Permute { .. } | Blinding::None => overlapping(windows),
    }
}

/// The geometry of windows that have pixels in common, within the workers' limits. Others are as many numbers as images at most, and better permuted one by one.
fn overlapping(windows: offload::Windows) -> Option<Window> {
    window(windows).filter(|window| window.overlap() > 1)
}

/// The geometry as workers take it, if it is within their limits.
fn window(windows: offload::Windows) -> Option<Window> {
    let offload::Windows {
        channels,
        image,
        kernel,
        stride,
        padding,
    } = windows;
    let window = Window {
        channels,
        image,
        kernel,
        stride: [stride; 2],
        padding,
    };
    window.check().is_ok().then_some(window)
}

/// X of a product on its way forward: images where the workers unfold them, else rows.
fn left(job: &Job, window: Option<Window>) -> Result<Matrices<f32>, ProtocolError> {
    match job.windows.filter(|_| window.is_none()) {
        Some(windows) => owned(windows.unfold(&job.left)?),
        None => matrices(&job.left),
    }
}

fn owned(matrices: offload::Matrices) -> Result<Matrices<f32>, ProtocolError> {
    let [batch, rows, columns] = matrices.dims();
    Ok(Matrices::new(Shape::new(batch, rows, columns)?, matrices.into_values())?)
}

fn matrices(matrices: &offload::Matrices) -> Result<Matrices<f32>, ProtocolError> {
    let view = view(matrices)?;
    Ok(Matrices::new(view.shape(), view.values().to_vec())?)
}

fn view(matrices: &offload::Matrices) -> Result<View<'_, f32>, ProtocolError> {
    let [batch, rows, columns] = matrices.dims();
    Ok(View::new(Shape::new(batch, rows, columns)?, matrices.values())?)
}

/// X and W of a product on its last way forward, by which jobs of its way back are known.
type Operands = [Arc<offload::Matrices>; 2];

/// The gradient that jobs of the way back are about, all of the same product.
///
/// # Errors
/// [`ProtocolError::Structure`] for jobs about other operands than the last ones.
fn gradient<'j>(jobs: &'j [Job], last: Option<&Operands>, name: &str) -> Result<&'j Arc<offload::Matrices>, ProtocolError> {
    let of = |job: &'j Job| match (job.kind, last) {
        (ProductKind::WeightGradient, Some([x, _])) if Arc::ptr_eq(x, &job.left) => Some(&job.right),
        (ProductKind::InputGradient, Some([_, w])) if Arc::ptr_eq(w, &job.right) => Some(&job.left),
        _ => None,
    };
    let first = jobs.first().and_then(of);
    let same = first.filter(|first| jobs.iter().all(|job| of(job).is_some_and(|other| Arc::ptr_eq(other, first))));
    same.ok_or_else(|| {
        ProtocolError::Structure(format!(
            "expected the way back of {name} after its way forward, got another product"
        ))
    })
}
