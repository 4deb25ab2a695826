use super::*;
use std::{cell::RefCell, rc::Rc};

fn tiles([batch, rows, depth, columns]: [usize; 4]) -> Tiles {
    Tiles::new(Dimensions {
        batch,
        rows,
        depth,
        columns,
    })
}

#[test]
fn deep_products_of_few_tiles_are_cut_into_parts_that_cover_them() {
    let parts = |sizes| tiles(sizes).parts();
    assert_eq!(parts([1, 64, 1024, 64]), 1);
    assert_eq!(parts([1, 64, 1025, 64]), 2);
    // Of 1,024 terms: fewer are not worth a group.
    assert_eq!(parts([1, 576, 65536, 64]), 52);
    assert_eq!(parts([1, 64, 65536, 64]), 64);
    // Enough tiles.
    assert_eq!(parts([512, 1, 65536, 1]), 1);
    for sizes in [[1, 1, 1, 1], [3, 65, 1, 64], [1, 1, 1 << 28, 1], [2, 100, 5000, 70]] {
        let tiles = tiles(sizes);
        assert_eq!(tiles.terms % 128, 0);
        assert!(tiles.parts() * tiles.terms >= sizes[2] && (tiles.parts() - 1) * tiles.terms < sizes[2]);
        assert!((1..=MAX_GROUPS).contains(&tiles.at_once()));
    }
}

/// Notes what is launched and computes nothing.
#[derive(Default)]
struct Noted(Rc<RefCell<Vec<(Kernel, Parameters, usize)>>>);

impl Gpu for Noted {
    /// Bytes.
    type Buffer = usize;

    fn name(&self) -> String {
        "noted".into()
    }

    fn allocate(&mut self, words: usize) -> Result<usize, AccelError> {
        assert!(words > 0);
        Ok(4 * words)
    }

    fn upload(&mut self, bytes: &[u8]) -> Result<usize, AccelError> {
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(4));
        Ok(bytes.len())
    }

    fn download(&mut self, buffer: &usize) -> Result<Vec<u8>, AccelError> {
        Ok(vec![0; *buffer])
    }

    fn launch(
        &mut self,
        kernel: Kernel,
        parameters: &Parameters,
        _: [&usize; 2],
        _: &usize,
        groups: usize,
    ) -> Result<(), AccelError> {
        assert!((1..=MAX_GROUPS).contains(&groups));
        self.0.borrow_mut().push((kernel, *parameters, groups));
        Ok(())
    }
}

#[test]
fn launches_cover_every_tile_once() {
    let launched = Rc::default();
    let mut device = OnGpu(Noted(Rc::clone(&launched)));
    let held = |shape: [usize; 3], form| Held {
        form,
        shape: Shape::new(shape[0], shape[1], shape[2]).unwrap(),
        data: 4,
    };
    let cases = [
        ([70_000, 1, 1], [70_000, 1, 1], 70_000),
        ([1, 20_000, 4000], [1, 20_000, 64], 63 * 8),
        ([2, 100, 70], [2, 100, 70], 2 * 2 * 2),
    ];
    for (left, right, expected) in cases {
        let (left, right) = (held(left, Form::Floats), held(right, Form::Floats));
        device.product(Kind::WeightGradient, &left, &right).unwrap();
        let mut next = 0;
        for (kernel, parameters, groups) in launched.borrow_mut().drain(..) {
            if kernel == Kernel::FloatProduct {
                assert_eq!(parameters[0] as usize, next);
                next += groups;
            }
        }
        assert_eq!(next, expected);
    }
}

#[test]
fn tensors_without_elements_take_no_launch() {
    let launched = Rc::default();
    let mut device = OnGpu(Noted(Rc::clone(&launched)));
    let shape = Shape::new(2, 0, 3).unwrap();
    for tensor in [
        DeviceTensor::Floats(Matrices::new(shape, Vec::new()).unwrap()),
        DeviceTensor::Residues(Residues::new(shape, Vec::new()).unwrap()),
    ] {
        let data = device.put(tensor.clone()).unwrap();
        let held = Held {
            form: tensor.form(),
            shape,
            data,
        };
        device.product(Kind::WeightGradient, &held, &held).unwrap();
        device.product(Kind::InputGradient, &held, &held).unwrap();
        assert_eq!(device.read(held), Ok(tensor));
    }
    assert!(launched.borrow().is_empty());
}
