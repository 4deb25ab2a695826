//! A worker: one customer's slots on a device, within limits.

use super::{Accelerator, Answer, Cpu, DeviceTensor, Form, Held, Job, MAX_STEPS, Step};
use crate::{AccelError, Kind, MAX_DEPTH, Shape, convolution::Window, error::at_most};
use std::collections::BTreeMap;

/// What one customer may ask of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements in all slots together; each takes four bytes. A device holds the answer's elements beside them until the end of the job.
    pub stored_elements: usize,
    /// Elements of one answer.
    pub answer_elements: usize,
    /// Multiply-accumulates of one job, of plain products; words take four times as many.
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

/// The slots of one customer on a device. All of a customer's limits are checked here, before anything is computed.
pub struct Worker<A: Accelerator = Cpu> {
    device: A,
    limits: Limits,
    slots: BTreeMap<u32, Held<A::Data>>,
}

impl Worker {
    /// With empty slots, on this machine's processor.
    pub fn new(limits: Limits) -> Self {
        Self::on(Cpu, limits)
    }
}

impl<A: Accelerator> Worker<A> {
    /// With empty slots, on a device.
    pub fn on(device: A, limits: Limits) -> Self {
        Self {
            device,
            limits,
            slots: BTreeMap::new(),
        }
    }

    /// Kind and name of the device, for people.
    pub fn device_name(&self) -> String {
        self.device.name()
    }

    /// Elements in all slots.
    pub fn stored_elements(&self) -> usize {
        self.slots.values().map(|held| held.shape.elements()).sum()
    }

    /// Takes all steps. After an error the slots are as the steps before the failing one left them.
    pub fn run(&mut self, job: Job) -> Result<Answer, AccelError> {
        let mut pending = Pending {
            held: Vec::new(),
            elements: 0,
            multiply_accumulates: 0,
            limits: self.limits,
        };
        for step in job.0 {
            self.step(step, &mut pending)?;
        }
        // Only now: a device works on while it is handed the next steps.
        let tensors = pending.held.into_iter().map(|held| self.device.read(held)?.into_message());
        tensors.collect::<Result<_, _>>().map(Answer)
    }

    fn step(&mut self, step: Step, pending: &mut Pending<A::Data>) -> Result<(), AccelError> {
        match step {
            Step::Put { slot, tensor } => {
                let shape = tensor.shape();
                self.room(slot, shape)?;
                let tensor = DeviceTensor::from(tensor);
                let form = tensor.form();
                let data = self.device.put(tensor)?;
                self.slots.insert(slot, Held { form, shape, data });
            }
            Step::Product { kind, left, right, keep } => self.product(kind, [left, right], keep, pending)?,
            Step::Add { to, from, factor } => self.add(to, from, factor)?,
            Step::Unfold { from, to, window } => self.convolve(from, to, &window, Window::unfolded, A::unfold)?,
            Step::Fold { from, to, window } => self.convolve(from, to, &window, Window::folded, A::fold)?,
            Step::Read { slot } => {
                let held = self.slot(slot)?.clone();
                pending.room(held.shape)?;
                pending.held.push(held);
            }
            Step::Free { slot } => drop(self.slots.remove(&slot)),
        }
        Ok(())
    }

    fn slot(&self, slot: u32) -> Result<&Held<A::Data>, AccelError> {
        self.slots.get(&slot).ok_or_else(|| refused(slot, "a tensor", "nothing"))
    }

    /// That a tensor of a shape can be stored in a slot.
    fn room(&self, slot: u32, shape: Shape) -> Result<(), AccelError> {
        let replaced = self.slots.get(&slot).map_or(0, |held| held.shape.elements());
        let elements = self.stored_elements() - replaced + shape.elements();
        at_most("stored elements", self.limits.stored_elements, elements)
    }

    fn product(
        &mut self,
        kind: Kind,
        [left, right]: [u32; 2],
        keep: Option<u32>,
        pending: &mut Pending<A::Data>,
    ) -> Result<(), AccelError> {
        let (x, y) = (self.slot(left)?.clone(), self.slot(right)?.clone());
        let dimensions = kind.dimensions(x.shape, y.shape)?;
        let (form, shape) = (x.form, dimensions.product());
        // Before the products are counted: they may be 2^28 zeros of operands without elements.
        let most = self.limits.stored_elements.max(self.limits.answer_elements);
        at_most("elements of a product", most, shape.elements())?;
        // Zeros, which take no multiplications, are written too.
        pending.work(dimensions.multiply_accumulates().max(shape.elements() as u64))?;
        if y.form != form {
            return Err(refused(right, form.name(), y.form.name()));
        }
        if form == Form::Residues {
            at_most("terms of a sum", MAX_DEPTH, dimensions.depth)?;
        }
        match keep {
            Some(slot) => self.room(slot, shape)?,
            None => pending.room(shape)?,
        }
        let data = self.device.product(kind, &x, &y)?;
        let product = Held { form, shape, data };
        match keep {
            Some(slot) => drop(self.slots.insert(slot, product)),
            None => pending.held.push(product),
        }
        Ok(())
    }

    fn add(&mut self, to: u32, from: u32, factor: f32) -> Result<(), AccelError> {
        let floats = |slot| match self.slot(slot)? {
            held if held.form == Form::Floats => Ok(held.clone()),
            held => Err(refused(slot, Form::Floats.name(), held.form.name())),
        };
        let (added, sum) = (floats(from)?, floats(to)?);
        if sum.shape != added.shape {
            return Err(refused(from, "the shape of the other", "another shape"));
        }
        let data = self.device.add(&sum, factor, &added)?;
        self.slots.insert(to, Held { data, ..sum });
        Ok(())
    }

    fn convolve(
        &mut self,
        from: u32,
        to: u32,
        window: &Window,
        result: impl Fn(&Window, Shape) -> Result<Shape, AccelError>,
        compute: impl Fn(&mut A, &Held<A::Data>, &Window) -> Result<A::Data, AccelError>,
    ) -> Result<(), AccelError> {
        let operand = self.slot(from)?.clone();
        let (form, shape) = (operand.form, result(window, operand.shape)?);
        self.room(to, shape)?;
        let data = compute(&mut self.device, &operand, window)?;
        self.slots.insert(to, Held { form, shape, data });
        Ok(())
    }
}

/// What a job has used up, and what it will be answered.
struct Pending<D> {
    held: Vec<Held<D>>,
    elements: usize,
    multiply_accumulates: u64,
    limits: Limits,
}

impl<D> Pending<D> {
    /// That a tensor of a shape can be answered, which counts it.
    fn room(&mut self, shape: Shape) -> Result<(), AccelError> {
        self.elements += shape.elements();
        at_most("elements of the answer", self.limits.answer_elements, self.elements)?;
        at_most("tensors of the answer", MAX_STEPS, self.held.len() + 1)
    }

    /// That so many multiply-accumulates are left, which counts them.
    fn work(&mut self, wanted: u64) -> Result<(), AccelError> {
        let (max, actual) = (
            self.limits.multiply_accumulates,
            self.multiply_accumulates.saturating_add(wanted),
        );
        self.multiply_accumulates = actual;
        match actual <= max {
            true => Ok(()),
            false => Err(AccelError::TooMany {
                what: "multiply-accumulates",
                max: usize::try_from(max).unwrap_or(usize::MAX),
                actual: usize::try_from(actual).unwrap_or(usize::MAX),
            }),
        }
    }
}

fn refused(slot: u32, expected: &'static str, actual: &'static str) -> AccelError {
    AccelError::Slot { slot, expected, actual }
}
