//! `cloven export` and `cloven report --tensorboard`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::fs;

use common::{arrays, example, fail, json, succeed, text};

#[test]
fn the_whole_model_is_every_partys_layers_and_the_snippet_builds_them() {
    let root = tempfile::tempdir().unwrap();
    let [folder, whole, own] = ["run", "model.safetensors", "hospital.safetensors"].map(|name| root.path().join(name));
    succeed(&[
        "run",
        &example("02_wdbc.toml"),
        "--run-folder",
        &text(&folder),
        "--set",
        "training.epochs=1",
    ]);
    let snippet = succeed(&["export", &text(&folder), "--output", &text(&whole), "--snippet"]);
    for line in [
        "(\"0\", nn.Linear(30, 16)),",
        "(\"1\", nn.ReLU()),",
        "(\"6\", nn.Linear(8, 1)),",
        "load_file(",
    ] {
        assert!(snippet.contains(line), "{line}: {snippet}");
    }
    let all = arrays(&whole);
    assert_eq!(all.len(), 8);
    assert_eq!(all["2.weight"].0, [16, 16]);
    for party in ["hospital", "cloud"] {
        for (name, array) in arrays(&folder.join(format!("checkpoints/{party}.safetensors"))) {
            assert_eq!(all[&name], array, "{name}");
        }
    }
    let exported = json(&succeed(&[
        "export",
        &text(&folder),
        "--as",
        "hospital",
        "--output",
        &text(&own),
        "--json",
    ]));
    assert_eq!(exported["layers"], serde_json::json!([0, 1, 5, 6]));
    assert_eq!(
        arrays(&own).keys().collect::<Vec<_>>(),
        ["0.bias", "0.weight", "6.bias", "6.weight"]
    );
    assert!(fail(3, &["export", &text(&folder), "--as", "nobody", "--output", &text(&own)]).contains("nobody"));
    fs::remove_file(folder.join("checkpoints/cloud.safetensors")).unwrap();
    assert!(fail(3, &["export", &text(&folder), "--output", &text(&own)]).contains("those of cloud are not here"));
}

#[test]
fn the_merged_sealed_layer_is_u_plus_v() {
    let root = tempfile::tempdir().unwrap();
    let [folder, whole, job] = ["run", "model.safetensors", "job.toml"].map(|name| root.path().join(name));
    let sealed = fs::read_to_string(example("02_wdbc.toml")).unwrap();
    let sealed = sealed.replace("protocol = \"plain\"", "protocol = \"encrypted-activation\"");
    fs::write(&job, sealed.replace("[2, 3, 4]", "[2]")).unwrap();
    // 456 rows an epoch: the first reveal comes after the third.
    succeed(&[
        "run",
        &text(&job),
        "--run-folder",
        &text(&folder),
        "--set",
        "training.epochs=4",
    ]);
    succeed(&["export", &text(&folder), "--output", &text(&whole)]);
    let of = |name: &str| arrays(&folder.join(format!("checkpoints/{name}.safetensors")));
    let (u, v, w) = (of("cloud"), of("hospital.unrevealed"), arrays(&whole));
    let (u, v) = (&u["2.weight"].1, &v["2.weight"].1);
    assert!(v.iter().any(|v| *v != 0.0), "an epoch after the reveal");
    let sums: Vec<f32> = u.iter().zip(v).map(|(u, v)| u + v).collect();
    assert_eq!(w["2.weight"].1, sums);
}

#[test]
fn the_snippet_has_a_line_for_every_kind_of_layer() {
    let root = tempfile::tempdir().unwrap();
    let [folder, whole, job] = ["run", "model.safetensors", "job.toml"].map(|name| root.path().join(name));
    succeed(&["init", &text(&root.path().join("own")), "--data", "digits"]);
    let start = fs::read_to_string(root.path().join("own/job.toml")).unwrap();
    let mut table: toml::Table = toml::from_str(&start).unwrap();
    let layers = r#"
        server_layers = [8]
        layers = [
            { type = "conv2d", channels = 4, kernel = 3, padding = 1, bias = false },
            { type = "batch-norm" },
            { type = "gelu" },
            { type = "max-pool2d", size = 3, stride = 2, padding = 1 },
            { type = "residual", body = [{ type = "conv2d", channels = 4, kernel = 1 }, { type = "relu" }] },
            { type = "residual", body = [{ type = "layer-norm", axes = 1 }], shortcut = [{ type = "batch-norm" }] },
            { type = "avg-pool2d", size = 2 },
            { type = "flatten" },
            { type = "dense", outputs = 10 },
        ]"#;
    table.insert("model".into(), toml::from_str::<toml::Table>(layers).unwrap().into());
    fs::write(&job, toml::to_string(&table).unwrap()).unwrap();
    let settings = [
        "data.shape=[1,8,8]",
        "training.epochs=1",
        "data.train_rows=64",
        "data.test_rows=16",
    ];
    let mut args = vec!["run".to_owned(), text(&job), "--run-folder".to_owned(), text(&folder)];
    args.extend(
        settings
            .iter()
            .flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]),
    );
    succeed(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let snippet = succeed(&["export", &text(&folder), "--output", &text(&whole), "--snippet"]);
    for line in [
        "class Residual(nn.Module):",
        "(\"0\", nn.Conv2d(1, 4, 3, stride=1, padding=1, bias=False)),",
        "(\"1\", nn.BatchNorm2d(4, eps=1e-5, momentum=0.1)),",
        "(\"2\", nn.GELU()),",
        "(\"3\", nn.MaxPool2d(3, stride=2, padding=1)),",
        "(\"4\", Residual(nn.Sequential(nn.Conv2d(4, 4, 1, stride=1, padding=0), nn.ReLU()), nn.Sequential())),",
        "(\"5\", Residual(nn.Sequential(nn.LayerNorm([4], eps=1e-5)), nn.Sequential(nn.BatchNorm2d(4, eps=1e-5, momentum=0.1)))),",
        "(\"6\", nn.AvgPool2d(2, stride=2)),",
        "(\"8\", nn.Linear(16, 10)),",
    ] {
        assert!(snippet.contains(line), "{line}: {snippet}");
    }
    let all = arrays(&whole);
    for name in [
        "1.running_mean",
        "4.body.0.weight",
        "5.body.0.bias",
        "5.shortcut.0.running_var",
        "8.bias",
    ] {
        assert!(all.contains_key(name), "{name}: {:?}", all.keys());
    }
}

#[test]
fn tensorboard_files_hold_a_record_for_each_epoch() {
    let root = tempfile::tempdir().unwrap();
    let [folder, logs] = ["run", "logs"].map(|name| root.path().join(name));
    succeed(&[
        "run",
        &example("02_wdbc.toml"),
        "--run-folder",
        &text(&folder),
        "--set",
        "training.epochs=3",
    ]);
    let events = || {
        succeed(&["report", &text(&folder), "--tensorboard", &text(&logs)]);
        let files: Vec<_> = fs::read_dir(logs.join("run")).unwrap().map(|e| e.unwrap().path()).collect();
        let [file] = &files[..] else { panic!("{files:?}") };
        fs::read(file).unwrap()
    };
    let bytes = events();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        records.push(String::from_utf8_lossy(&rest[12..12 + length]).into_owned());
        rest = &rest[16 + length..];
    }
    assert_eq!(records.len(), 4);
    assert!(records[0].contains("brain.Event:2"));
    assert!(records[3].contains("accuracy/test") && records[3].contains("loss/training hospital"));
    assert_eq!(events(), bytes, "written again, not beside");
}
