//! How close an emulated link comes to what it imitates: `cargo bench -p cloven-wire --bench emulation`.
//!
//! For each link, the time of 20 MB one way and the median time of a short message there and back, over mutual TLS on loopback.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use cloven_wire::{
    DecodeError, Link, Message, Party, Reader,
    tcp::{Emulation, Endpoint, Identity, Reach, Roster, TcpChannel},
};
use tokio::net::TcpListener;

const BULK: usize = 20_000_000;

struct Blob(Vec<u8>);

impl Message for Blob {
    const KIND: u8 = 1;
    const NAME: &'static str = "blob";
    type Expect = usize;

    fn max_len(len: &usize) -> usize {
        *len
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut Reader<'_>, len: &usize) -> Result<Self, DecodeError> {
        reader.bytes(*len).map(|bytes| Self(bytes.to_vec()))
    }
}

fn main() {
    println!(
        "{:<20}{:>14}{:>10}{:>14}{:>10}",
        "link", "20 MB", "of exact", "there, back", "of rtt"
    );
    for text in ["100Mbps,rtt=50ms", "1Gbps,rtt=10ms", "1Gbps,rtt=1ms", "20Mbps,rtt=200ms"] {
        let emulation: Emulation = text.parse().unwrap();
        // A thread each, as parties are processes of their own.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let names = ["hospital", "cloud"].map(|name| name.parse::<Party>().unwrap());
        let [hospital, cloud] = names.clone().map(|name| Identity::generate(name).unwrap().0);
        let roster = |party: &Identity| {
            let mut roster = Roster::default();
            roster.pin(party.party.clone(), party.certificate.clone());
            roster
        };
        let (at_hospital, at_cloud) = (roster(&cloud), roster(&hospital));
        let server = std::thread::spawn(move || run(cloud, at_cloud, Some(listener), Reach::Accept, emulation, echo));
        let (bulk, there_and_back) = run(hospital, at_hospital, None, Reach::Dial(address), emulation, measure);
        server.join().unwrap();
        let exact = BULK as f64 * 8.0 / emulation.bits_per_second() as f64 + emulation.rtt().as_secs_f64();
        println!(
            "{text:<20}{:>12.3} s{:>10.3}{:>11.2} ms{:>10.3}",
            bulk.as_secs_f64(),
            bulk.as_secs_f64() / exact,
            there_and_back.as_secs_f64() * 1e3,
            there_and_back.as_secs_f64() / emulation.rtt().as_secs_f64()
        );
    }
}

fn run<T>(
    identity: Identity,
    roster: Roster,
    listener: Option<std::net::TcpListener>,
    reach: Reach,
    emulation: Emulation,
    script: impl AsyncFnOnce(Link<TcpChannel>) -> T,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = listener.map(|listener| {
            listener.set_nonblocking(true).unwrap();
            TcpListener::from_std(listener).unwrap()
        });
        let limit = Duration::from_secs(60);
        let endpoint = Endpoint {
            identity: &identity,
            roster: &roster,
            job: [0; 32],
            listener,
            connect_deadline: limit,
            message_deadline: limit,
            total_deadline: limit,
            emulation: Some(emulation),
        };
        let peer = roster.iter().next().unwrap().0.clone();
        let channels = endpoint.connect(&BTreeMap::from([(peer, reach)]), &|_| ()).await.unwrap();
        script(Link::new(channels.into_values().next().unwrap())).await
    })
}

const ROUNDS: u64 = 21;

async fn measure(mut link: Link<TcpChannel>) -> (Duration, Duration) {
    let bulk = Blob(vec![7; BULK]);
    let begun = Instant::now();
    link.send(0, &bulk).await.unwrap();
    link.receive::<Blob>(0, &1).await.unwrap();
    let one_way = begun.elapsed();
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let begun = Instant::now();
        link.send(round, &Blob(vec![1])).await.unwrap();
        link.receive::<Blob>(round, &1).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (one_way, times[times.len() / 2])
}

async fn echo(mut link: Link<TcpChannel>) {
    link.receive::<Blob>(0, &BULK).await.unwrap();
    link.send(0, &Blob(vec![1])).await.unwrap();
    for round in 1..=ROUNDS {
        let blob = link.receive::<Blob>(round, &1).await.unwrap();
        link.send(round, &blob).await.unwrap();
    }
    link.into_channel().close().await;
}
