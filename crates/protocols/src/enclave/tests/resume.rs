//! Customer and enclave are killed at any message and go on; workers come and go meanwhile.

use super::*;
use crate::{
    Keep,
    testing::crash::{Disk, Disks, every_crash_is_survived, every_party_finishes_alone},
};

const CLIENTS: [&str; 1] = ["alpha"];

fn setting() -> Setting {
    let setting = Setting::new(Blinding::Masked, 4);
    Setting {
        terms: Terms {
            customer: party(CLIENTS[0]),
            enclave: party("cloud"),
            ..setting.terms
        },
        identity: Identity::generate(party("cloud")).unwrap().0,
        ..setting
    }
}

/// One attempt. In every other one the first worker is not there.
async fn attempt(
    setting: &Setting,
    mut at_customer: Vec<MemoryLink>,
    mut at_enclave: Vec<MemoryLink>,
    disks: &Disks,
    attempt: u8,
) -> Result<Vec<(String, ArrayD<f32>)>, ProtocolError> {
    let (policy, attester) = (policy(), attester());
    let mut workers = Vec::new();
    for worker in setting.terms.workers.iter().skip(usize::from(attempt % 2)) {
        let (at_worker, link, _) = setting.wire(worker);
        at_enclave.push(link);
        workers.push(at_worker);
    }
    let disk: &Disk = &disks.clients[0];
    let customer = async {
        let mut link = at_customer.remove(0);
        let task = Task {
            keep: Some(disk),
            alone: disk.alone.get(),
            ..setting.task()
        };
        customer(setting.bring(&policy), task, &mut link, &mut ignore()).await
    };
    let keeps = [&disks.server[0] as &dyn Keep];
    let service = Service {
        schedule: schedule(),
        keeps: &keeps,
        alone: disks.server[0].alone.get(),
    };
    let enclave = async {
        let mut links = at_enclave;
        setting.enclave(&attester, service, &mut links, &mut ignore()).await
    };
    let works = workers
        .into_iter()
        .map(async |mut link| worker(Worker::new(Limits::default()), &mut link, &mut ignore()).await);
    let (customer, enclave, _) = tokio::join!(customer, enclave, join_all(works));
    enclave?;
    Ok(customer?.parameters())
}

#[tokio::test]
async fn whoever_is_killed_goes_on() {
    let setting = setting();
    every_crash_is_survived(&CLIENTS, 24, async |a, b, disks: &_, number| {
        attempt(&setting, a, b, disks, number).await
    })
    .await;
}

#[tokio::test]
async fn a_complete_training_is_finished_alone() {
    let setting = setting();
    every_party_finishes_alone(&CLIENTS, async |a, b, disks: &_, number| {
        attempt(&setting, a, b, disks, number).await
    })
    .await;
}
