//! Private set intersection of large sets with 60 % in common: all parties in this process, one thread pool. Prints seconds, bytes and peak memory (of all parties together).
//!
//! `cargo bench -p cloven-mpc --bench intersection -- ecdh 1000000`, `-- oprf 1000000` or `-- multiparty 200000 3`; the default is `-- oprf 100000`.

use cloven_mpc::ids::Id;
use cloven_mpc::intersection::{Intersection, ecdh, multiparty, oprf};
use cloven_mpc::oprf::{Output, Receiver, ReceiverSetup, Sender};
use cloven_mpc::{MpcError, PartySecret, Session};
use std::time::Instant;

fn main() -> Result<(), MpcError> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number = |place: usize, default| arguments.get(place).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (name, count) = (arguments.first().map_or("oprf", String::as_str), number(1, 100_000));
    let parties = if name == "multiparty" { number(2, 3) } else { 2 };
    let sets: Vec<Vec<Id>> = (0..parties).map(|party| ids(party, count)).collect();
    let start = Instant::now();
    let (results, bytes) = match name {
        "ecdh" => by_ecdh(&sets)?,
        "multiparty" => among_many(&sets)?,
        _ => by_oprf(&sets)?,
    };
    println!(
        "{name}: {parties} parties with {count} ids each, {} in common: {:.1} s, {:.1} MB in all, peak {} MB",
        results[0].places.len(),
        start.elapsed().as_secs_f64(),
        bytes as f64 / 1e6,
        peak_megabytes(),
    );
    Ok(())
}

/// The first 60 % are everybody's.
fn ids(party: usize, count: usize) -> Vec<Id> {
    let of = |i: usize| (if i < count * 6 / 10 { 0 } else { party + 1 }, i);
    let digest = |(who, i): (usize, usize)| *blake3::hash(&[who.to_le_bytes(), i.to_le_bytes()].concat()).as_bytes();
    (0..count).map(of).map(digest).collect()
}

fn session(party: usize, label: &[u8]) -> Session {
    Session::new(&PartySecret::new([party as u8 + 1; 32]), label)
}

fn by_ecdh(sets: &[Vec<Id>]) -> Result<(Vec<Intersection>, usize), MpcError> {
    let mut one = ecdh::Party::new(&session(0, b"ecdh"), sets[0].clone(), sets[1].len())?;
    let mut two = ecdh::Party::new(&session(1, b"ecdh"), sets[1].clone(), sets[0].len())?;
    let mut bytes = 0;
    let mut pass = |from: &mut ecdh::Party, to: &mut ecdh::Party| -> Result<(), MpcError> {
        while let Some(batch) = from.next_batch() {
            let answer = to.answer(&batch)?;
            bytes += batch.len() + answer.len();
            from.accept(&answer)?;
        }
        Ok(())
    };
    pass(&mut one, &mut two)?;
    pass(&mut two, &mut one)?;
    Ok((vec![one.finish()?, two.finish()?], bytes))
}

fn function(from: usize, to: usize, inputs: &[Id], bytes: &mut usize) -> Result<(Sender, Receiver), MpcError> {
    let label = format!("{from} to {to}");
    let (key, function) = (session(from, label.as_bytes()), session(to, label.as_bytes()));
    let (setup, message) = ReceiverSetup::new(&function, inputs.to_vec())?;
    let (mut sender, points) = Sender::new(&key, inputs.len(), &message)?;
    *bytes += message.len() + points.len();
    let mut receiver = setup.finish(&points)?;
    while let Some(chunk) = receiver.next_chunk() {
        *bytes += chunk.len();
        sender.accept(&chunk)?;
    }
    Ok((sender, receiver))
}

fn by_oprf(sets: &[Vec<Id>]) -> Result<(Vec<Intersection>, usize), MpcError> {
    let mut bytes = 0;
    let (key, function) = function(0, 1, &sets[1], &mut bytes)?;
    let mut sender = oprf::Sender::new(&key, &sets[0], sets[1].len())?;
    let mut receiver = oprf::Receiver::new(&function, sets[0].len())?;
    while let Some(tags) = sender.next_tags() {
        bytes += tags.len();
        receiver.accept(&tags)?;
    }
    let (result, marks) = receiver.finish()?;
    Ok((vec![sender.finish(&marks)?, result], bytes + marks.len()))
}

type Outputs = (Vec<Output>, Vec<Output>);

fn among_many(sets: &[Vec<Id>]) -> Result<(Vec<Intersection>, usize), MpcError> {
    let sizes: Vec<usize> = sets.iter().map(Vec::len).collect();
    let of = |i: usize| multiparty::Party::new(&session(i, b"many"), i, &sizes, sets[i].clone());
    let mut parties = (0..sets.len()).map(of).collect::<Result<Vec<_>, _>>()?;
    let mut bytes = 0;
    let mut towards_first: Vec<Option<Outputs>> = vec![None; sets.len()];
    for i in 0..sets.len() {
        for j in (0..sets.len()).filter(|j| *j != i) {
            let (key, function) = function(i, j, &sets[j], &mut bytes)?;
            let outputs = (key.outputs(&sets[i])?, function.outputs()?);
            let table = parties[i].share(j, &outputs.0)?;
            bytes += table.len();
            parties[j].accept_share(i, &outputs.1, &table)?;
            if j == 0 {
                towards_first[i] = Some(outputs);
            }
        }
    }
    for (i, outputs) in towards_first.iter().enumerate() {
        if let Some((sent, received)) = outputs {
            let table = parties[i].sum(sent)?;
            bytes += table.len();
            parties[0].accept_sum(i, received, &table)?;
        }
    }
    let (result, message) = parties.remove(0).finish()?;
    bytes += message.len() * parties.len();
    let others = parties
        .into_iter()
        .map(|party| party.learn(&message))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((std::iter::once(result).chain(others).collect(), bytes))
}

/// What Linux counts as this process's peak; zero elsewhere.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
        / 1024
}
