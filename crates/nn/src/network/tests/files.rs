//! Model files: what was written comes back, and nothing else gets in.

use std::collections::HashMap;
use std::path::PathBuf;

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::{spread, whole};
use crate::{InputGradient, LayerSpec, LearningRateSchedule, Network, OptimiserSpec};

fn small() -> Network {
    let adamw = OptimiserSpec::AdamW {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.1,
        schedule: LearningRateSchedule::default(),
    };
    small_with(adamw)
}

fn small_with(optimiser: OptimiserSpec) -> Network {
    let layers = vec![
        LayerSpec::Dense { outputs: 3, bias: true },
        LayerSpec::Tanh {},
        LayerSpec::Dense { outputs: 2, bias: true },
    ];
    whole(&[4], layers).with_optimiser(optimiser).unwrap()
}

fn train(network: &mut Network, steps: std::ops::Range<u64>) {
    for step in steps {
        let y = network.forward_train(step, &spread(&[3, 4], step as usize)).unwrap();
        network.backward(&y, InputGradient::NotWanted).unwrap();
        network.update().unwrap();
    }
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    (folder, path)
}

#[test]
fn a_saved_model_comes_back() {
    let (folder, path) = scratch();
    let mut network = small();
    train(&mut network, 0..3);
    let metadata = HashMap::from([("model".to_owned(), "m1".to_owned())]);
    network.save_safetensors(&path, &metadata).unwrap();
    network.save_safetensors(&path, &metadata).unwrap();
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file stays"
    );
    let mut other = small();
    assert_eq!(other.load_safetensors(&path).unwrap(), metadata);
    assert_eq!(other.parameters(), network.parameters());
}

#[test]
fn a_checkpoint_goes_on_bit_for_bit() {
    let (_folder, path) = scratch();
    let mut straight = small();
    train(&mut straight, 0..3);
    straight.save_checkpoint(&path, &HashMap::new()).unwrap();
    let mut resumed = small();
    assert_eq!(resumed.load_checkpoint(&path).unwrap(), HashMap::new());
    assert_eq!(resumed.updates(), 3);
    for network in [&mut straight, &mut resumed] {
        train(network, 3..6);
    }
    assert_eq!(straight.parameters(), resumed.parameters());
}

fn langevin() -> Network {
    small_with(OptimiserSpec::Sgld {
        learning_rate: 0.1,
        temperature: 1.0,
        weight_decay: 0.1,
        schedule: LearningRateSchedule::Power {
            offset: 3.0,
            gamma: 0.55,
            warm_up: 0,
        },
    })
}

#[test]
fn noise_goes_on_bit_for_bit() {
    let (_folder, path) = scratch();
    let mut straight = langevin();
    train(&mut straight, 0..3);
    straight.save_checkpoint(&path, &HashMap::new()).unwrap();
    let before = straight.parameters();
    let mut resumed = langevin();
    resumed.load_checkpoint(&path).unwrap();
    for network in [&mut straight, &mut resumed] {
        train(network, 3..6);
    }
    assert_eq!((straight.parameters(), straight.updates()), (resumed.parameters(), 6));
    assert_ne!(straight.parameters(), before);
}

#[test]
fn noise_of_a_key_is_not_that_of_the_seed() {
    let trained = |mut network: Network| {
        train(&mut network, 0..2);
        network.parameters()
    };
    let keyed = |key| trained(langevin().with_noise_key([key; 32]));
    assert_eq!(keyed(1), keyed(1));
    assert_ne!(keyed(1), keyed(2));
    assert_ne!(keyed(1), trained(langevin()));
}

#[test]
fn a_checkpoint_before_the_first_update_is_one_too() {
    let (_folder, path) = scratch();
    small().save_checkpoint(&path, &HashMap::new()).unwrap();
    let mut resumed = small();
    train(&mut resumed, 0..2);
    resumed.load_checkpoint(&path).unwrap();
    assert_eq!((resumed.updates(), resumed.parameters()), (0, small().parameters()));
}

#[test]
fn weights_and_checkpoints_are_not_confused() {
    let (_folder, path) = scratch();
    let mut network = small();
    train(&mut network, 0..1);
    network.save_checkpoint(&path, &HashMap::new()).unwrap();
    let error = network.load_safetensors(&path).unwrap_err().to_string();
    assert!(error.contains("moment1"), "{error}");
    network.save_safetensors(&path, &HashMap::new()).unwrap();
    let error = network.load_checkpoint(&path).unwrap_err().to_string();
    assert!(error.contains("expected a checkpoint"), "{error}");
}

