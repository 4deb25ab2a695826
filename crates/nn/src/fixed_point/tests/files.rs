//! Shares add up and say nothing alone; files come back as they were or not at all.

use proptest::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::*;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A small model with one of each step.
fn small(ring_bits: u32) -> FixedModel {
    converted(&models()[4].1, ring_bits, 6)
}

fn numbers(model: &FixedModel) -> Vec<(Vec<i64>, Vec<i64>)> {
    model
        .weights()
        .map(|(weight, bias)| (weight.to_vec(), bias.to_vec()))
        .collect()
}

fn words(share: &ModelShare) -> Vec<u64> {
    share.weights().flat_map(|(weight, bias)| [weight, bias].concat()).collect()
}

#[test]
fn shares_add_up_to_the_weights() {
    for (ring_bits, servers) in [(24, 2), (32, 3), (48, 5)] {
        let model = small(ring_bits);
        let mut shares = model.share(servers, &mut rng(1)).unwrap();
        for (server, share) in shares.iter().enumerate() {
            assert_eq!((share.holder().server, share.holder().servers), (server, servers));
            assert_eq!(share.holder().model, shares[0].holder().model);
            assert_eq!(share.structure(), model.structure());
            assert!(words(share).iter().all(|word| word >> ring_bits == 0));
        }
        shares.reverse();
        assert_eq!(numbers(&FixedModel::from_shares(&shares).unwrap()), numbers(&model));
        let missing = refused(FixedModel::from_shares(&shares[1..]));
        assert!(
            missing.contains(&format!("expected those of all {servers} servers")),
            "{missing}"
        );
        let mut others = model.share(servers, &mut rng(2)).unwrap();
        assert_ne!(words(&others[1]), words(&shares[servers - 2]));
        shares[0] = others.pop().unwrap();
        let mixed = refused(FixedModel::from_shares(&shares));
        assert!(mixed.contains("made together"), "{mixed}");
    }
}

#[test]
fn what_a_server_holds_does_not_depend_on_the_weights_but_for_one() {
    let model = spec(&[40], vec![dense(50)]);
    let of = |value: f32| {
        let arrays = [
            ("0.weight".to_owned(), ArrayD::from_elem(vec![50, 40], value)),
            ("0.bias".to_owned(), ArrayD::from_elem(vec![50], value)),
        ];
        let fixed = FixedModel::convert(&model, &arrays, 32, 8, Ending::Scores).unwrap();
        fixed.share(3, &mut rng(7)).unwrap()
    };
    let (ones, twos) = (of(1.0), of(2.0));
    assert_eq!([words(&ones[1]), words(&ones[2])], [words(&twos[1]), words(&twos[2])]);
    assert_ne!(words(&ones[1]), words(&ones[2]));
    // The share that completes the sum is spread over the ring: each bit is set in about half of the words.
    for share in &ones {
        let words = words(share);
        for bit in 0..32 {
            let set = words.iter().filter(|word| *word >> bit & 1 == 1).count() as f64;
            let deviation = (set - words.len() as f64 / 2.0) / (words.len() as f64 / 4.0).sqrt();
            assert!(deviation.abs() < 5.0, "bit {bit}: {set} of {}", words.len());
        }
    }
}

#[test]
fn numbers_of_servers_have_limits() {
    for servers in [0, 1, 65] {
        let error = refused(small(32).share(servers, &mut rng(1)));
        assert_eq!(error, format!("fixed point: servers: expected 2 to 64, got {servers}"));
    }
}

#[test]
fn files_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for ring_bits in [24, 32, 33, 48] {
        let model = small(ring_bits);
        let path = folder.path().join("model.safetensors");
        model.save(&path).unwrap();
        let back = FixedModel::load(&path).unwrap();
        assert_eq!((back.structure(), numbers(&back)), (model.structure(), numbers(&model)));
        for share in model.share(3, &mut rng(3)).unwrap() {
            let path = folder.path().join(format!("share{}.safetensors", share.holder().server));
            share.save(&path).unwrap();
            let back = ModelShare::load(&path).unwrap();
            assert_eq!((back.structure(), back.holder()), (share.structure(), share.holder()));
            assert_eq!(words(&back), words(&share));
        }
        let sizes = |server: usize| {
            std::fs::metadata(folder.path().join(format!("share{server}.safetensors")))
                .unwrap()
                .len()
        };
        assert!(sizes(1) < sizes(0));
    }
    let error = refused(FixedModel::load(&folder.path().join("share0.safetensors")));
    assert!(
        error.contains(r#"expected format "cloven-fixed-model", got "cloven-fixed-share""#),
        "{error}"
    );
    let error = refused(ModelShare::load(&folder.path().join("none.safetensors")));
    assert!(error.starts_with("model file "), "{error}");
}

