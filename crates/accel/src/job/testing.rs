//! What every accelerator is to pass: random jobs, answered as this machine's processor answers them.
//!
//! Words are compared bit for bit. A float may differ by [`TOLERANCE`] times the same element of the *magnitude* of the answer: what the same job gives with the
//! absolute values of all floats and factors, which for a product is the sum of the magnitudes of its terms. Sums of any sensible order keep that.
//!
//! Failures panic, and name the seed.

use super::{Accelerator, Answer, Job, Limits, Step, Tensor, Worker};
use crate::{AccelError, Kind, MAX_DEPTH, Matrices, Shape, Words, convolution::Window};

/// How far a float may be off, per magnitude.
pub const TOLERANCE: f64 = 1e-5;

/// Runs `count` random jobs on a device, and the ones below that are at the edges of what is allowed.
pub fn conforms<A: Accelerator>(device: A, count: u64) {
    let mut worker = Worker::on(device, Limits::default());
    for (name, job) in edges() {
        compare(&mut worker, &job, name);
    }
    for seed in 0..count {
        compare(&mut worker, &random(seed), &format!("seed {seed}"));
    }
    let empty = worker.run(Job(Vec::new()));
    assert_eq!(empty, Ok(Answer(Vec::new())), "{}", worker.device_name());
    refusals(&mut worker);
}

/// Runs jobs that are too large for one launch of a GPU, or deep enough to be computed in parts.
pub fn conforms_when_large<A: Accelerator>(device: A) {
    let mut worker = Worker::on(device, Limits::default());
    let mut random = Random(2);
    let product = |kind| Step::Product {
        kind,
        left: 0,
        right: 1,
        keep: None,
    };
    let two = |numbers: &mut dyn FnMut(Shape) -> Tensor, sizes| [0, 1].map(|slot| put(slot, numbers(shape(sizes))));
    let many = put(0, random.words(shape([1, (1 << 24) + 300, 1])));
    compare(&mut worker, &Job(vec![many, Step::Read { slot: 0 }]), "many elements");
    let many = two(&mut |shape| random.floats(shape), [4_200, 1, 1]);
    let job = Job([many.to_vec(), vec![product(Kind::Forward)]].concat());
    compare(&mut worker, &job, "many products");
    for (depth, floats) in [(1024, true), (1025, false), (1025, true), (5000, false), (5000, true)] {
        let deep = two(&mut |shape| random.tensor(floats, shape), [2, depth, 70]);
        let job = Job([deep.to_vec(), vec![product(Kind::WeightGradient)]].concat());
        compare(&mut worker, &job, &format!("a product of depth {depth}"));
    }
}

/// One job on a device and on the processor.
pub fn compare<A: Accelerator>(worker: &mut Worker<A>, job: &Job, name: &str) {
    let name = format!("{}, {name}", worker.device_name());
    let on_processor = |job: &Job| Worker::new(Limits::default()).run(job.clone());
    let (expected, actual) = (on_processor(job), worker.run(job.clone()));
    let (Ok(Answer(expected)), Ok(Answer(actual))) = (&expected, &actual) else {
        assert_eq!(expected, actual, "{name}");
        return;
    };
    let Ok(Answer(magnitudes)) = on_processor(&Job(job.0.iter().map(magnitude).collect())) else {
        unreachable!("the same steps on other numbers");
    };
    assert_eq!(expected.len(), actual.len(), "{name}: tensors of the answer");
    for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let name = format!("{name}: tensor {index}, {:?}", expected.shape());
        match (expected, actual, &magnitudes[index]) {
            (Tensor::Floats(expected), Tensor::Floats(actual), Tensor::Floats(magnitude)) => {
                close(expected, actual, magnitude, &name);
            }
            _ => assert!(expected == actual, "{name}: words or shapes differ"),
        }
    }
}

