use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::*;
use crate::{Job, Metrics, MetricsAddress};

fn metrics(limits: Limits) -> Metrics {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/02_wdbc.toml");
    let job = Job::read(example.as_ref(), &[]).unwrap();
    Metrics::serve_within(MetricsAddress::ANY, &job, &"hospital".parse().unwrap(), limits).unwrap()
}

/// Sends bytes and reads the answer to its end.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that refuses may close before it has read everything.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr) -> String {
    ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn the_page_and_what_is_refused() {
    let metrics = metrics(Limits::default());
    let address = metrics.address;
    let page = get(address);
    assert_eq!(status(&page), "200");
    let head = page.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(head.contains("connection: close"), "{head}");
    assert!(page.contains("cloven_run_state{party=\"hospital\",protocol=\"plain\",state=\"connecting\"} 1"));
    for (request, expected) in [
        (
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "405",
        ),
        ("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "405"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
        ("GET /metrics/../secret HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "404"),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "403"),
        ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), "403"),
        (
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n".to_owned(),
            "403",
        ),
        (
            "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "403",
        ),
        ("not http\r\n\r\n".to_owned(), "400"),
        (
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(9000)),
            "431",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(7000)),
            "404",
        ),
        (
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "a: b\r\n".repeat(100)),
            "431",
        ),
    ] {
        let answer = ask(address, &request);
        assert_eq!(status(&answer), expected, "{request}: {answer}");
        assert!(expected == "200" || !answer.contains("cloven_run_state"), "{request}");
    }
    assert_eq!(status(&get(address)), "200");
}

#[test]
fn names_of_this_machine() {
    for host in [
        "localhost",
        "LOCALHOST:9100",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.1.2.3",
        "[::1]",
        "[::1]:9100",
    ] {
        assert!(is_local(host), "{host}");
    }
    for host in [
        "",
        "evil.example",
        "evil.example:9100",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1:9100",
        "localhost:x",
        "[::1",
        "[fe80::1]:1",
        "0.0.0.0",
    ] {
        assert!(!is_local(host), "{host}");
    }
}

/// Readers that never finish their requests take every place; when their time is over, others are served.
#[test]
fn slow_readers_are_cut_off() {
    let metrics = metrics(Limits {
        connections: 3,
        time: Duration::from_millis(300),
    });
    let slow: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = TcpStream::connect(metrics.address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").unwrap();
            stream
        })
        .collect();
    assert_eq!(status(&get(metrics.address)), "200");
    for mut stream in slow {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert_ne!(status(&String::from_utf8(answer).unwrap()), "200");
    }
}

#[test]
fn an_address_that_is_taken_and_one_that_is_free_again() {
    let first = metrics(Limits::default());
    let taken = first.address.to_string();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/02_wdbc.toml");
    let job = Job::read(example.as_ref(), &[]).unwrap();
    let party = "hospital".parse().unwrap();
    let again = || Metrics::serve(taken.parse().unwrap(), &job, &party);
    let error = again().err().unwrap();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains(&taken), "{error}");
    drop(first);
    assert_eq!(status(&get(again().unwrap().address)), "200");
}
