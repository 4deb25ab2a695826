use super::*;

const WDBC: &str = include_str!("../../../../examples/02_wdbc.toml");
const ECG: &str = include_str!("../../../../examples/01_ecg.toml");

fn parse(text: &str, settings: &[&str]) -> Result<Job, Error> {
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    Job::parse(text, "job.toml", &parse_settings(&settings)?)
}

fn problem(text: &str, settings: &[&str]) -> String {
    parse(text, settings).unwrap_err().to_string()
}

#[test]
fn the_digest_is_over_the_meaning() {
    let job = parse(WDBC, &[]).unwrap();
    let same = format!("# another comment\n{}", WDBC.replace("test_fraction = 0.2\n", ""));
    assert_eq!(
        parse(&same, &[]).unwrap().digest(),
        job.digest(),
        "comments and written-out defaults do not count"
    );
    assert_eq!(Job::parse(&job.to_toml(), "again", &[]).unwrap().digest(), job.digest());
    assert_ne!(parse(WDBC, &["seed=2"]).unwrap().digest(), job.digest());
    assert_eq!(parse(WDBC, &["seed=1"]).unwrap().digest(), job.digest());
}

#[test]
fn settings_reach_nested_values_and_unknown_keys_are_refused() {
    let job = parse(
        WDBC,
        &["training.epochs=3", "training.optimiser.learning_rate=0.5", "data.name=other"],
    )
    .unwrap();
    assert_eq!(job.training.epochs, 3);
    assert_eq!(job.data.name, "other");
    assert!(
        problem(WDBC, &["training.epoch=3"]).contains("epoch"),
        "{}",
        problem(WDBC, &["training.epoch=3"])
    );
    assert!(problem(WDBC, &["seed.x=3"]).contains("seed is not a table"));
    assert!(problem(WDBC, &["seed"]).contains("key=value"));
}

#[test]
fn mistakes_are_one_clear_sentence() {
    for (settings, expected) in [
        (&["training.batch=0"][..], "at least 1"),
        (&["data.test_fraction=1.5"], "below 1"),
        (&["model.server_layers=[2,4]"], "consecutive"),
        (&["model.server_layers=[7]"], "from 0 to 6"),
        (&["model.preset=m1"], "either `preset` or `layers`"),
        (&["data.classes=3"], "the last layer gives [1]"),
        (&["parties.third=server"], "one to 64 clients and one server"),
        (&["training.optimiser.learning_rate=-1.0"], "learning_rate"),
        (&["parties.Big=client"], "cannot be a party's name"),
    ] {
        let text = problem(WDBC, settings);
        assert!(text.contains(expected), "{settings:?}: {text}");
    }
    assert!(problem(ECG, &["data.shape=[1,64]"]).contains("preset m1 takes samples of shape [1, 128]"));
    assert!(problem(ECG, &["model.preset=m2"]).contains("m1"));
    let broken = WDBC.replace("epochs = 20", "epochs = twenty");
    assert!(problem(&broken, &[]).contains("epochs = twenty"), "the line is shown");
}

