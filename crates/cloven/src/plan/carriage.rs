//! Measures what mutual TLS costs on this machine: two threads, a socket on loopback between them.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cloven_wire::{
    Channel, Header, Party,
    tcp::{Emulation, Endpoint, Identity, Reach, Roster, TcpChannel},
};

use super::link::{Carriage, Line, Size};
use crate::Error;

/// Lengths of the frames, and how many of each.
const SIZES: [(u64, usize); 7] = [
    (64, 400),
    (1 << 10, 400),
    (1 << 12, 400),
    (1 << 14, 200),
    (1 << 16, 100),
    (1 << 18, 50),
    (1 << 20, 20),
];
/// A line whose own part is known, for what its two ends add.
const PROBE_LINE: &str = "1Gbps,rtt=2ms";
/// For connecting and for every message.
const LIMIT: Duration = Duration::from_secs(30);
/// A receiver that waited so long sleeps; a frame that was sent so long ago is there.
const LONG: Duration = Duration::from_millis(1);

/// How a frame finds its receiver.
#[derive(Clone, Copy)]
enum Receiver {
    Awake,
    Asleep,
    Late,
}

impl Carriage {
    /// Takes about a second.
    pub(super) fn measure() -> Result<Self, Error> {
        let sizes = SIZES.map(|(bytes, times)| (bytes, times, Receiver::Awake));
        let awake = exchange(&sizes, None)?;
        let late = exchange(&SIZES.map(|(bytes, times)| (bytes, times / 10 + 5, Receiver::Late)), None)?;
        let short = [(SIZES[0].0, 60, Receiver::Asleep)];
        let asleep = exchange(&short, None)?;
        let line: Emulation = PROBE_LINE.parse().map_err(|e| Error::configuration("link", e))?;
        let lined = exchange(&short, Some(line))?;
        let Line { bytes_per_second, delay } = Line::of(line);
        let carried = delay + SIZES[0].0 as f64 / bytes_per_second;
        let sizes: Vec<Size> = SIZES
            .iter()
            .zip(awake.iter().zip(&late))
            .map(|((bytes, _), (awake, late))| Size {
                bytes: *bytes,
                send: awake.send,
                over: awake.over,
                take: late.take.min(awake.over),
            })
            .collect();
        Ok(Self {
            wake: (asleep[0].over - awake[0].over).max(0.0),
            line: (lined[0].over - carried - lined[0].send - sizes[0].take).max(0.0),
            sizes,
        })
    }
}

/// Medians of what frames took.
struct Times {
    send: f64,
    over: f64,
    take: f64,
}

/// Sends frames of each length to and fro; returns the times of those that came back.
fn exchange(frames: &[(u64, usize, Receiver)], line: Option<Emulation>) -> Result<Vec<Times>, Error> {
    let failed = |cause: String| Error::configuration("measuring the loopback link", cause);
    let parties = ["client", "server"].map(|name| name.parse::<Party>());
    let [Ok(client), Ok(server)] = parties else {
        return Err(failed("no names".into()));
    };
    let generate = |party: Party| Identity::generate(party).map(|(identity, _)| identity);
    let client = generate(client).map_err(|e| failed(e.to_string()))?;
    let server = generate(server).map_err(|e| failed(e.to_string()))?;
    let pinned = |identity: &Identity| {
        let mut roster = Roster::default();
        roster.pin(identity.party.clone(), identity.certificate.clone());
        roster
    };
    let (at_client, at_server) = (pinned(&server), pinned(&client));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| failed(e.to_string()))?;
    let address = listener.local_addr().map_err(|e| failed(e.to_string()))?.to_string();
    let plan = frames.to_vec();
    let (told, sent) = mpsc::channel();
    let answering = thread::spawn(move || {
        connected(&server, &at_server, Some(listener), Reach::Accept, line, async |channel| {
            answer(channel, &plan, &told).await
        })
    });
    let asking = connected(&client, &at_client, None, Reach::Dial(address), line, async |channel| {
        ask(channel, frames, &sent).await
    });
    let answered = answering.join().unwrap_or_else(|_| Err("the answering end stopped".into()));
    answered.map_err(failed)?;
    asking.map_err(failed)
}