fn close(expected: &Matrices<f32>, actual: &Matrices<f32>, magnitude: &Matrices<f32>, name: &str) {
    assert_eq!(expected.shape(), actual.shape(), "{name}");
    let pairs = expected.values().iter().zip(actual.values());
    for (element, ((expected, actual), magnitude)) in pairs.zip(magnitude.values()).enumerate() {
        let difference = (f64::from(*expected) - f64::from(*actual)).abs();
        assert!(
            difference <= TOLERANCE * f64::from(*magnitude),
            "{name}: element {element}: expected {expected}, got {actual}, of terms that add up to {magnitude} in magnitude"
        );
    }
}

/// A step, of which all floats are without sign.
fn magnitude(step: &Step) -> Step {
    let mut step = step.clone();
    match &mut step {
        Step::Put {
            tensor: Tensor::Floats(floats),
            ..
        } => floats.values_mut().iter_mut().for_each(|value| *value = value.abs()),
        Step::Add { factor, .. } => *factor = factor.abs(),
        _ => {}
    }
    step
}

/// What is refused is refused with a sentence, and the device goes on.
fn refusals<A: Accelerator>(worker: &mut Worker<A>) {
    let mut random = Random(1);
    let long = |random: &mut Random| put(0, random.words(shape([1, 1, MAX_DEPTH + 1])));
    let product = |keep| Step::Product {
        kind: Kind::InputGradient,
        left: 0,
        right: 0,
        keep,
    };
    let too_long = worker.run(Job(vec![long(&mut random), product(None)]));
    let expected = AccelError::TooMany {
        what: "terms of a sum",
        max: MAX_DEPTH,
        actual: MAX_DEPTH + 1,
    };
    assert_eq!(too_long, Err(expected), "{}", worker.device_name());
    let again = Job(vec![put(0, random.floats(shape([1, 1, 3]))), product(None)]);
    compare(worker, &again, "after a refusal");
}

/// Jobs at the edges: sums of the greatest depth and size, sizes of zero and one, what is just beyond a tile.
fn edges() -> Vec<(&'static str, Job)> {
    let mut random = Random(0);
    let largest = |sign: i32| {
        let tensor = Words::of_integers(shape([1, 1, MAX_DEPTH]), &vec![sign * 125; MAX_DEPTH]);
        Tensor::Words(tensor.unwrap_or_else(|error| unreachable!("{error}")))
    };
    let product = |kind, left, right| Step::Product {
        kind,
        left,
        right,
        keep: None,
    };
    let deepest = vec![
        put(0, largest(1)),
        put(1, largest(-1)),
        product(Kind::InputGradient, 0, 0),
        product(Kind::InputGradient, 0, 1),
    ];
    let mut jobs = vec![("the deepest sum of the largest residues", Job(deepest))];
    for sizes in [[0, 3, 4], [2, 0, 4], [2, 3, 0], [1, 1, 1], [3, 65, 129]] {
        let steps = [Random::words, Random::floats].into_iter().flat_map(|numbers| {
            let products = Kind::ALL.map(|kind| {
                let [left, right] = operands(kind, 65, sizes);
                (kind, numbers(&mut random, shape(left)), numbers(&mut random, shape(right)))
            });
            products
                .into_iter()
                .flat_map(|(kind, left, right)| [put(0, left), put(1, right), product(kind, 0, 1), Step::Read { slot: 0 }])
                .collect::<Vec<_>>()
        });
        jobs.push(("sizes at the edge", Job(steps.collect())));
    }
    jobs
}

/// Shapes of two operands of a kind: the right one as given, the left one of so many lines that meet it.
fn operands(kind: Kind, lines: usize, right: [usize; 3]) -> [[usize; 3]; 2] {
    let [batch, rows, columns] = right;
    let left = match kind {
        Kind::Forward => [batch, lines, rows],
        Kind::WeightGradient => [batch, rows, lines],
        Kind::InputGradient => [batch, lines, columns],
    };
    [left, right]
}

