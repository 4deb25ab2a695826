//! Secure inference through the command line: all parties together, and each on its own with one of them killed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{fs, path::Path, process::Child};

use common::{
    example, fail, free_address, json,
    pages::{page_where, sample},
    service::{SERVERS, Service, kill},
    stderr, succeed, text,
};

const QUICK: [&str; 4] = ["--set", "trial.training.epochs=3", "--set", "trial.queries=4"];

#[test]
fn a_trial_answers_as_the_fixed_point_network_does() {
    let root = tempfile::tempdir().unwrap();
    let job = example("05_secure_inference.toml");
    let settings = [
        ["service.engine=\"garbled\"", "service.output=\"arg-max\""],
        ["parties.clinic=\"user\"", "service.output=\"scores\""],
    ];
    for (number, settings) in settings.iter().enumerate() {
        let folder = text(&root.path().join(number.to_string()));
        let mut args = vec!["run", &job, "--json", "--run-folder", &folder];
        args.extend(QUICK);
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let summary = json(&succeed(&args));
        assert_eq!(summary["equal_to_fixed_point"], true, "{summary}");
        assert_eq!(summary["rows"], if number == 0 { 4 } else { 8 }, "{summary}");
        assert!(summary["accuracy_floating_point"].as_f64().unwrap() > 0.85, "{summary}");
        assert!(summary["bytes_user"].as_u64().unwrap() < 2_000, "{summary}");
        let layers = summary["layers"].as_array().unwrap();
        for (part, total) in [("preparing", "bytes_preparing"), ("answering", "bytes_answering")] {
            let parts: u64 = layers.iter().map(|layer| layer[part].as_u64().unwrap()).sum();
            // Each part of each server is rounded down.
            let total = summary[total].as_u64().unwrap();
            assert!(
                parts <= total && total <= parts + 3 * layers.len() as u64,
                "{part}: {summary}"
            );
        }
        let named = |name: &str| {
            layers
                .iter()
                .any(|layer| layer["layer"] == name && layer["preparing"].as_u64() > Some(0))
        };
        assert!(named("0") && named("4") && named("input and output"), "{summary}");
        let kept = json(&fs::read_to_string(Path::new(&folder).join("summary.json")).unwrap());
        assert_eq!(kept["job"], summary["job"]);
    }
}

#[test]
fn a_partys_own_settings_beside_the_job_hold_in_a_trial() {
    let root = tempfile::tempdir().unwrap();
    let job = text(&root.path().join("job.toml"));
    fs::copy(example("05_secure_inference.toml"), &job).unwrap();
    let own = root.path().join("hospital");
    fs::create_dir(&own).unwrap();
    // Half of the round-trip time on the way to the gateway.
    fs::write(own.join("local.toml"), "emulate = \"1Gbps,rtt=600ms\"\n").unwrap();
    let runs = text(&root.path().join("runs"));
    let mut args = vec!["run", &job, "--json", "--runs", &runs];
    args.extend(QUICK);
    let summary = json(&succeed(&args));
    assert_eq!(summary["equal_to_fixed_point"], true, "{summary}");
    assert!(summary["seconds_user"].as_f64().unwrap() >= 0.3, "{summary}");
}

#[test]
fn a_gateway_may_have_the_first_layers_or_all_in_the_clear() {
    let root = tempfile::tempdir().unwrap();
    let shared = example("05_secure_inference.toml");
    let alone = text(&root.path().join("alone.toml"));
    let job = fs::read_to_string(&shared).unwrap();
    let job = job.replace("east = \"server\"", "").replace("west = \"server\"", "");
    fs::write(&alone, job).unwrap();
    let mut users = Vec::new();
    for (number, (job, setting)) in [
        (&shared, "service.gateway_layers=1"),
        (&shared, "service.gateway_layers=3"),
        (&alone, "service.output=\"scores\""),
        (&alone, "service.output=\"arg-max\""),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = text(&root.path().join(number.to_string()));
        let mut args = vec!["run", job, "--json", "--run-folder", &folder, "--set", setting];
        args.extend(QUICK);
        let summary = json(&succeed(&args));
        assert_eq!(summary["equal_to_fixed_point"], true, "{summary}");
        assert_eq!(summary["rows"], 4, "{summary}");
        assert!(Path::new(&folder).join("shares/gate.layers").exists());
        assert_eq!(Path::new(&folder).join("shares/gate.share").exists(), number < 2);
        users.push(summary["bytes_user"].as_u64().unwrap());
    }
    // A convolution alone needs no garbled circuits.
    assert!(users[0] * 5 < users[2], "{users:?}");
    let refused = fail(3, &["run", &alone, "--set", "service.gateway_layers=2"]);
    assert!(refused.contains("the gateway has all layers"), "{refused}");
}

