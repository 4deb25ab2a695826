use super::*;
use crate::{init::template, job::parse_settings};

fn parse(settings: &[&str]) -> Result<Job, Error> {
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    let text = template("digits", Some(Protocol::Enclave))?;
    Job::parse(&text, "job.toml", &parse_settings(&settings)?)
}

#[test]
fn the_terms_say_what_the_job_says() {
    let terms = parse(&[]).unwrap().enclave_terms().unwrap();
    assert_eq!(
        (terms.customer.as_str(), terms.enclave.as_str(), terms.simulated),
        ("hospital", "cloud", true)
    );
    let workers: Vec<&str> = terms.workers.iter().map(|worker| worker.as_str()).collect();
    assert_eq!(workers, ["gpu1", "gpu2", "gpu3"]);
    assert_eq!(terms.blinding, enclave::Blinding::Masked);
    let settings = [
        "enclave.blinding=permute",
        "enclave.rekey_every=5",
        "enclave.attestation=sev-snp",
    ];
    let terms = parse(&settings).unwrap().enclave_terms().unwrap();
    assert_eq!(terms.blinding, enclave::Blinding::Permute { rekey_every: 5 });
    assert!(!terms.simulated);
    let public = parse(&["enclave.initial_weights=public"]).unwrap().leaks();
    assert!(
        public
            .iter()
            .any(|leak| leak.party == "gpu1, gpu2, gpu3" && leak.learns.contains("seed"))
    );
}

#[test]
fn what_makes_no_sense_is_refused_with_its_key() {
    for (settings, key, words) in [
        (&["parties.gpu3=client"][..], "parties", "one client"),
        (&["parties.gpu3=dealer"], "parties", "one client"),
        (&["parties.cloud=worker"], "parties", "one server"),
        (&["enclave.rekey_every=3"], "enclave.rekey_every", "permute"),
        (
            &["enclave.blinding=permute", "enclave.rekey_every=0"],
            "enclave.rekey_every",
            "at least 1",
        ),
        (&["model.server_layers=[4]"], "model.server_layers", "all layers"),
        (
            &["training.class_weights=balanced"],
            "training.class_weights",
            "does not weigh",
        ),
        (&["protocol=plain"], "enclave", "no such setting"),
    ] {
        let error = parse(settings).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(words), "{settings:?}: {error}");
    }
    let text = template("digits", Some(Protocol::Enclave)).unwrap();
    let two = text.replace("gpu3 = \"worker\"\n", "");
    let error = Job::parse(&two, "job.toml", &[]).unwrap_err().to_string();
    assert!(error.contains("needs 3 workers (role worker), the job has 2"), "{error}");
    let silent = text.split("[enclave]").next().unwrap();
    let error = Job::parse(silent, "job.toml", &[]).unwrap_err().to_string();
    assert!(error.contains("say at least attestation"), "{error}");
    let plain = template("digits", None)
        .unwrap()
        .replace("[parties]", "[parties]\ngpu1 = \"worker\"");
    let error = Job::parse(&plain, "job.toml", &[]).unwrap_err().to_string();
    assert!(error.contains("no workers"), "{error}");
}

#[test]
fn batches_whose_sums_have_no_room_are_refused() {
    let text = template("cifar10", Some(Protocol::Enclave)).unwrap();
    let parse = |batch: &str, blinding: &str| {
        let settings = [format!("training.batch={batch}"), format!("enclave.blinding={blinding}")];
        Job::parse(&text, "job.toml", &parse_settings(&settings).unwrap())
    };
    let error = parse("256", "masked").unwrap_err().to_string();
    assert!(
        error.contains("training.batch") && error.contains("at most 134 samples"),
        "{error}"
    );
    parse("134", "masked").unwrap();
    parse("256", "permute").unwrap();
}

#[test]
fn without_protection_the_server_has_all_layers() {
    let job = parse(&[]).unwrap().unprotected();
    assert_eq!((job.protocol, job.parties.len()), (Protocol::Plain, 2));
    assert_eq!(job.server_layers().unwrap(), 0..7);
    job.validate("plain").unwrap();
}
