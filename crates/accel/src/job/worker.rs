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
        let mut steps = job.0.into_iter();
        while let Some(step) = steps.next() {
            match self.at_once(&step, steps.as_slice(), &mut pending) {
                Some(pair) => {
                    self.pair(pair, &mut pending)?;
                    // Its second step.
                    steps.next();
                }
                None => self.step(step, &mut pending)?,
            }
        }
        // Only now: a device works on while it is handed the next steps.
        let tensors = pending.held.into_iter().map(|held| self.device.read(held)?.into_message());
        tensors.collect::<Result<_, _>>().map(Answer)
    }

    fn step(&mut self, step: Step, pending: &mut Pending<A::Data>) -> Result<(), AccelError> {
        match step {
            Step::Put { slot, tensor } => {
                let shape = tensor.shape();
                self.room(&[(slot, shape)])?;
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

    /// A step and the next one, where only patches of a convolution pass between them, which nobody else reads. None also where either would be refused: one by one they
    /// say why.
    fn at_once(&self, first: &Step, rest: &[Step], pending: &mut Pending<A::Data>) -> Option<Pair<A::Data>> {
        let counted = (pending.elements, pending.multiply_accumulates);
        let pair = match (first, rest) {
            (Step::Unfold { from, to, window }, [Step::Product { kind, left, right, keep }, Step::Free { slot }, ..])
                if left == to && slot == to && right != to && *keep != Some(*to) =>
            {
                self.unfolded([*from, *to], *window, (*kind, *right), *keep, pending)
            }
            (
                Step::Product {
                    kind,
                    left,
                    right,
                    keep: Some(patches),
                },
                [
                    Step::Fold { from, to, window },
                    Step::Read { slot: read },
                    Step::Free { slot: freed },
                    ..,
                ],
            ) if from == patches && freed == patches && read == to && to != patches => {
                self.folded((*kind, [*left, *right]), [*from, *to], *window, pending)
            }
            _ => return None,
        };
        if pair.is_err() {
            (pending.elements, pending.multiply_accumulates) = counted;
        }
        pair.ok()
    }

    fn unfolded(
        &self,
        [from, to]: [u32; 2],
        window: Window,
        (kind, right): (Kind, u32),
        keep: Option<u32>,
        pending: &mut Pending<A::Data>,
    ) -> Result<Pair<A::Data>, AccelError> {
        let images = self.slot(from)?.clone();
        let patches = window.unfolded(images.shape)?;
        self.room(&[(to, patches)])?;
        let (right, shape) = self.product_of(kind, (images.form, patches), right, pending)?;
        match keep {
            Some(slot) => self.room(&[(to, patches), (slot, shape)])?,
            None => pending.room(shape)?,
        }
        Ok(Pair::Unfolded {
            keep,
            kind,
            images,
            window,
            right,
            shape,
            to,
        })
    }

    fn folded(
        &self,
        (kind, [left, right]): (Kind, [u32; 2]),
        [from, to]: [u32; 2],
        window: Window,
        pending: &mut Pending<A::Data>,
    ) -> Result<Pair<A::Data>, AccelError> {
        let left = self.slot(left)?.clone();
        let (right, patches) = self.product_of(kind, (left.form, left.shape), right, pending)?;
        let shape = window.folded(patches)?;
        self.room(&[(from, patches), (to, shape)])?;
        Ok(Pair::Folded {
            kind,
            left,
            right,
            window,
            shape,
            from,
            to,
        })
    }

    fn pair(&mut self, pair: Pair<A::Data>, pending: &mut Pending<A::Data>) -> Result<(), AccelError> {
        match pair {
            Pair::Unfolded {
                kind,
                images,
                window,
                right,
                shape,
                to,
                keep,
            } => {
                let form = images.form;
                let data = self.device.unfolded_product(kind, &images, &window, &right)?;
                self.slots.remove(&to);
                let product = Held { form, shape, data };
                match keep {
                    Some(slot) => drop(self.slots.insert(slot, product)),
                    None => pending.held.push(product),
                }
            }
            Pair::Folded {
                kind,
                left,
                right,
                window,
                shape,
                from,
                to,
            } => {
                let data = self.device.folded_product(kind, &left, &right, &window)?;
                self.slots.remove(&from);
                self.slots.insert(
                    to,
                    Held {
                        form: left.form,
                        shape,
                        data,
                    },
                );
            }
        }
        Ok(())
    }

    fn slot(&self, slot: u32) -> Result<&Held<A::Data>, AccelError> {
        self.slots.get(&slot).ok_or_else(|| refused(slot, "a tensor", "nothing"))
    }

    /// That tensors of these shapes can be stored in these slots, all different.
    fn room(&self, wanted: &[(u32, Shape)]) -> Result<(), AccelError> {
        let others = self
            .slots
            .iter()
            .filter(|(slot, _)| wanted.iter().all(|(other, _)| other != *slot));
        let elements = others.map(|(_, held)| held.shape.elements()).sum::<usize>();
        let elements = elements + wanted.iter().map(|(_, shape)| shape.elements()).sum::<usize>();
        at_most("stored elements", self.limits.stored_elements, elements)
    }

    /// The right operand of a product and its shape, which the customer may ask for; counts its work.
    fn product_of(
        &self,
        kind: Kind,
        (form, left): (Form, Shape),
        right: u32,
        pending: &mut Pending<A::Data>,
    ) -> Result<(Held<A::Data>, Shape), AccelError> {
        let y = self.slot(right)?.clone();
        let dimensions = kind.dimensions(left, y.shape)?;
        let shape = dimensions.product();
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
        Ok((y, shape))
    }

    fn product(
        &mut self,
        kind: Kind,
        [left, right]: [u32; 2],
        keep: Option<u32>,
        pending: &mut Pending<A::Data>,
    ) -> Result<(), AccelError> {
        let x = self.slot(left)?.clone();
        let (y, shape) = self.product_of(kind, (x.form, x.shape), right, pending)?;
        match keep {
            Some(slot) => self.room(&[(slot, shape)])?,
            None => pending.room(shape)?,
        }
        let data = self.device.product(kind, &x, &y)?;
        let product = Held {
            form: x.form,
            shape,
            data,
        };
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
        self.room(&[(to, shape)])?;
        let data = compute(&mut self.device, &operand, window)?;
        self.slots.insert(to, Held { form, shape, data });
        Ok(())
    }
}

/// Two steps that a device may take at once.
enum Pair<D> {
    /// The patches of images, and their product, into slot `keep` or the answer. What was in slot `to` is gone.
    Unfolded {
        kind: Kind,
        images: Held<D>,
        window: Window,
        right: Held<D>,
        shape: Shape,
        to: u32,
        keep: Option<u32>,
    },
    /// A product, and what its patches fold to. What was in slot `from` is gone.
    Folded {
        kind: Kind,
        left: Held<D>,
        right: Held<D>,
        window: Window,
        shape: Shape,
        from: u32,
        to: u32,
    },
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
