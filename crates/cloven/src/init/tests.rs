use crate::{
    Job,
    demo::comparable_job,
    init::{InitOptions, MODEL_TEMPLATES, Purpose, SERVICE_TEMPLATES, TEMPLATES, VERTICAL_TEMPLATES, init, template},
    job::Protocol,
    service::{ServiceJob, ServiceRole},
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
fn every_kind_of_data_of_a_service_has_a_job_that_is_valid() {
    let root = tempfile::tempdir().unwrap();
    for (data, _) in SERVICE_TEMPLATES {
        let options = InitOptions {
            folder: root.path().join(data),
            data: data.to_owned(),
            purpose: Some(Purpose::named("secure-inference").unwrap()),
            only: None,
            clients: ["clinic", "hospital"].map(|name| name.parse().unwrap()).into(),
            server: "cloud".parse().unwrap(),
        };
        let made = init(&options).unwrap();
        let job = ServiceJob::read(&options.folder.join("job.toml"), &[]).unwrap();
        assert_eq!(job.data.name, data);
        let users: Vec<_> = job.of_role(ServiceRole::User).map(|user| user.as_str()).collect();
        assert_eq!(users, ["clinic", "hospital"]);
        let settings = made.iter().filter(|path| path.ends_with("local.toml")).count();
        assert_eq!(settings, 5);
    }
    let renamed = InitOptions {
        folder: root.path().join("renamed"),
        data: "digits".to_owned(),
        purpose: Some(Purpose::Service),
        only: None,
        clients: vec!["hospital".parse().unwrap()],
        server: "north".parse().unwrap(),
    };
    let error = init(&renamed).unwrap_err().to_string();
    assert!(error.contains("--server") && !renamed.folder.exists(), "{error}");
    let error = Purpose::named("magic").unwrap_err().to_string();
    assert!(
        error.contains("enclave, secure-inference") && error.contains("magic"),
        "{error}"
    );
}

#[test]
fn a_new_key_leaves_the_operators_settings() {
    let folder = tempfile::tempdir().unwrap();
    let options = InitOptions {
        folder: folder.path().to_owned(),
        data: "wdbc".to_owned(),
        purpose: None,
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