fn put(slot: u32, tensor: Tensor) -> Step {
    Step::Put { slot, tensor }
}

/// Sizes that are small.
fn shape([batch, rows, columns]: [usize; 3]) -> Shape {
    Shape { batch, rows, columns }
}

/// A job of one to eight groups of steps.
fn random(seed: u64) -> Job {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let groups = random.size(1, 8);
    Job((0..groups).flat_map(|_| random.group()).collect())
}

/// Numbers that a seed gives (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn size(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }

    fn tensor(&mut self, floats: bool, shape: Shape) -> Tensor {
        match floats {
            true => self.floats(shape),
            false => self.words(shape),
        }
    }

    fn words(&mut self, shape: Shape) -> Tensor {
        let integers: Vec<i32> = (0..shape.elements()).map(|_| self.next() as i32).collect();
        Tensor::Words(Words::of_integers(shape, &integers).unwrap_or_else(|error| unreachable!("{error}")))
    }

    /// Between -1 and 1.
    fn floats(&mut self, shape: Shape) -> Tensor {
        let values = (0..shape.elements()).map(|_| self.next() as i32 as f32 / 2f32.powi(31));
        let values = values.collect();
        Tensor::Floats(Matrices::new(shape, values).unwrap_or_else(|error| unreachable!("{error}")))
    }

    fn group(&mut self) -> Vec<Step> {
        match self.size(0, 2) {
            0 => self.products(),
            1 => self.update(),
            _ => self.convolution(),
        }
    }

    /// A size: mostly small, at times beyond a tile and its panels.
    fn dimension(&mut self) -> usize {
        match self.size(0, 5) {
            0 => self.size(60, 260),
            1 => self.size(0, 2),
            _ => self.size(1, 40),
        }
    }

    /// A product that is kept, one more of it, and both read.
    fn products(&mut self) -> Vec<Step> {
        let (floats, kind) = (self.size(0, 1) == 1, Kind::ALL[self.size(0, 2)]);
        let right = [self.size(1, 3), self.dimension(), self.dimension()];
        let [left, right] = operands(kind, self.dimension(), right).map(shape);
        let product = |kind, left, right, keep| Step::Product { kind, left, right, keep };
        vec![
            put(1, self.tensor(floats, left)),
            put(2, self.tensor(floats, right)),
            product(kind, 1, 2, Some(3)),
            product(Kind::InputGradient, 3, 3, None),
            product(Kind::WeightGradient, 3, 3, Some(2)),
            Step::Read { slot: 3 },
            Step::Read { slot: 2 },
            Step::Free { slot: 1 },
        ]
    }

    /// What a slot held before it is changed is read as it was.
    fn update(&mut self) -> Vec<Step> {
        let shape = shape([self.size(1, 3), self.dimension(), self.dimension()]);
        let factor = self.next() as i32 as f32 / 2f32.powi(31);
        vec![
            put(4, self.floats(shape)),
            put(5, self.floats(shape)),
            Step::Read { slot: 4 },
            Step::Add { to: 4, from: 5, factor },
            Step::Add { to: 4, from: 4, factor },
            Step::Read { slot: 4 },
        ]
    }

    fn convolution(&mut self) -> Vec<Step> {
        let floats = self.size(0, 1) == 1;
        let kernel = [self.size(1, 4), self.size(1, 4)];
        let window = Window {
            channels: self.size(1, 5),
            image: [self.size(4, 12), self.size(4, 12)],
            kernel,
            stride: [self.size(1, 3), self.size(1, 3)],
            padding: kernel.map(|size| self.size(0, size - 1)),
        };
        let images = shape([self.size(0, 4), window.image[0] * window.image[1], window.channels]);
        vec![
            put(6, self.tensor(floats, images)),
            Step::Unfold { from: 6, to: 7, window },
            Step::Read { slot: 7 },
            Step::Fold { from: 7, to: 8, window },
            Step::Read { slot: 8 },
        ]
    }
}