#[test]
fn a_truncated_file_is_an_error_at_any_length() {
    let (_folder, path) = scratch();
    let mut network = small();
    network.save_safetensors(&path, &HashMap::new()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    train(&mut network, 0..1);
    let before = network.parameters();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(network.load_safetensors(&path).is_err(), "{length} bytes");
    }
    assert_eq!(network.parameters(), before);
    std::fs::write(&path, vec![b' '; 2 << 20]).unwrap();
    let error = network.load_safetensors(&path).unwrap_err().to_string();
    assert!(error.contains("expected at most"), "{error}");
    assert!(network.load_safetensors(&path.with_extension("missing")).is_err());
}

#[test]
fn tensors_of_another_kind_are_refused() {
    let (_folder, path) = scratch();
    let mut network = whole(&[2], vec![LayerSpec::Dense { outputs: 1, bias: false }]);
    let mut refuse = |dtype, shape: Vec<usize>, bytes: &[u8], expected: &str| {
        let view = TensorView::new(dtype, shape, bytes).unwrap();
        std::fs::write(&path, serialize([("0.weight", view)], None).unwrap()).unwrap();
        let error = network.load_safetensors(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refuse(Dtype::F64, vec![1, 2], &[0; 16], "expected F32, got F64");
    refuse(Dtype::F32, vec![2, 1], &[0; 8], "expected shape [1, 2], got [2, 1]");
    refuse(Dtype::F32, vec![1, 2], &[0xff; 8], "expected finite numbers");
}

/// A file as PyTorch writes it, of a model with other names and more layers than ours.
fn foreign(path: &std::path::Path, extra: &str) {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (weight, three) = (bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), bytes(&[0.5, 0.25, 0.125]));
    let view = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
    let three = || view(&[3], &three);
    let mut tensors = vec![
        ("encoder.fc.weight".to_owned(), view(&[3, 2], &weight)),
        ("encoder.fc.bias".to_owned(), three()),
        ("encoder.fc2.bias".to_owned(), three()),
        (
            "head.halves".to_owned(),
            TensorView::new(Dtype::F16, vec![3, 2], &weight[..12]).unwrap(),
        ),
    ];
    for name in ["weight", "bias", "running_mean", "running_var"] {
        tensors.push((format!("encoder.norm.{name}"), three()));
    }
    let count = TensorView::new(Dtype::I64, vec![], &weight[..8]).unwrap();
    tensors.push(("encoder.norm.num_batches_tracked".to_owned(), count));
    if !extra.is_empty() {
        tensors.push((extra.to_owned(), three()));
    }
    std::fs::write(path, serialize(tensors, None).unwrap()).unwrap();
}

fn dense_and_norm() -> Network {
    let norm = LayerSpec::BatchNorm {
        epsilon: 1e-5,
        momentum: 0.1,
    };
    whole(&[2], vec![LayerSpec::Dense { outputs: 3, bias: true }, norm])
}

#[test]
fn weights_of_another_naming_are_imported() {
    let (_folder, path) = scratch();
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = pairs.iter().map(|(theirs, ours)| (theirs.to_string(), ours.to_string()));
        owned.collect()
    };
    let prefixes = pairs(&[("encoder.fc", "0"), ("encoder.norm", "1")]);
    foreign(&path, "");
    let mut network = dense_and_norm();
    network.import_safetensors(&path, &prefixes).unwrap();
    let parameters = network.parameters();
    assert_eq!(
        parameters[0].1,
        ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).into_dyn()
    );
    for (name, values) in parameters[1..].iter().chain(&network.buffers()) {
        assert_eq!(values, &ndarray::arr1(&[0.5, 0.25, 0.125]).into_dyn(), "{name}");
    }
    // As PyTorch computes them: W x + b, then (z - mean) / sqrt(var + eps) * w + b.
    let y = network.forward(&ndarray::arr2(&[[1.0, -1.0]]).into_dyn()).unwrap();
    for (y, (z, each)) in y.iter().zip([(-0.5, 0.5), (-0.75, 0.25), (-0.875, 0.125f64)]) {
        let expected = (z - each) / (each + 1e-5).sqrt() * each + each;
        assert!((f64::from(*y) - expected).abs() < 1e-6, "{y} {expected}");
    }

    let mut fresh = dense_and_norm();
    let before = fresh.parameters();
    let mut problem = |prefixes: &[(&str, &str)]| {
        let error = fresh.import_safetensors(&path, &pairs(prefixes)).unwrap_err().to_string();
        assert_eq!(fresh.parameters(), before);
        error
    };
    assert_eq!(
        problem(&[("encoder.fc", "0")]),
        r#"parameter "1.weight": expected [3], got nothing"#
    );
    assert_eq!(problem(&[]), r#"parameter "0.weight": expected [3, 2], got nothing"#);
    assert_eq!(
        problem(&[("encoder.norm", "0"), ("encoder.fc", "1")]),
        r#"parameter "0.weight": expected shape [3, 2], got [3]"#
    );
    foreign(&path, "1.bias");
    let error = fresh.import_safetensors(&path, &prefixes).unwrap_err().to_string();
    assert_eq!(error, r#"parameter "1.bias": expected it once, got it twice"#);
}

#[test]
fn prefixes_add_and_remove() {
    let (_folder, path) = scratch();
    let mut network = small();
    train(&mut network, 0..1);
    network.save_safetensors(&path, &HashMap::new()).unwrap();
    // All of it becomes the body of a block; a file with "0." before all names comes back without.
    let body = vec![
        LayerSpec::Dense { outputs: 3, bias: true },
        LayerSpec::Tanh {},
        LayerSpec::Dense { outputs: 2, bias: true },
    ];
    let shortcut = vec![LayerSpec::Dense { outputs: 2, bias: true }];
    let mut block = whole(&[4], vec![LayerSpec::Residual { body, shortcut }]);
    let all = [(String::new(), "0.body".to_owned())];
    let error = block.import_safetensors(&path, &all).unwrap_err().to_string();
    assert!(error.contains("0.shortcut.0.weight"), "{error}");
    block.save_safetensors(&path, &HashMap::new()).unwrap();
    network
        .import_safetensors(&path, &[("0.body".to_owned(), String::new())])
        .unwrap();
    for ((_, ours), (name, theirs)) in network.parameters().iter().zip(block.parameters()) {
        assert!(name.starts_with("0.body."));
        assert_eq!(*ours, theirs, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_corrupted_file_is_an_error_or_finite_numbers(position in any::<prop::sample::Index>(), byte: u8) {
        let (_folder, path) = scratch();
        let mut network = small();
        network.save_safetensors(&path, &HashMap::new()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        std::fs::write(&path, bytes).unwrap();
        let _ = network.load_safetensors(&path);
        prop_assert!(network.parameters().iter().all(|(_, values)| values.iter().all(|value| value.is_finite())));
    }
}

#[test]
fn one_file_serves_the_parts_on_both_sides_of_a_cut() {
    let (_folder, path) = scratch();
    let model = crate::preset("m1").unwrap().model;
    let part = |layers, seed| Network::new(&model, layers, seed).unwrap();
    let metadata = HashMap::from([("job".to_owned(), "1f".to_owned())]);
    let saved = [part(0..3, 1), part(7..8, 1)];
    crate::save_safetensors(&path, &saved, metadata.clone()).unwrap();
    let [mut front, mut tail] = [part(0..3, 2), part(7..8, 2)];
    let weights = crate::Weights::read(&path, &[&front, &tail]).unwrap();
    assert_eq!(weights.metadata(), &metadata);
    weights.give(&mut [&mut front, &mut tail]).unwrap();
    assert_eq!(front.parameters(), saved[0].parameters());
    assert_eq!(tail.parameters(), saved[1].parameters());

    // More or fewer parts than the file's: nothing changes.
    let before = part(0..3, 2).parameters();
    let mut front = part(0..3, 2);
    let read = |parts: &[&Network]| crate::Weights::read(&path, parts).unwrap();
    let error = read(&[&front]).give(&mut [&mut front]).unwrap_err().to_string();
    assert!(error.contains("only those of this party's layers"), "{error}");
    let mut middle = part(3..7, 2);
    let error = read(&[&front, &middle]).give(&mut [&mut front, &mut middle]).unwrap_err();
    assert!(error.to_string().contains("got nothing"), "{error}");
    assert_eq!(front.parameters(), before);
}