/// The same file with other metadata or arrays.
fn changed(
    bytes: &[u8],
    entry: Option<(&str, &str)>,
    change: impl Fn(&str, Dtype, Vec<usize>, Vec<u8>) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    if let Some((name, value)) = entry {
        metadata.insert(name.to_owned(), value.to_owned());
    }
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let arrays: Vec<_> = tensors
        .iter()
        .flat_map(|(name, view)| change(name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    let views = arrays
        .iter()
        .map(|(name, kind, shape, data)| (name, TensorView::new(*kind, shape.clone(), data).unwrap()));
    serialize(views, Some(metadata)).unwrap()
}

fn same(name: &str, kind: Dtype, shape: Vec<usize>, data: Vec<u8>) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    vec![(name.to_owned(), kind, shape, data)]
}

#[test]
fn other_metadata_are_refused() {
    let shares = small(32).share(2, &mut rng(4)).unwrap();
    let bytes = shares[0].to_bytes().unwrap();
    let with = |name, value: &str| refused(ModelShare::from_bytes(&changed(&bytes, Some((name, value)), same)));
    assert!(ModelShare::from_bytes(&changed(&bytes, Some(("note", "of a later version")), same)).is_ok());
    assert_eq!(with("version", "2"), r#"fixed point: content: expected version "1", got "2""#);
    assert_eq!(with("servers", "1"), "fixed point: servers: expected 2 to 64, got 1");
    assert_eq!(with("server", "2"), "fixed point: server: expected a number below 2, got 2");
    assert_eq!(
        with("server", "-1"),
        r#"fixed point: content: expected a number as server, got "-1""#
    );
    for digits in [
        "",
        "0",
        &"0".repeat(31),
        &"+0".repeat(16),
        &"0".repeat(33),
        &"\u{e9}".repeat(16),
    ] {
        assert!(with("model", digits).contains("32 hexadecimal digits"), "{digits}");
    }
    let structure = shares[0].structure();
    let json = |change: &dyn Fn(&mut Structure)| {
        let mut structure = structure.clone();
        change(&mut structure);
        with("structure", &serde_json::to_string(&structure).unwrap())
    };
    assert!(json(&|s| s.ring_bits = 49).contains("24 to 48 bits"));
    assert!(json(&|s| s.ring_bits = 33).contains("to be U64"));
    assert!(json(&|s| s.input = vec![1 << 40, 1 << 40]).contains("1 to 3 axes"));
    let without_products = |s: &mut Structure| {
        s.steps.retain(|step| !matches!(step, Step::Linear { .. }));
        s.layer_ends.clear();
    };
    assert!(json(&without_products).contains("fixed point: step"));
    assert!(json(&|s| s.layer_ends.push(1_000)).contains("ends of layers"));
    assert!(with("structure", "{}").contains("missing field"));
    assert!(with("structure", &"[".repeat(100_000)).contains("expected a structure"));
    let text = serde_json::to_string(structure).unwrap();
    assert!(with("structure", &text.replacen("{", "{\"more\":1,", 1)).contains("unknown field"));
}

#[test]
fn other_arrays_are_refused() {
    let (model, shares) = (small(24), small(24).share(2, &mut rng(4)).unwrap());
    let [whole, first, second] = [model.to_bytes(), shares[0].to_bytes(), shares[1].to_bytes()].map(Result::unwrap);
    // A number outside the ring.
    let outside = |name: &str, kind, shape, mut data: Vec<u8>| {
        if name == "0.weight" {
            data[3] = 1;
        }
        same(name, kind, shape, data)
    };
    let error = refused(ModelShare::from_bytes(&changed(&first, None, outside)));
    assert!(error.contains("expected \"0.weight\" within the ring"), "{error}");
    assert!(refused(FixedModel::from_bytes(&changed(&whole, None, outside))).contains("within the ring"));
    // One missing, one more, another shape or kind.
    let missing = |name: &str, kind, shape, data| {
        if name == "1.bias" {
            vec![]
        } else {
            same(name, kind, shape, data)
        }
    };
    assert!(refused(FixedModel::from_bytes(&changed(&whole, None, missing))).contains("an array \"1.bias\""));
    let twice = |name: &str, kind, shape: Vec<usize>, data: Vec<u8>| {
        [
            same(name, kind, shape.clone(), data.clone()),
            same(&format!("{name}2"), kind, shape, data),
        ]
        .concat()
    };
    assert!(refused(FixedModel::from_bytes(&changed(&whole, None, twice))).contains("arrays, got"));
    assert!(refused(ModelShare::from_bytes(&changed(&second, None, twice))).contains("a seed of 32 bytes alone"));
    let flat = |name: &str, kind, shape: Vec<usize>, data| same(name, kind, vec![1, shape.iter().product()], data);
    assert!(refused(FixedModel::from_bytes(&changed(&whole, None, flat))).contains("to be I32"));
    assert!(refused(ModelShare::from_bytes(&changed(&second, None, flat))).contains("a seed of 32 bytes alone"));
    let float = |name: &str, _, shape, data| same(name, Dtype::F32, shape, data);
    assert!(refused(FixedModel::from_bytes(&changed(&whole, None, float))).contains("got F32"));
}

#[test]
fn a_truncated_file_is_an_error_at_any_length() {
    let bytes = small(32).share(2, &mut rng(5)).unwrap()[0].to_bytes().unwrap();
    for length in 0..bytes.len() {
        assert!(ModelShare::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    let mut long = bytes.to_vec();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refused(ModelShare::from_bytes(&long)).contains("within the limits"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_corrupted_file_is_an_error_or_a_model_that_can_be_evaluated(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = small(32).to_bytes().unwrap().to_vec();
        let at = at.index(bytes.len().min(4000));
        bytes[at] = byte;
        if let Ok(model) = FixedModel::from_bytes(&bytes) {
            let values = model.structure().input.iter().product();
            prop_assert!(model.evaluate(&vec![1; values]).is_ok());
        }
    }
}