#[test]
fn batch_normalisation_needs_two_rows_a_batch() {
    let normalised = WDBC.replacen(r#"{ type = "relu" }"#, r#"{ type = "batch-norm" }"#, 1);
    let job = parse(&normalised, &[]).unwrap();
    job.check_batches(32).unwrap();
    job.check_batches(0).unwrap();
    let text = job.check_batches(33).unwrap_err().to_string();
    assert!(
        text.contains("33 training rows in batches of 16 leave a batch of 1"),
        "{text}"
    );
    parse(WDBC, &[]).unwrap().check_batches(33).unwrap();
}

/// A change of what a job means, or of how it is serialised, shows here: parties of the versions before and after would refuse each other.
#[test]
fn jobs_keep_their_digest() {
    let ecg = "9c418cd74c2d2c653257e001bc4174f347d4fbb21132a11dcb26b3c03fe2d6a1";
    let wdbc = "1875af28c22e0f2b4a5d0f35be18bb0b7d581d92400e9d678de6e9183b8321d7";
    for (text, expected) in [(ECG, ecg), (WDBC, wdbc)] {
        assert_eq!(parse(text, &[]).unwrap().digest_hex(), expected);
    }
    let schedule = [
        "training.optimiser.schedule.type=step",
        "training.optimiser.schedule.every=100",
    ];
    assert_ne!(parse(ECG, &schedule).unwrap().digest_hex(), ecg);
    let wrong = [schedule[0], "training.optimiser.schedule.every=0"];
    assert!(problem(ECG, &wrong).contains("schedule.every: expected at least 1"));
}

#[test]
fn sealed_jobs_need_one_dense_layer_and_no_weight_decay() {
    let sealed = ["protocol=encrypted-activation"];
    let job = parse(ECG, &sealed).unwrap();
    let parameters = job.encryption_parameters(None).unwrap().unwrap();
    assert_eq!((parameters.log2_n, parameters.security_bits), (11, 128));
    assert!(parse(ECG, &[]).unwrap().encryption_parameters(None).unwrap().is_none());
    assert_ne!(job.digest(), parse(ECG, &[]).unwrap().digest());
    let decay = [sealed[0], "training.optimiser.weight_decay=0.1"];
    assert!(problem(ECG, &decay).contains("the client does not hold the weights that decay"));
    assert!(problem(ECG, &[sealed[0], "model.server_layers=[0]"]).contains("got conv1d"));
    let paper = parse(ECG, &[decay[0], decay[1], "encryption.mode=paper"]).unwrap();
    assert!(
        paper
            .leaks()
            .iter()
            .any(|leak| leak.learns.contains("the activation of every training row exactly"))
    );
    assert!(problem(ECG, &["encryption.mode=paper"]).contains("plain has no encryption"));
}

#[test]
fn a_job_has_no_room_for_paths_or_addresses() {
    for key in ["data.path='/x'", "parties.hospital='10.0.0.1:7443'", "listen='0.0.0.0:1'"] {
        assert!(parse(WDBC, &[key]).is_err(), "{key}");
    }
}

#[test]
fn every_party_is_told_what_it_learns() {
    let leaks = parse(ECG, &[]).unwrap().leaks();
    for party in ["hospital", "cloud"] {
        assert!(leaks.iter().any(|leak| leak.party == party), "{party}");
    }
    assert!(leaks.iter().any(|leak| leak.learns.contains("label")));
    let open = parse(WDBC, &["model.server_layers=[0,1]"]).unwrap().leaks();
    assert!(open.iter().any(|leak| leak.learns.contains("every input row in the clear")));
}

#[test]
fn several_labels_a_row_need_an_output_each() {
    let two = "model.layers=[{type='dense',outputs=4},{type='dense',outputs=4},{type='dense',outputs=2}]";
    let settings = ["data.multi_label=true", two, "model.server_layers=[1]"];
    let job = parse(WDBC, &settings).unwrap();
    assert!(job.expectation().multi_label);
    assert_ne!(
        job.digest(),
        parse(&WDBC.replace("\"bce\"", "\"cross-entropy\""), &settings[1..])
            .unwrap()
            .digest()
    );
    assert!(problem(WDBC, &settings[..1]).contains("the last layer gives [1], the loss and data.classes need [2]"));
    let wrong = [settings[0], two, settings[2], "training.loss=cross-entropy"];
    assert!(problem(WDBC, &wrong).contains("multi_label needs loss bce"));
    // One class a row, of two, is one output.
    assert!(problem(WDBC, &settings[1..]).contains("need [1]"));
}

#[test]
fn weights_of_classes_belong_to_loss_and_outputs() {
    for good in ["training.class_weights=balanced", "training.class_weights=[1,2,3,4,5]"] {
        let job = parse(ECG, &[good]).unwrap();
        assert_ne!(job.digest(), parse(ECG, &[]).unwrap().digest());
        assert_eq!(Job::parse(&job.to_toml(), "again", &[]).unwrap(), job);
    }
    for (bad, expected) in [
        ("training.class_weights=2", "one for each class"),
        ("training.class_weights=[1,2]", "expected 5"),
        ("training.class_weights=[1,2,3,4,-5]", "positive numbers"),
        ("training.class_weights=rare", "balanced"),
    ] {
        let error = problem(ECG, &[bad]);
        assert!(error.contains(expected), "{bad}: {error}");
    }
    // Found from the labels of the training rows.
    let job = parse(ECG, &["training.class_weights=balanced"]).unwrap();
    let labels = cloven_nn::BatchTargets::Classes(vec![0, 0, 0, 1, 2, 3, 3, 4]);
    let weights = job.class_weights(&labels).unwrap();
    let eighth = 8.0 / 5.0;
    let expected = vec![eighth / 3.0, eighth, eighth, eighth / 2.0, eighth];
    assert_eq!(weights, Some(cloven_nn::ClassWeights::Each(expected)));
}
