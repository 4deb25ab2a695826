use super::*;
use crate::parse_settings;

const EXAMPLE: &str = include_str!("../../../../examples/05_secure_inference.toml");

fn with(settings: &[&str]) -> Result<ServiceJob, crate::Error> {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    ServiceJob::parse(EXAMPLE, "example", &parse_settings(&settings).unwrap())
}

#[test]
fn a_job_says_what_is_wrong_with_it() {
    for (setting, expected) in [
        (
            "parties.west=\"user\"",
            "2 to 15 servers besides it (or none: then the gateway has the whole network), got 2, 1 and 1",
        ),
        ("parties.gate=\"server\"", "one gateway"),
        ("service.ring_bits=64", "expected 24 to 48, got 64"),
        ("service.fraction_bits=14", "expected 4 to 12 for 32 ring_bits, got 14"),
        ("service.engine=\"gmw\"", "expected one of"),
        ("data.multi_label=true", "one class or value a row"),
        ("vertical={}", "unknown field"),
        ("trial.model.layers=[]", "model"),
    ] {
        let error = with(&[setting]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{setting}: {error:?}");
    }
}

#[test]
fn the_digest_is_of_the_meaning_and_leaks_tell_of_the_trial() {
    let job = with(&[]).unwrap();
    assert_eq!(job.digest(), with(&["service.engine=\"boolean\""]).unwrap().digest());
    assert_ne!(job.digest(), with(&["service.engine=\"garbled\""]).unwrap().digest());
    assert_eq!(ServiceJob::parse(&job.to_toml(), "again", &[]).unwrap(), job);
    let leaks = job.leaks().unwrap();
    let of = |party: &'static str| leaks.iter().filter(move |leak| leak.party.contains(party));
    assert!(of("hospital").any(|leak| leak.learns.contains("[trial]")));
    assert!(of("east").any(|leak| leak.learns.contains("no input, no output, no weight")));
}

#[test]
fn layers_of_the_gateway_change_who_learns_what_and_must_be_some_of_the_network() {
    let job = with(&["service.gateway_layers=2"]).unwrap();
    assert_ne!(job.digest(), with(&[]).unwrap().digest());
    let leaks = job.leaks().unwrap();
    let says = |party: &str, words: &str| leaks.iter().any(|leak| leak.party == party && leak.learns.contains(words));
    assert!(says("hospital", "the shapes of the first 2 layers"));
    assert!(says("gate", "the weights of the first layers and no other"));
    assert!(says("east", "the shapes of all other layers; no input, no output, no weight"));
    let folder = tempfile::tempdir().unwrap();
    for (layers, expected) in [(7, "first layers"), (70, "first layers")] {
        let job = with(&["trial.training.epochs=1", &format!("service.gateway_layers={layers}")]).unwrap();
        let owned = owner::train(&job).unwrap();
        let error = owner::write_shares(owned.model, &job, folder.path())
            .err()
            .map(|error| error.to_string());
        assert!(error.as_deref().unwrap_or_default().contains(expected), "{layers}: {error:?}");
    }
}

#[test]
fn a_trial_network_keeps_its_accuracy_in_fixed_point() {
    let job = with(&["trial.training.epochs=4"]).unwrap();
    let owned = owner::train(&job).unwrap();
    let report = owned.report.unwrap();
    assert!(report.fixed_accuracy > 0.9, "{report:?}");
    assert!((report.fixed_accuracy - report.float_accuracy).abs() < 0.01, "{report:?}");
}
