use proptest::prelude::*;

use super::*;

fn record(label: u8, pixels: impl Fn(usize) -> u8) -> Vec<u8> {
    std::iter::once(label).chain((0..PIXELS).map(pixels)).collect()
}

fn parse(bytes: &[u8]) -> Result<Images, DataError> {
    let mut images = Images::none();
    images.add(Path::new("t.bin"), bytes, 10)?;
    Ok(images)
}

fn refused(bytes: &[u8]) -> String {
    parse(bytes).err().expect("the bytes are faulty").to_string()
}

#[test]
fn planes_become_channels() {
    // Red is 255, green 51 and blue counts the columns.
    let pixels = |at: usize| match at / 1024 {
        0 => 255,
        1 => 51,
        _ => (at % 32) as u8,
    };
    let bytes = [record(9, pixels), record(0, |_| 0)].concat();
    let images = parse(&bytes).unwrap();
    assert_eq!(images.labels, [9, 0]);
    let x = images.features(Path::new("t.bin"), &Cifar10Options::default()).unwrap();
    assert_eq!(x.shape(), [2, 3, 32, 32]);
    assert_eq!((x[[0, 0, 31, 31]], x[[0, 1, 0, 0]], x[[0, 2, 7, 5]]), (1.0, 0.2, 5.0 / 255.0));
    assert_eq!(x[[1, 0, 0, 0]], 0.0);
    let plain = Cifar10Options {
        scale: false,
        ..Cifar10Options::default()
    };
    let x = parse(&bytes).unwrap().features(Path::new("t.bin"), &plain).unwrap();
    assert_eq!(x[[0, 2, 7, 5]], 5.0);
}

#[test]
fn faults_are_one_sentence() {
    assert_eq!(refused(b""), "t.bin: expected at least one row of data, found none");
    assert_eq!(
        refused(&[record(1, |_| 7), vec![2; 12]].concat()),
        "t.bin: not a valid CIFAR-10 file: 12 bytes after 1 records, expected records of 3073"
    );
    assert_eq!(
        refused(&[record(1, |_| 7), record(10, |_| 7)].concat()),
        "t.bin: not a valid CIFAR-10 file: record 1 begins with the label 10, expected 0 to 9"
    );
    for classes in [vec![], vec!["cat".to_string(), "cat".into()]] {
        let options = Cifar10Options { scale: true, classes };
        let error = read_table(Path::new("t.bin"), &options).unwrap_err().to_string();
        assert!(
            error.starts_with("cifar10.classes must be a name of its own for each class, got"),
            "{error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn bytes_survive(labels in proptest::collection::vec(0u8..10, 1..6), seed in any::<u8>()) {
        let pixel = |label: u8| move |at: usize| (at as u8).wrapping_mul(31).wrapping_add(seed ^ label);
        let bytes: Vec<u8> = labels.iter().flat_map(|&label| record(label, pixel(label))).collect();
        let (images, read) = parse(&bytes).unwrap().into_numbers();
        prop_assert_eq!(&read, &labels);
        let expected: Vec<u8> = labels.iter().flat_map(|&label| (0..PIXELS).map(pixel(label))).collect();
        prop_assert_eq!(images.elements, Elements::U8(expected));
    }

    #[test]
    fn any_bytes_give_whole_records_or_an_error(bytes in proptest::collection::vec(0u8..12, 0..10_000)) {
        if let Ok(images) = parse(&bytes) {
            prop_assert_eq!(images.labels.len() * RECORD, bytes.len());
            prop_assert!(images.labels.iter().all(|&label| label < 10));
        }
    }
}