#[test]
fn verbs_that_do_not_fit_a_service_say_so() {
    let job = example("05_secure_inference.toml");
    assert!(fail(3, &["run", &job, "--compare-plain"]).contains("this one serves"));
    assert!(fail(3, &["predict", &job, "--input", "rows.csv"]).contains("which user asks"));
    assert!(fail(3, &["serve", &job, "--as", "nobody", "--accept", "0123456789abcdef"]).contains("no party is called nobody"));
}

#[test]
fn a_service_goes_on_when_a_killed_server_is_back() {
    let service = Service::new(0, 60);
    let arguments = ["--stop-after", "60", "--pool", "1"];
    for victim in ["east", "gate"] {
        let mut servers: Vec<(&str, Child)> = SERVERS.map(|party| (party, service.serve(party, &arguments))).into();
        let user = service.ask("hospital");
        service.wait_for("gate", "inferences answered");
        let (_, killed) = servers.iter_mut().find(|(party, _)| *party == victim).unwrap();
        killed.kill().unwrap();
        killed.wait().unwrap();
        *killed = service.serve(victim, &arguments);
        let output = user.wait_with_output().unwrap();
        assert!(output.status.success(), "{victim} killed: {}", stderr(&output));
        let answers = json(&common::stdout(&output));
        assert_eq!(answers["report"]["rows"], 60, "{answers}");
        assert!(answers["report"]["accuracy"].as_f64().unwrap() > 0.7, "{answers}");
        kill(&mut servers);
    }
}

#[test]
fn metrics_tell_of_the_pool_the_users_and_what_work_costs() {
    let service = Service::new(0, 4);
    let [gate, east] = [free_address(), free_address()];
    let local = service.folder("east").join("local.toml");
    let settings = fs::read_to_string(&local).unwrap();
    fs::write(&local, format!("metrics = \"{east}\"\n{settings}")).unwrap();
    let mut servers: Vec<(&str, Child)> = SERVERS
        .map(|party| {
            let arguments: &[&str] = match party {
                "gate" => &["--pool", "3", "--metrics", &gate],
                _ => &[],
            };
            (party, service.serve(party, arguments))
        })
        .into();
    let is = |page: &str, name: &str, value: f64| sample(page, name, "") == Some(value);
    let full = |page: &str| is(page, "cloven_pool_inferences", 3.0);
    let page = page_where(&gate, full);
    for (name, value) in [
        ("cloven_pool_bound", 3.0),
        ("cloven_inferences_prepared_total", 3.0),
        ("cloven_inferences_answered_total", 0.0),
        ("cloven_meetings_total", 1.0),
        ("cloven_users_connected", 0.0),
    ] {
        assert!(is(&page, name, value), "{name} is not {value}: {page}");
    }
    service.wait_for("gate", "pool: 3 of 3 inferences prepared");
    let output = service.ask("hospital").wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let page = page_where(&gate, |page| {
        full(page) && is(page, "cloven_inferences_answered_total", 4.0) && is(page, "cloven_users_connected", 0.0)
    });
    assert!(is(&page, "cloven_inferences_prepared_total", 7.0), "{page}");
    assert!(is(&page, "cloven_requests_waiting", 0.0), "{page}");
    for (name, label) in [
        ("cloven_sent_bytes_total", "phase=\"preparing\""),
        ("cloven_received_bytes_total", "phase=\"answering\""),
        ("cloven_phase_seconds_total", "phase=\"preparing\""),
        ("cloven_phase_seconds_total", "phase=\"answering\""),
        ("cloven_user_received_bytes_total", ""),
        ("cloven_run_state", "state=\"serving\""),
        ("cloven_peer_connected", "peer=\"west\""),
    ] {
        assert!(sample(&page, name, label) > Some(0.0), "{name} {label}: {page}");
    }
    let page = page_where(&east, |page| is(page, "cloven_inferences_answered_total", 4.0));
    assert_eq!(
        sample(&page, "cloven_users_connected", ""),
        None,
        "the gateway alone knows: {page}"
    );
    kill(&mut servers);
}
