//! Reading a page of metrics.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

/// Sends bytes; the whole answer, empty where nobody answers.
pub fn ask(address: &str, request: &[u8]) -> String {
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(request);
        let _ = stream.read_to_end(&mut answer);
    }
    String::from_utf8(answer).unwrap()
}

pub fn get(address: &str) -> String {
    ask(
        address,
        format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
    )
}

/// The sum of a metric's samples with a text among their labels.
pub fn sample(page: &str, name: &str, label: &str) -> Option<f64> {
    let samples = page
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .reduce(|a, b| a + b)
}

/// The page, as soon as it is as wanted.
pub fn page_where(address: &str, wanted: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let page = get(address);
        if wanted(&page) {
            return page;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{page}");
        sleep(Duration::from_millis(5));
    }
}