/// Runs one end on a runtime of its own, as a party's process does.
fn connected<T>(
    identity: &Identity,
    roster: &Roster,
    listener: Option<TcpListener>,
    reach: Reach,
    emulation: Option<Emulation>,
    work: impl AsyncFnOnce(&mut TcpChannel) -> Result<T, String>,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let listener = match listener {
            None => None,
            Some(listener) => {
                listener.set_nonblocking(true).map_err(|e| e.to_string())?;
                Some(tokio::net::TcpListener::from_std(listener).map_err(|e| e.to_string())?)
            }
        };
        let endpoint = Endpoint {
            identity,
            roster,
            job: [0; 32],
            listener,
            connect_deadline: LIMIT,
            message_deadline: LIMIT,
            total_deadline: LIMIT,
            emulation,
        };
        let peers: BTreeMap<Party, Reach> = roster.iter().map(|(peer, _)| (peer.clone(), reach.clone())).collect();
        let channels = endpoint.connect(&peers, &|_| ()).await.map_err(|e| e.to_string())?;
        let mut channel = channels.into_values().next().ok_or("no channel")?;
        let result = work(&mut channel).await;
        channel.close().await;
        result
    })
}

/// Asks for each frame and times its coming.
async fn ask(
    channel: &mut TcpChannel,
    frames: &[(u64, usize, Receiver)],
    sent: &mpsc::Receiver<[Instant; 2]>,
) -> Result<Vec<Times>, String> {
    let question = frame(Header::LEN as u64);
    let mut payload = Vec::new();
    let mut all = Vec::new();
    for (_, times, receiver) in frames {
        let (mut send, mut over, mut take) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..*times {
            channel
                .send("question", 0, [&question, &[]])
                .await
                .map_err(|e| e.to_string())?;
            if matches!(receiver, Receiver::Late) {
                busy(LONG * 2);
            }
            let begun = Instant::now();
            let header = channel.receive_header("answer", 0).await.map_err(|e| e.to_string())?;
            channel
                .receive_payload("answer", header, &mut payload)
                .await
                .map_err(|e| e.to_string())?;
            let done = Instant::now();
            let [from, to] = sent.recv().map_err(|e| e.to_string())?;
            send.push((to - from).as_secs_f64());
            over.push((done - from).as_secs_f64());
            take.push((done - begun).as_secs_f64());
        }
        all.push(Times {
            send: median(send),
            over: median(over),
            take: median(take),
        });
    }
    Ok(all)
}

/// Answers each question with a frame, and tells when its sending began and ended.
async fn answer(
    channel: &mut TcpChannel,
    frames: &[(u64, usize, Receiver)],
    told: &mpsc::Sender<[Instant; 2]>,
) -> Result<(), String> {
    let mut payload = Vec::new();
    for (bytes, times, receiver) in frames {
        let frame = frame(*bytes);
        for _ in 0..*times {
            let header = channel.receive_header("question", 0).await.map_err(|e| e.to_string())?;
            channel
                .receive_payload("question", header, &mut payload)
                .await
                .map_err(|e| e.to_string())?;
            if matches!(receiver, Receiver::Asleep) {
                busy(LONG);
            }
            let from = Instant::now();
            channel.send("answer", 0, [&frame, &[]]).await.map_err(|e| e.to_string())?;
            told.send([from, Instant::now()]).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// A frame of so many bytes, header included.
fn frame(bytes: u64) -> Vec<u8> {
    let header = Header {
        len: bytes as u32 - Header::LEN as u32,
        kind: 1,
        round: 0,
    };
    let mut frame = header.to_bytes().to_vec();
    frame.resize(bytes as usize, 7);
    frame
}

/// Works for a while: a thread that sleeps is not one that computes.
fn busy(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
