//! Transfers per second of one core: what each party does for a chunk of 2^18, setup left out. The bytes for each transfer are in the name.
//!
//! `cargo bench -p cloven-mpc --bench transfer`

use cloven_mpc::transfer::{Delta, Receiver, ReceiverSetup, Sender, SenderSetup, Width};
use cloven_mpc::{Bits, MpcError, PartySecret, Session};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::time::Duration;

const COUNT: usize = 1 << 18;

fn pair(width: Width) -> Result<(Sender, Receiver), MpcError> {
    let [one, two] = [1, 2].map(|byte| Session::new(&PartySecret::new([byte; 32]), b"bench"));
    let (receiver, message) = ReceiverSetup::new(&two, width);
    let (sender, message) = SenderSetup::new(&one, width, Delta::random(&one), &message)?;
    let (receiver, message) = receiver.finish(&message)?;
    Ok((sender.finish(&message)?, receiver))
}

fn transfers(c: &mut Criterion) {
    let choices = Bits::random(COUNT, &mut ChaCha20Rng::seed_from_u64(1));
    for bits in [1, 2, 4, 8] {
        let width = Width::new(bits).expect("a width");
        let (mut sender, mut receiver) = pair(width).expect("an honest pair");
        let (_, message) = receiver.extend(&choices).expect("a chunk");
        let mut group = c.benchmark_group(format!("transfer/width {bits}, {} B", message.len() / COUNT));
        group
            .throughput(Throughput::Elements(COUNT as u64))
            .sample_size(20)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(2));
        group.bench_function("correlated receiver", |b| {
            b.iter(|| receiver.extend(&choices).expect("a chunk"))
        });
        group.bench_function("correlated sender", |b| {
            b.iter(|| sender.extend(COUNT, &message).expect("a chunk"))
        });
        group.bench_function("random receiver", |b| b.iter(|| receiver.random(&choices).expect("a chunk")));
        group.bench_function("random sender", |b| {
            b.iter(|| sender.random(COUNT, &message).expect("a chunk"))
        });
        group.finish();
    }
}

criterion_group!(benches, transfers);
criterion_main!(benches);
