//! A worker on this machine's processor.

use super::{Answer, Job, Step, Tensor};
use crate::{AccelError, Kind, Shape, convolution::Window, error::at_most, float_products, residue_products};
use std::collections::BTreeMap;

/// What one customer may ask of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements in all slots together; each takes four bytes.
    pub stored_elements: usize,
    /// Elements of one answer.
    pub answer_elements: usize,
    /// Multiply-accumulates of one job, of plain products; residues take four times as many.
    pub multiply_accumulates: u64,
}

impl Default for Limits {
    /// 4 GiB of slots, 1 GiB of answer, 2^42 multiply-accumulates: minutes of a core.
    fn default() -> Self {
        Self {
            stored_elements: 1 << 30,
            answer_elements: 1 << 28,
            multiply_accumulates: 1 << 42,
        }
    }
}

/// The slots of one customer.
pub struct Worker {
    limits: Limits,
    slots: BTreeMap<u32, Tensor>,
}

impl Worker {
    /// With empty slots.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: BTreeMap::new(),
        }
    }

    /// Elements in all slots.
    pub fn stored_elements(&self) -> usize {
        self.slots.values().map(|tensor| tensor.shape().elements()).sum()
    }

    /// Takes all steps. After an error the slots are as the steps before the failing one left them.
    pub fn run(&mut self, job: Job) -> Result<Answer, AccelError> {
        let mut answer = Pending {
            tensors: Vec::new(),
            elements: 0,
            limit: self.limits.answer_elements,
        };
        let mut left = self.limits.multiply_accumulates;
        for step in job.0 {
            match step {
                Step::Put { slot, tensor } => self.put(slot, tensor)?,
                Step::Product {
                    kind,
                    left: x,
                    right: y,
                    keep,
                } => {
                    let product = self.product(kind, [x, y], &mut left)?;
                    match keep {
                        Some(slot) => self.put(slot, product)?,
                        None => answer.push(product)?,
                    }
                }
                Step::Add { to, from, factor } => self.add(to, from, factor)?,
                Step::Unfold { from, to, window } => self.unfold(from, to, &window)?,
                Step::Fold { from, to, window } => self.fold(from, to, &window)?,
                Step::Read { slot } => answer.push(self.slot(slot)?.clone())?,
                Step::Free { slot } => drop(self.slots.remove(&slot)),
            }
        }
        Ok(Answer(answer.tensors))
    }

    fn slot(&self, slot: u32) -> Result<&Tensor, AccelError> {
        self.slots.get(&slot).ok_or(AccelError::Slot {
            slot,
            expected: "a tensor",
            actual: "nothing",
        })
    }

    fn unfold(&mut self, from: u32, to: u32, window: &Window) -> Result<(), AccelError> {
        let patches = match self.for_result(from, |images| window.unfolded(images))? {
            Tensor::Residues(images) => Tensor::Residues(window.unfold_residues(images)?),
            Tensor::Floats(images) => Tensor::Floats(window.unfold(images)?),
        };
        self.put(to, patches)
    }

    fn fold(&mut self, from: u32, to: u32, window: &Window) -> Result<(), AccelError> {
        let images = match self.for_result(from, |patches| window.folded(patches))? {
            Tensor::Residues(patches) => Tensor::Residues(window.fold_residues(patches)?),
            Tensor::Floats(patches) => Tensor::Floats(window.fold(patches)?),
        };
        self.put(to, images)
    }

    /// A slot, if what is made of it could be stored.
    fn for_result(&self, slot: u32, result: impl Fn(Shape) -> Result<Shape, AccelError>) -> Result<&Tensor, AccelError> {
        let tensor = self.slot(slot)?;
        at_most(
            "stored elements",
            self.limits.stored_elements,
            result(tensor.shape())?.elements(),
        )?;
        Ok(tensor)
    }

    fn put(&mut self, slot: u32, tensor: Tensor) -> Result<(), AccelError> {
        let replaced = self.slots.get(&slot).map_or(0, |tensor| tensor.shape().elements());
        let elements = self.stored_elements() - replaced + tensor.shape().elements();
        at_most("stored elements", self.limits.stored_elements, elements)?;
        self.slots.insert(slot, tensor);
        Ok(())
    }

    /// `budget` is what is left of the job's multiply-accumulates.
    fn product(&self, kind: Kind, [left, right]: [u32; 2], budget: &mut u64) -> Result<Tensor, AccelError> {
        let (x, y) = (self.slot(left)?, self.slot(right)?);
        let dimensions = kind.dimensions(x.shape(), y.shape())?;
        let elements = dimensions.product().elements();
        let most = self.limits.stored_elements.max(self.limits.answer_elements);
        at_most("elements of a product", most, elements)?;
        // Zeros, which take no multiplications, are written too.
        let wanted = dimensions.multiply_accumulates().max(elements as u64);
        *budget = budget.checked_sub(wanted).ok_or(AccelError::TooMany {
            what: "multiply-accumulates",
            max: usize::try_from(self.limits.multiply_accumulates).unwrap_or(usize::MAX),
            actual: usize::try_from((self.limits.multiply_accumulates - *budget).saturating_add(wanted)).unwrap_or(usize::MAX),
        })?;
        match (x, y) {
            (Tensor::Residues(x), Tensor::Residues(y)) => residue_products(kind, x, y).map(Tensor::Residues),
            (Tensor::Floats(x), Tensor::Floats(y)) => float_products(kind, x, y).map(Tensor::Floats),
            (Tensor::Residues(_), _) => Err(AccelError::Slot {
                slot: right,
                expected: "residues",
                actual: "floats",
            }),
            (Tensor::Floats(_), _) => Err(AccelError::Slot {
                slot: right,
                expected: "floats",
                actual: "residues",
            }),
        }
    }

    fn add(&mut self, to: u32, from: u32, factor: f32) -> Result<(), AccelError> {
        let floats = |slot, tensor: &Tensor| match tensor {
            Tensor::Floats(floats) => Ok(floats.clone()),
            Tensor::Residues(_) => Err(AccelError::Slot {
                slot,
                expected: "floats",
                actual: "residues",
            }),
        };
        let added = floats(from, self.slot(from)?)?;
        let mut sum = floats(to, self.slot(to)?)?;
        if sum.shape() != added.shape() {
            return Err(AccelError::Slot {
                slot: from,
                expected: "the shape of the other",
                actual: "another shape",
            });
        }
        sum.values_mut()
            .iter_mut()
            .zip(added.values())
            .for_each(|(sum, value)| *sum += factor * value);
        self.slots.insert(to, Tensor::Floats(sum));
        Ok(())
    }
}

struct Pending {
    tensors: Vec<Tensor>,
    elements: usize,
    limit: usize,
}

impl Pending {
    fn push(&mut self, tensor: Tensor) -> Result<(), AccelError> {
        self.elements += tensor.shape().elements();
        at_most("elements of the answer", self.limit, self.elements)?;
        at_most("tensors of the answer", super::MAX_STEPS, self.tensors.len() + 1)?;
        self.tensors.push(tensor);
        Ok(())
    }
}
