//! A non-linear layer between a user and a gateway: 2,304 ReLUs of 32 bits with truncation by 12. Each party's work is measured by itself, on one thread,
//! without the network, in processor time where Linux tells it, whose clock may tick every 4 ms: the mean of 100 runs. Bytes are what it sends.
//!
//! `cargo bench -p cloven-mpc --bench two_party`
#![allow(clippy::expect_used)]

use cloven_mpc::nonlinear::{Exchange, Next, Operation, Outcome, Resume, Ring};
use cloven_mpc::two_party::{Layer, gateway, user};
use cloven_mpc::{BitMatrix, MpcError, PartySecret, Session, ideal};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const OUTPUTS: usize = 2304;
const RUNS: usize = 100;

/// What the gateway and the user take.
#[derive(Default, Clone, Copy)]
struct Cost {
    times: [Duration; 2],
    bytes: [usize; 2],
}

/// Processor time of this thread; time since the first call where that is not known.
fn now() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let file = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = file.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| FIRST.elapsed(), Duration::from_nanos)
}

impl Cost {
    fn timed<T>(&mut self, party: usize, task: impl FnOnce() -> T) -> T {
        let begun = now();
        let result = task();
        self.times[party] += now().saturating_sub(begun);
        result
    }

    fn sent<S>(&mut self, party: usize, exchange: &mut Exchange<S>) -> Vec<Vec<u8>> {
        let messages = exchange.outgoing();
        self.bytes[party] += messages.iter().map(Vec::len).sum::<usize>();
        messages
    }

    fn drive<G: Resume, U: Resume>(
        &mut self,
        (mut gateway, mut user): (Next<G>, Next<U>),
    ) -> Result<(G::Output, U::Output), MpcError> {
        loop {
            match (gateway, user) {
                (Next::Exchange(mut ours), Next::Exchange(mut theirs)) => {
                    let (to_user, to_gateway) = (self.sent(0, &mut ours), self.sent(1, &mut theirs));
                    gateway = self.timed(0, || ours.receive(&to_gateway))?;
                    user = self.timed(1, || theirs.receive(&to_user))?;
                }
                (Next::Done(gateway), Next::Done(user)) => return Ok((gateway, user)),
                _ => unreachable!("both parties take as many rounds"),
            }
        }
    }
}

/// The mean of each time.
fn print(what: &str, costs: &[Cost]) {
    let mean = |party: usize| {
        let times = costs.iter().map(|cost| cost.times[party].as_secs_f64());
        times.sum::<f64>() / costs.len() as f64 * 1e3
    };
    let [down, up] = costs[0].bytes;
    println!(
        "{what}: gateway {:.2} ms, user {:.2} ms; the gateway sends {down} bytes, the user {up}",
        mean(0),
        mean(1)
    );
}

fn setup(context: &[u8]) -> Result<((gateway::Preparer, user::Preparer), Cost), MpcError> {
    let mut cost = Cost::default();
    let session = |secret: u8| Session::new(&PartySecret::new([secret; 32]), context);
    let ours = cost.timed(0, || gateway::Setup::start(&session(0)))?;
    let theirs = cost.timed(1, || user::Setup::start(&session(1)))?;
    Ok((cost.drive((ours, theirs))?, cost))
}

fn main() -> Result<(), MpcError> {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    threads.build_global().expect("the first pool");
    let ring = Ring {
        bits: 32,
        truncation: 12,
    };
    let layer = Layer::new(Operation::Relu, ring)?;
    let ((mut gateway, mut user), first) = setup(b"bench")?;
    print("set-up", &[first]);
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let [ours, theirs, masks] = [(); 3].map(|()| BitMatrix::random(32, OUTPUTS, rng).to_values());
    let expected = ideal::nonlinear(
        layer.as_shared(),
        &[ours.clone(), theirs.clone()],
        &[vec![0; OUTPUTS], masks.clone()],
    );
    let (mut preparations, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (mut cost, mut prepared, mut at) = (Cost::default(), (Vec::new(), Vec::new()), 0);
        for outputs in layer.chunks(OUTPUTS)? {
            let chunk = at..at + outputs;
            let steps = (
                cost.timed(0, || gateway.prepare(&layer, outputs))?,
                cost.timed(1, || user.prepare(&layer, &theirs[chunk.clone()], &masks[chunk]))?,
            );
            let (ours, theirs) = cost.drive(steps)?;
            prepared.0.push(ours);
            prepared.1.push(theirs);
            at += outputs;
        }
        preparations.push(cost);
        let mut cost = Cost::default();
        let steps = (
            cost.timed(0, || gateway::Online::start(&layer, prepared.0, &ours))?,
            cost.timed(1, || user::Online::start(&layer, prepared.1))?,
        );
        let (outcome, _) = cost.drive(steps)?;
        assert!(matches!(outcome, Outcome::Opened(words) if words == expected), "the clear");
        runs.push(cost);
    }
    print(&format!("{OUTPUTS} ReLUs, preparation"), &preparations);
    print(&format!("{OUTPUTS} ReLUs, online"), &runs);
    println!("kept until the run: {:?}", layer.cost(OUTPUTS)?);
    Ok(())
}
