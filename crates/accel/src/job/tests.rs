use super::*;
use crate::{MODULUS, Residues, float_products, residue_products};

fn floats(rows: usize, columns: usize, first: f32) -> Tensor {
    let shape = Shape::matrix(rows, columns).unwrap();
    Tensor::Floats(Matrices::new(shape, (0..rows * columns).map(|i| first + i as f32).collect()).unwrap())
}

fn words(rows: usize, columns: usize, first: i32) -> Tensor {
    let shape = Shape::matrix(rows, columns).unwrap();
    let integers: Vec<i32> = (0..(rows * columns) as i32).map(|i| first + 1000 * i).collect();
    Tensor::Words(Words::of_integers(shape, &integers).unwrap())
}

fn put(slot: u32, tensor: Tensor) -> Step {
    Step::Put { slot, tensor }
}

fn product(kind: Kind, left: u32, right: u32, keep: Option<u32>) -> Step {
    Step::Product { kind, left, right, keep }
}

#[test]
fn a_step_of_training_on_permuted_weights_stays_at_the_worker() {
    let (x, w, g) = (floats(2, 3, 1.0), floats(3, 4, -2.0), floats(2, 4, 0.5));
    let mut worker = Worker::new(Limits::default());
    let forward = Job(vec![put(1, x.clone()), put(2, w.clone()), product(Kind::Forward, 1, 2, None)]);
    let backward = Job(vec![
        put(3, g.clone()),
        product(Kind::InputGradient, 3, 2, None),
        product(Kind::WeightGradient, 1, 3, Some(4)),
        Step::Add {
            to: 2,
            from: 4,
            factor: -0.5,
        },
        Step::Read { slot: 2 },
        Step::Free { slot: 1 },
        Step::Free { slot: 99 },
    ]);
    let (Tensor::Floats(x), Tensor::Floats(w), Tensor::Floats(g)) = (x, w, g) else {
        panic!("floats")
    };
    let y = float_products(Kind::Forward, &x, &w).unwrap();
    assert_eq!(worker.run(forward).unwrap().0, [Tensor::Floats(y)]);
    let dx = float_products(Kind::InputGradient, &g, &w).unwrap();
    let dw = float_products(Kind::WeightGradient, &x, &g).unwrap();
    let updated = w.values().iter().zip(dw.values()).map(|(w, dw)| w - 0.5 * dw).collect();
    let updated = Matrices::new(w.shape(), updated).unwrap();
    assert_eq!(worker.run(backward).unwrap().0, [Tensor::Floats(dx), Tensor::Floats(updated)]);
    assert_eq!(worker.stored_elements(), 12 + 8 + 12);
}

