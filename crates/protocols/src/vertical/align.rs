//! Alignment: all holders end with the same rows in the same order, by private set intersection.
//!
//! Two holders use the oblivious pseudorandom function (the one with fewer ids is its receiver), more the protocol with zero-sharing
//! ([`cloven_mpc::intersection`]). Who learns what: every holder the common ids and the number of ids of each other holder; the server and a
//! dealer the number of common rows. With three and more holders nobody learns what only some of them have in common.
//!
//! The order depends on the holders' secrets, and is the same again when the same parties align the same ids once more.

use std::collections::BTreeMap;

use cloven_mpc::{
    MpcError, PartySecret, Session,
    ids::Id,
    intersection::{Intersection, multiparty, oprf},
    oprf::{Output, Receiver, ReceiverSetup, Sender},
};
use cloven_wire::{Channel, Link, Message, Party};
use futures_util::future::try_join_all;

use super::{
    Terms,
    msg::{AlignmentStep, SetSize},
};
use crate::{ProtocolError, error::refused};

/// The longest messages that do not depend on numbers of ids, and what those that do may have for each id, by far.
const STEP: usize = 1 << 20;
const FOR_EACH_ID: usize = 64;

/// What a holder knows after the alignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    /// The places in its ids of the rows that every holder has, in one order at all.
    pub places: Vec<usize>,
    /// How many distinct ids each holder has.
    pub distinct: BTreeMap<Party, usize>,
}

/// Finds the rows that every holder has; `ids` are distinct. `links` are in the order of names; those to parties that are no holders are left alone.
///
/// # Errors
/// [`ProtocolError::Alignment`] when there is no id here, or none that all have; [`ProtocolError::Wire`] for what other holders send.
pub async fn align<C: Channel>(
    me: &Party,
    terms: &Terms,
    secret: &[u8; 32],
    ids: &[Id],
    links: &mut [Link<C>],
) -> Result<Aligned, ProtocolError> {
    let holders: Vec<&Party> = terms.holders().collect();
    let index = holders.iter().position(|holder| *holder == me).unwrap_or_default();
    if ids.is_empty() {
        return Err(ProtocolError::Alignment(format!("{me} has no row with an id")));
    }
    let mut lines: Vec<Line<'_, C>> = links
        .iter_mut()
        .filter_map(|link| Some((holders.iter().position(|holder| *holder == link.peer())?, link)))
        .map(|(other, link)| Line { other, link, step: 0 })
        .collect();
    let sizes = sizes(index, ids.len(), &mut lines).await?;
    let session = Session::new(&own_secret(secret, ids), &[b"alignment".as_slice(), &terms.job].concat());
    let common = match &mut lines[..] {
        [line] => of_two(index, &sizes, &session, ids, line).await?,
        lines => of_many(index, &sizes, &session, ids, lines).await?,
    };
    match common.places.is_empty() {
        false => Ok(Aligned {
            places: common.places,
            distinct: holders.into_iter().cloned().zip(sizes).collect(),
        }),
        true => {
            let counts: Vec<_> = holders
                .iter()
                .zip(&sizes)
                .map(|(holder, size)| format!("{holder} {size}"))
                .collect();
            Err(ProtocolError::Alignment(format!(
                "no id is common to all holders (distinct ids: {}): are the same columns named as ids, in the same form?",
                counts.join(", ")
            )))
        }
    }
}

/// Other ids are another session: no mask is used for two sets.
fn own_secret(secret: &[u8; 32], ids: &[Id]) -> PartySecret {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(b"cloven v1 vertical: alignment of these ids");
    ids.iter().for_each(|id| {
        hasher.update(id);
    });
    PartySecret::new(*hasher.finalize().as_bytes())
}

/// The way to another holder.
struct Line<'a, C> {
    /// Its place among the holders.
    other: usize,
    link: &'a mut Link<C>,
    /// Messages so far, of both.
    step: u64,
}

impl<C: Channel> Line<'_, C> {
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), ProtocolError> {
        self.step += 1;
        Ok(self.link.send(self.step, &AlignmentStep(bytes)).await?)
    }

    async fn receive(&mut self, most: usize) -> Result<Vec<u8>, ProtocolError> {
        self.step += 1;
        let AlignmentStep(bytes) = self.link.receive(self.step, &most).await?;
        Ok(bytes)
    }

    /// Bytes for bytes.
    async fn exchange(&mut self, bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, ProtocolError> {
        self.step += 1;
        let AlignmentStep(bytes) = self.link.exchange(self.step, &AlignmentStep(bytes), &most).await?;
        Ok(bytes)
    }

    /// The result of a step on the bytes received last.
    fn check<T>(&self, result: Result<T, MpcError>) -> Result<T, ProtocolError> {
        result.map_err(|cause| refused(self.link.peer(), self.step, AlignmentStep::NAME, &cause))
    }

    /// The function with this party's key, at its own ids; the other's ids go in.
    async fn key(&mut self, session: &Session, receiver_ids: usize) -> Result<Sender, ProtocolError> {
        let announcement = self.receive(STEP).await?;
        let (mut sender, points) = self.check(Sender::new(session, receiver_ids, &announcement))?;
        self.send(points).await?;
        while !sender.is_complete() {
            let chunk = self.receive(STEP).await?;
            self.check(sender.accept(&chunk))?;
        }
        Ok(sender)
    }

    /// The function of the other's key at this party's ids.
    async fn values(&mut self, session: &Session, ids: &[Id]) -> Result<Receiver, ProtocolError> {
        let (setup, announcement) = ReceiverSetup::new(session, ids.to_vec())?;
        self.send(announcement).await?;
        let points = self.receive(STEP).await?;
        let mut receiver = self.check(setup.finish(&points))?;
        while let Some(chunk) = receiver.next_chunk() {
            self.send(chunk).await?;
        }
        Ok(receiver)
    }
}

