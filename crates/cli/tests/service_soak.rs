//! A service under many users for a while: no error, and memory that does not grow. For longer than in every test run:
//!
//!     CLOVEN_SOAK_SECONDS=600 cargo test --release -p cloven-cli --test service_soak -- --nocapture
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{
    fs,
    process::Child,
    sync::Mutex,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use common::{
    json,
    service::{SERVERS, Service, kill},
    stderr, stdout,
};

/// Without `CLOVEN_SOAK_SECONDS`.
const SECONDS: u64 = 5;
/// Pictures that a user asks about before it comes again.
const QUERIES: usize = 10;
/// What a server may need more at the end than at the beginning.
const GROWTH: u64 = 100_000_000;

/// Resident memory of a process; none where the system does not tell.
fn memory(process: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// A user that comes again and again until the time is over: inputs answered, and what went wrong.
fn user(service: &Service, name: &str, until: Instant, answered: &Mutex<u64>, errors: &Mutex<Vec<String>>) {
    loop {
        let output = service.ask(name).wait_with_output().unwrap();
        match output.status.success() {
            true => *answered.lock().unwrap() += json(&stdout(&output))["report"]["rows"].as_u64().unwrap(),
            false => errors.lock().unwrap().push(format!("{name}: {}", stderr(&output))),
        }
        if Instant::now() >= until {
            return;
        }
    }
}

#[test]
fn many_users_for_a_while() {
    let seconds: Option<u64> = std::env::var("CLOVEN_SOAK_SECONDS").ok().map(|text| text.parse().unwrap());
    let further = if seconds.is_some() { 7 } else { 2 };
    let seconds = seconds.unwrap_or(SECONDS);
    let service = Service::new(further, QUERIES);
    let mut servers: Vec<(&str, Child)> = SERVERS.map(|party| (party, service.serve(party, &["--pool", "4"]))).into();
    service.wait_for("gate", "pool: 4 of 4 inferences prepared");
    let (answered, errors) = (Mutex::new(0), Mutex::new(Vec::new()));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let mut seen: Vec<Vec<Option<u64>>> = Vec::new();
    scope(|scope| {
        let users = service.users().iter();
        let (service, answered, errors) = (&service, &answered, &errors);
        let users: Vec<_> = users
            .map(|name| scope.spawn(move || user(service, name, until, answered, errors)))
            .collect();
        println!("seconds  answered  errors  resident MB of {}", SERVERS.join(", "));
        while !users.iter().all(|user| user.is_finished()) {
            let now: Vec<_> = servers.iter().map(|(_, server)| memory(server)).collect();
            let megabytes: Vec<String> = now
                .iter()
                .map(|bytes| bytes.map_or("?".into(), |bytes| format!("{:.1}", bytes as f64 / 1e6)))
                .collect();
            let (answered, errors) = (answered.lock().unwrap(), errors.lock().unwrap().len());
            println!(
                "{:>7.0}  {answered:>8}  {errors:>6}  {}",
                begun.elapsed().as_secs_f64(),
                megabytes.join("  ")
            );
            drop(answered);
            seen.push(now);
            sleep(Duration::from_millis((seconds * 50).clamp(250, 10_000)));
        }
    });
    let (answered, errors) = (answered.into_inner().unwrap(), errors.into_inner().unwrap());
    println!("{answered} inputs answered, {} errors", errors.len());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(answered >= (QUERIES * service.users().len()) as u64, "{answered}");
    for (place, (name, server)) in servers.iter_mut().enumerate() {
        assert!(server.try_wait().unwrap().is_none(), "{name} has ended");
        let (first, last) = (seen.first().unwrap()[place], seen.last().unwrap()[place]);
        if let (Some(first), Some(last)) = (first, last) {
            assert!(last < first + GROWTH, "{name}: {first} bytes at first, {last} at last");
        }
    }
    kill(&mut servers);
}
