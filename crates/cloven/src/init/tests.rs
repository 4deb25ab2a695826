use crate::{
    demo::comparable_job,
    init::{TEMPLATES, template},
    job::Protocol,
};

#[test]
fn every_template_is_a_job_for_every_protocol() {
    for (name, _) in TEMPLATES {
        for protocol in Protocol::ALL {
            let job = comparable_job(name, protocol, &[]).unwrap_or_else(|error| panic!("{name}, {}: {error}", protocol.name()));
            assert_eq!((job.data.name.as_str(), job.protocol), (name, protocol));
        }
    }
    let error = template("iris").unwrap_err().to_string();
    assert!(error.contains("digits, mitbih, mnist, ptbxl, mitdb, own"), "{error}");
}