async fn sizes<C: Channel>(index: usize, own: usize, lines: &mut [Line<'_, C>]) -> Result<Vec<usize>, ProtocolError> {
    let mut sizes = vec![own; lines.len() + 1];
    for line in lines {
        let SetSize(size) = line.link.exchange(0, &SetSize(own as u64), &()).await?;
        sizes[line.other] = size as usize;
    }
    debug_assert_eq!(sizes[index], own);
    Ok(sizes)
}

async fn of_two<C: Channel>(
    index: usize,
    sizes: &[usize],
    session: &Session,
    ids: &[Id],
    line: &mut Line<'_, C>,
) -> Result<Intersection, ProtocolError> {
    let receiver = usize::from(sizes[1] <= sizes[0]);
    let session = session.child(b"function");
    if index == receiver {
        let function = line.values(&session, ids).await?;
        let mut tags = oprf::Receiver::new(&function, sizes[1 - index])?;
        while !tags.is_complete() {
            let message = line.receive(STEP).await?;
            line.check(tags.accept(&message))?;
        }
        let (common, marks) = tags.finish()?;
        line.send(marks).await?;
        return Ok(common);
    }
    let function = line.key(&session, sizes[1 - index]).await?;
    let mut tags = oprf::Sender::new(&function, ids, sizes[1 - index])?;
    while let Some(message) = tags.next_tags() {
        line.send(message).await?;
    }
    let marks = line.receive(ids.len().div_ceil(8)).await?;
    line.check(tags.finish(&marks))
}

/// What two holders have of the two functions between them: this one's key at its own ids, and the other's.
struct Functions {
    own: Vec<Output>,
    other: Vec<Output>,
}

async fn of_many<C: Channel>(
    index: usize,
    sizes: &[usize],
    session: &Session,
    ids: &[Id],
    lines: &mut [Line<'_, C>],
) -> Result<Intersection, ProtocolError> {
    let functions = try_join_all(lines.iter_mut().map(|line| functions(index, sizes, session, ids, line))).await?;
    let mut party = multiparty::Party::new(session, index, sizes, ids.to_vec())?;
    let mut tables = Vec::with_capacity(lines.len());
    for (line, functions) in lines.iter().zip(&functions) {
        tables.push(party.share(line.other, &functions.own)?);
    }
    let received = try_join_all(lines.iter_mut().zip(tables).map(|(line, table)| {
        let most = STEP + FOR_EACH_ID * sizes[line.other];
        line.exchange(table, most)
    }))
    .await?;
    for ((line, functions), table) in lines.iter().zip(&functions).zip(received) {
        line.check(party.accept_share(line.other, &functions.other, &table))?;
    }
    if index > 0 {
        let (line, functions) = (&mut lines[0], &functions[0]);
        line.send(party.sum(&functions.own)?).await?;
        let common = line.receive(STEP + FOR_EACH_ID * sizes[0]).await?;
        return line.check(party.learn(&common));
    }
    for (line, functions) in lines.iter_mut().zip(&functions) {
        let table = line.receive(STEP + FOR_EACH_ID * sizes[line.other]).await?;
        line.check(party.accept_sum(line.other, &functions.other, &table))?;
    }
    let (common, message) = party.finish()?;
    for line in lines {
        line.send(message.clone()).await?;
    }
    Ok(common)
}

/// Both functions between two holders, that of the first one's key first.
async fn functions<C: Channel>(
    index: usize,
    sizes: &[usize],
    session: &Session,
    ids: &[Id],
    line: &mut Line<'_, C>,
) -> Result<Functions, ProtocolError> {
    let of = |from: usize, to: usize| session.child(format!("function {from} {to}").as_bytes());
    let (own, other) = (of(index, line.other), of(line.other, index));
    let (sender, receiver) = if index < line.other {
        let sender = line.key(&own, sizes[line.other]).await?;
        (sender, line.values(&other, ids).await?)
    } else {
        let receiver = line.values(&other, ids).await?;
        (line.key(&own, sizes[line.other]).await?, receiver)
    };
    Ok(Functions {
        own: sender.outputs(ids)?,
        other: receiver.outputs()?,
    })
}
