use crate::{
    Job,
    demo::comparable_job,
    init::{InitOptions, MODEL_TEMPLATES, TEMPLATES, VERTICAL_TEMPLATES, init, template},
    job::Protocol,
};

#[test]
fn every_template_is_a_job_for_every_protocol() {
    for (name, _) in TEMPLATES {
        for protocol in Protocol::ALL {
            let special = match protocol {
                Protocol::EncryptedModel => &MODEL_TEMPLATES[..],
                Protocol::Vertical => &VERTICAL_TEMPLATES[..],
                _ => &TEMPLATES[..],
            };
            if special.iter().all(|(known, _)| *known != name) {
                continue;
            }
            let job = comparable_job(name, protocol, &[]).unwrap_or_else(|error| panic!("{name}, {}: {error}", protocol.name()));
            assert_eq!((job.data.name.as_str(), job.protocol), (name, protocol));
        }
    }
    let error = template("iris", None).unwrap_err().to_string();
    assert!(error.contains("digits, mitbih, mnist, ptbxl, mitdb, own"), "{error}");
}

#[test]
fn every_protocol_has_a_job_that_is_valid() {
    for protocol in Protocol::ALL {
        let known: &[&str] = match protocol {
            Protocol::Vertical => &["wdbc", "credit", "own"],
            Protocol::Enclave => &["wdbc", "digits", "mnist", "mitbih", "cifar10", "own"],
            _ => &["wdbc", "digits", "mnist", "own"],
        };
        for data in known {
            let text = template(data, Some(protocol)).unwrap();
            let job = Job::parse(&text, data, &[]).unwrap();
            assert_eq!(job.protocol, protocol, "{data}");
            assert_eq!(job.data.name, *data);
        }
    }
    let error = template("mitbih", Some(Protocol::EncryptedModel)).unwrap_err().to_string();
    assert!(error.contains("digits") && error.contains("mitbih"), "{error}");
}

#[test]
fn a_new_key_leaves_the_operators_settings() {
    let folder = tempfile::tempdir().unwrap();
    let options = InitOptions {
        folder: folder.path().to_owned(),
        data: "wdbc".to_owned(),
        protocol: None,
        only: Some("cloud".parse().unwrap()),
        clients: vec!["hospital".parse().unwrap()],
        server: "cloud".parse().unwrap(),
    };
    init(&options).unwrap();
    let own = folder.path().join("cloud");
    std::fs::write(own.join("local.toml"), "listen = \"0.0.0.0:7443\"\n").unwrap();
    // With a key there, nothing is done.
    assert!(init(&options).is_err());
    std::fs::remove_file(own.join("key.pem")).unwrap();
    std::fs::remove_file(own.join("certificate.pem")).unwrap();
    let made = init(&options).unwrap();
    assert!(made.iter().all(|path| !path.ends_with("local.toml")) && own.join("key.pem").exists());
    assert_eq!(
        std::fs::read_to_string(own.join("local.toml")).unwrap(),
        "listen = \"0.0.0.0:7443\"\n"
    );
}