#[test]
fn products_of_shares() {
    let (x, w) = (words(2, 3, 5), words(3, 4, -7));
    let job = Job(vec![put(1, x.clone()), put(2, w.clone()), product(Kind::Forward, 1, 2, None)]);
    let answer = Worker::new(Limits::default()).run(job).unwrap();
    let (Tensor::Words(x), Tensor::Words(w)) = (x, w) else {
        panic!("words")
    };
    let product = residue_products(Kind::Forward, &x.residues(), &w.residues()).unwrap();
    assert_eq!(answer.0, [Tensor::Words(Words::of_residues(&product).unwrap())]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let run = |steps: Vec<Step>| {
        let all = [vec![put(1, floats(2, 3, 0.0)), put(2, words(2, 3, 0))], steps].concat();
        Worker::new(Limits::default()).run(Job(all)).unwrap_err().to_string()
    };
    assert_eq!(
        run(vec![product(Kind::InputGradient, 1, 2, None)]),
        "slot 2: expected floats, got residues"
    );
    assert_eq!(
        run(vec![product(Kind::InputGradient, 2, 1, None)]),
        "slot 1: expected residues, got floats"
    );
    assert_eq!(
        run(vec![product(Kind::Forward, 1, 1, None)]),
        "depth of the right operand: expected 3, got 2"
    );
    assert_eq!(run(vec![Step::Read { slot: 7 }]), "slot 7: expected a tensor, got nothing");
    assert_eq!(
        run(vec![Step::Add {
            to: 1,
            from: 2,
            factor: 1.0
        }]),
        "slot 2: expected floats, got residues"
    );
    let other = vec![
        put(3, floats(3, 2, 0.0)),
        Step::Add {
            to: 1,
            from: 3,
            factor: 1.0,
        },
    ];
    assert_eq!(run(other), "slot 3: expected the shape of the other, got another shape");
}

#[test]
fn a_customer_gets_no_more_than_its_limits() {
    let limits = Limits {
        stored_elements: 12,
        answer_elements: 6,
        multiply_accumulates: 24,
    };
    let operand = || floats(2, 3, 0.0);
    let with = |limits, steps: &[Step]| {
        let all = [&[put(1, operand()), put(2, operand())], steps].concat();
        Worker::new(limits).run(Job(all))
    };
    // 12 multiply-accumulates for a product of 4 elements.
    let product = product(Kind::InputGradient, 1, 2, None);
    assert!(with(limits, std::slice::from_ref(&product)).is_ok() && with(limits, &[put(1, operand())]).is_ok());
    let cases = [
        (
            limits,
            vec![put(3, floats(1, 1, 0.0))],
            "stored elements: expected at most 12, got 13",
        ),
        (
            limits,
            vec![product.clone(); 2],
            "elements of the answer: expected at most 6, got 8",
        ),
        (
            Limits {
                answer_elements: 100,
                ..limits
            },
            vec![product; 3],
            "multiply-accumulates: expected at most 24, got 36",
        ),
    ];
    for (limits, steps, expected) in cases {
        assert_eq!(with(limits, &steps).unwrap_err().to_string(), expected);
    }
}

#[test]
fn bytes_are_read_as_they_were_written() {
    let tensors = [floats(2, 3, 1.5), words(1, 4, 9), floats(0, 5, 0.0), words(3, 0, 0)];
    let steps = tensors.iter().cloned().zip(0..).map(|(tensor, slot)| put(slot, tensor));
    let kinds = Kind::ALL
        .into_iter()
        .flat_map(|kind| [product(kind, 1, 2, None), product(kind, 3, 4, Some(u32::MAX))]);
    let rest = [
        Step::Add {
            to: 1,
            from: 2,
            factor: -0.1,
        },
        Step::Read { slot: 3 },
        Step::Free { slot: 4 },
    ];
    let job = Job(steps.chain(kinds).chain(rest).collect());
    assert_eq!(job.encode().len(), job.encoded_len());
    assert_eq!(Job::decode(&job.encode()), Ok(job));
    let answer = Answer(tensors.to_vec());
    assert_eq!(answer.encode().len(), answer.encoded_len());
    assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
}

#[test]
fn claims_without_bytes_allocate_nothing() {
    let error = |bytes: &[u8]| Answer::decode(bytes).unwrap_err().to_string();
    assert_eq!(error(&[1, 2]), "count: expected 4 bytes more, got 2");
    assert_eq!(
        error(&u32::MAX.to_le_bytes()),
        "steps or tensors: expected at most 4096, got 4294967295"
    );
    let claimed = |sizes: [u32; 3]| [vec![1, 0, 0, 0, 0], sizes.map(u32::to_le_bytes).concat()].concat();
    assert_eq!(
        error(&claimed([1, 1 << 14, 1 << 14])),
        "tensor: expected 1073741824 bytes more, got 0"
    );
    assert_eq!(
        error(&claimed([1 << 20, 1 << 20, 1 << 20])),
        "elements: expected at most 268435456, got 1152921504606846976"
    );
    assert_eq!(
        error(&claimed([u32::MAX, 0, 0])),
        "matrices: expected at most 268435456, got 4294967295"
    );
    let mut bytes = Answer(vec![floats(1, 1, f32::INFINITY)]).encode();
    assert_eq!(error(&bytes), "value 0: expected a finite number, got inf");
    // In the last of several blocks, which is a short one.
    let mut long = Answer(vec![floats(7, 900, 1.0)]).encode();
    assert!(Answer::decode(&long).is_ok());
    let at = long.len() - 4 * 3;
    long[at..at + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    assert_eq!(error(&long), "value 6297: expected a finite number, got -inf");
    bytes[4] = 2;
    assert_eq!(error(&bytes), "form of a tensor: expected a tag of at most 1, got 2");
    bytes[4] = 0;
    bytes.push(0);
    assert_eq!(error(&bytes), "end: expected 0 bytes more, got 1");
    bytes.truncate(17);
    for (word, refused) in [(MODULUS as u32 - 1, false), (MODULUS as u32, true), (u32::MAX, true)] {
        bytes.extend_from_slice(&word.to_le_bytes());
        match refused {
            true => assert_eq!(error(&bytes), format!("word 0: expected less than 3368562317, got {word}")),
            false => assert!(Answer::decode(&bytes).is_ok()),
        }
        bytes.truncate(17);
    }
}

#[test]
fn results_beyond_the_limits_are_refused_before_they_are_computed() {
    let limits = Limits {
        stored_elements: 100,
        answer_elements: 100,
        multiply_accumulates: 1 << 40,
    };
    let run = |steps: Vec<Step>| Worker::new(limits).run(Job(steps)).unwrap_err().to_string();
    // 2^28 zeros from operands without elements.
    let wide = |rows| Tensor::Floats(Matrices::new(Shape::matrix(rows, 0).unwrap(), Vec::new()).unwrap());
    let zeros = vec![put(1, wide(1 << 14)), product(Kind::InputGradient, 1, 1, Some(2))];
    assert_eq!(run(zeros), "elements of a product: expected at most 100, got 268435456");
    let window = Window {
        channels: 1,
        image: [1 << 14; 2],
        kernel: [1; 2],
        stride: [1 << 14; 2],
        padding: [0; 2],
    };
    let image = vec![put(1, floats(1, 1, 0.0)), Step::Fold { from: 1, to: 2, window }];
    assert_eq!(run(image), "stored elements: expected at most 100, got 268435457");
    let window = Window {
        channels: 1,
        image: [3; 2],
        kernel: [3; 2],
        stride: [1; 2],
        padding: [2; 2],
    };
    let patches = vec![put(1, floats(9, 1, 0.0)), Step::Unfold { from: 1, to: 2, window }];
    assert_eq!(run(patches), "stored elements: expected at most 100, got 234");
}

#[test]
fn the_processor_conforms_to_itself() {
    testing::conforms(Cpu, 30);
}

/// The processor, but for one operation.
struct Faulty(&'static str);

type Operand = Held<std::sync::Arc<DeviceTensor>>;

impl Faulty {
    fn result(&self, operation: &str, result: &std::sync::Arc<DeviceTensor>) -> std::sync::Arc<DeviceTensor> {
        let mut tensor = DeviceTensor::clone(result);
        if self.0 == operation {
            tensor = match tensor {
                DeviceTensor::Residues(residues) => {
                    let mut values = residues.values().to_vec();
                    values
                        .iter_mut()
                        .take(1)
                        .for_each(|value| *value = if *value == 0 { 1 } else { -*value });
                    DeviceTensor::Residues(Residues::new(residues.shape(), values).unwrap())
                }
                DeviceTensor::Floats(mut floats) => {
                    floats.values_mut().iter_mut().take(1).for_each(|value| *value *= 1.0 + 1e-4);
                    DeviceTensor::Floats(floats)
                }
            };
        }
        tensor.into()
    }
}

impl Accelerator for Faulty {
    type Data = std::sync::Arc<DeviceTensor>;

    fn name(&self) -> String {
        format!("faulty {}", self.0)
    }

    fn put(&mut self, tensor: DeviceTensor) -> Result<Self::Data, AccelError> {
        Ok(self.result("put", &Cpu.put(tensor)?))
    }

    fn product(&mut self, kind: Kind, left: &Operand, right: &Operand) -> Result<Self::Data, AccelError> {
        Ok(self.result("product", &Cpu.product(kind, left, right)?))
    }

    fn add(&mut self, to: &Operand, factor: f32, from: &Operand) -> Result<Self::Data, AccelError> {
        Ok(self.result("add", &Cpu.add(to, factor, from)?))
    }

    fn unfold(&mut self, images: &Operand, window: &Window) -> Result<Self::Data, AccelError> {
        Ok(self.result("unfold", &Cpu.unfold(images, window)?))
    }

    fn fold(&mut self, patches: &Operand, window: &Window) -> Result<Self::Data, AccelError> {
        Ok(self.result("fold", &Cpu.fold(patches, window)?))
    }

    fn read(&mut self, tensor: Operand) -> Result<DeviceTensor, AccelError> {
        Cpu.read(tensor)
    }
}

#[test]
fn an_operation_that_is_slightly_off_does_not_conform() {
    testing::conforms(Faulty("none"), 30);
    for operation in ["put", "product", "add", "unfold", "fold"] {
        let outcome = std::panic::catch_unwind(|| testing::conforms(Faulty(operation), 30));
        assert!(outcome.is_err(), "{operation}");
    }
}

#[test]
fn a_device_that_fails_says_so_in_a_sentence() {
    let error = AccelError::device("GPU 0", "out of\n  memory ".repeat(1000));
    assert!(error.is_of_the_device() && error.to_string().starts_with("device GPU 0: out of memory out of"));
    assert!(error.to_string().len() < 500);
    assert!(
        !AccelError::Operand {
            expected: "a",
            actual: "b"
        }
        .is_of_the_device()
    );
}

/// Steps of a convolution that a worker takes two at a time, and the same with a step between them, which keeps it from that.
#[test]
fn pairs_of_steps_are_answered_as_one_by_one() {
    let window = Window {
        channels: 2,
        image: [5, 4],
        kernel: [3, 2],
        stride: [2, 1],
        padding: [1, 1],
    };
    let (images, patches) = (window.images(3).unwrap(), window.patches(3).unwrap());
    let tensors = |floats: bool| {
        let shapes = [
            (images.batch, images.rows, images.columns),
            (1, patches.columns, 7),
            (1, patches.rows, 7),
        ];
        shapes.map(|(batch, rows, columns)| {
            let shape = Shape::new(batch, rows, columns).unwrap();
            let numbers: Vec<i32> = (0..shape.elements()).map(|i| (i * 7919 % 201) as i32 - 100).collect();
            match floats {
                true => Tensor::Floats(Matrices::new(shape, numbers.into_iter().map(|x| x as f32).collect()).unwrap()),
                false => Tensor::Words(Words::of_integers(shape, &numbers).unwrap()),
            }
        })
    };
    let free = |slot| Step::Free { slot };
    let unfold = Step::Unfold { from: 0, to: 8, window };
    let fold = Step::Fold { from: 8, to: 9, window };
    let pairs = [
        (unfold.clone(), product(Kind::Forward, 8, 1, None), vec![free(8)]),
        (unfold, product(Kind::WeightGradient, 8, 2, None), vec![free(8)]),
        (
            product(Kind::InputGradient, 2, 1, Some(8)),
            fold,
            vec![Step::Read { slot: 9 }, free(8)],
        ),
    ];
    for floats in [false, true] {
        let puts: Vec<Step> = tensors(floats)
            .into_iter()
            .zip(0..)
            .map(|(tensor, slot)| put(slot, tensor))
            .collect();
        for (first, second, rest) in &pairs {
            let together = [vec![first.clone(), second.clone()], rest.clone()].concat();
            let apart = [vec![first.clone(), free(99), second.clone(), free(99)], rest.clone()].concat();
            // Within all limits; of slots and of multiplications one less than is needed.
            let steps = |steps: &[Step]| Job([puts.clone(), steps.to_vec()].concat());
            let (mut stored, mut least) = (
                images.elements() + patches.columns * 7 + patches.rows * 7 + patches.elements(),
                0,
            );
            if matches!(second, Step::Fold { .. }) {
                stored += images.elements();
            }
            for (stored, work) in [
                (stored, 1 << 40),
                (stored - 1, 1 << 40),
                (stored, patches.elements() as u64 * 7 - 1),
            ] {
                let limits = Limits {
                    stored_elements: stored,
                    answer_elements: stored,
                    multiply_accumulates: work,
                };
                let (mut one, mut other) = (Worker::new(limits), Worker::new(limits));
                let answers = [one.run(steps(&together)), other.run(steps(&apart))];
                assert_eq!(answers[0], answers[1]);
                assert_eq!(one.stored_elements(), other.stored_elements());
                least += usize::from(answers[0].is_ok());
            }
            assert_eq!(least, 1, "at the limit it is done, beyond it not");
        }
    }
}
