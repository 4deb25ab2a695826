//! Where a training begins and when an epoch is settled: the paper's coordinator, which sees numbers of rows and how far everybody is. Without one the server decides
//! the same.

use std::collections::BTreeMap;

use cloven_wire::{Channel, Link, Party, Traffic};

use super::{
    Terms,
    msg::{Positions, Work},
};
use crate::{AllSettled, Begin, Event, Observe, Position, ProtocolError, Settled, Start};

/// The coordinator's script; `links` are in the order of names. The server hears first what is decided: holders may leave as soon as they have heard of the end, and
/// afterwards ask the server alone.
///
/// # Errors
/// [`ProtocolError`], naming the party that sent what cannot be.
pub async fn coordinator<C: Channel>(
    terms: &Terms,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let (schedule, traffic) = (terms.schedule, |links: &[Link<C>]| -> Traffic {
        links.iter().map(Link::traffic).sum()
    });
    let Positions(of_server) = terms.link_to(&terms.server, links)?.receive(0, &None).await?;
    let work = hear(terms, of_server, links).await?;
    let server = terms.link_to(&terms.server, links)?;
    server.send(0, &work).await?;
    let Settled { .. } = server.receive(0, &work.from.epoch).await?;
    announce(terms, work, links).await?;
    let (from, [train_rows, test_rows]) = (work.from, [work.train_rows, work.test_rows].map(|rows| rows as usize));
    if from == schedule.end() {
        return Ok(());
    }
    let batches = schedule.batches(train_rows);
    observe(Event::Started {
        epochs: schedule.epochs,
        train_rows,
        test_rows,
        batches,
        from,
        traffic: traffic(links),
    })?;
    let mut round = schedule.rounds_before(from, train_rows, test_rows);
    for epoch in from.epoch..=schedule.epochs {
        let done = if epoch == from.epoch { from.batch as usize } else { 0 };
        for (rows, batch) in schedule.training_sizes(train_rows).zip(1..).skip(done) {
            round += 1;
            let reached = Some(Position {
                epoch,
                batch: batch as u32,
            });
            let Positions(_) = terms.link_to(&terms.server, links)?.receive(round, &reached).await?;
            let (loss, traffic) = (None, traffic(links));
            observe(Event::Batch {
                epoch,
                batch,
                rows,
                loss,
                traffic,
            })?;
        }
        round += 1;
        let (loss, bytes) = (None, traffic(links));
        observe(Event::Epoch {
            epoch,
            loss,
            traffic: bytes,
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            round += schedule.evaluation_sizes(test_rows).count() as u64;
            let (evaluation, subsets, traffic) = (None, BTreeMap::new(), traffic(links));
            observe(Event::Evaluated {
                epoch,
                evaluation,
                subsets,
                traffic,
            })?;
        }
        if schedule.checkpoint_every > 0 {
            round += 1;
            let next = epoch + 1;
            hear_settled(terms, next, round, links).await?;
            let server = terms.link_to(&terms.server, links)?;
            server.send(round, &AllSettled { epoch: next }).await?;
            let Settled { .. } = server.receive(round, &next).await?;
            tell_settled(terms, next, round, links).await?;
        }
    }
    Ok(())
}

/// At the server of a job with a coordinator: says where it could go on, hears where all do. `complete` is called if there is nothing left to do.
pub(super) async fn report<C: Channel>(
    terms: &Terms,
    coordinator: &Party,
    mut own: Vec<Position>,
    links: &mut [Link<C>],
    complete: impl FnOnce() -> Result<(), ProtocolError>,
) -> Result<Work, ProtocolError> {
    own.sort_unstable();
    own.drain(..own.len().saturating_sub(Start::MAX_POSITIONS));
    let link = terms.link_to(coordinator, links)?;
    link.send(0, &Positions(own.clone())).await?;
    let work: Work = link.receive(0, &Some(own)).await?;
    if work.from == terms.schedule.end() {
        complete()?;
    }
    let epoch = work.from.epoch;
    link.send(0, &Settled { epoch }).await?;
    Ok(work)
}

/// Hears how many rows the holders have and where each could go on. `own` are the server's positions.
pub(super) async fn hear<C: Channel>(terms: &Terms, own: Vec<Position>, links: &mut [Link<C>]) -> Result<Work, ProtocolError> {
    let mut rows: Option<[u64; 2]> = None;
    let mut positions = vec![own];
    for link in of_holders(terms, links) {
        let start: Start = link.receive(0, &()).await?;
        let its = [start.train_rows, start.test_rows];
        if let Some(others) = rows.replace(its)
            && others != its
        {
            return Err(ProtocolError::Alignment(format!(
                "{} has {} training and {} test rows, others have {} and {}",
                link.peer(),
                its[0],
                its[1],
                others[0],
                others[1]
            )));
        }
        positions.push(start.positions);
    }
    let Some([train_rows, test_rows]) = rows else {
        return Err(ProtocolError::Alignment("nobody has rows".into()));
    };
    Ok(Work {
        train_rows,
        test_rows,
        from: common(&positions),
    })
}

/// Tells holders and dealer where to begin.
pub(super) async fn announce<C: Channel>(terms: &Terms, work: Work, links: &mut [Link<C>]) -> Result<(), ProtocolError> {
    let begin = Begin {
        clients: 1,
        train_rows: work.train_rows,
        from: work.from,
    };
    for link in of_holders(terms, links) {
        link.send(0, &begin).await?;
    }
    match &terms.dealer {
        Some(dealer) => Ok(terms.link_to(dealer, links)?.send(0, &work).await?),
        None => Ok(()),
    }
}

/// Until every holder has kept its state of an epoch's beginning.
pub(super) async fn hear_settled<C: Channel>(
    terms: &Terms,
    epoch: u32,
    round: u64,
    links: &mut [Link<C>],
) -> Result<(), ProtocolError> {
    for link in of_holders(terms, links) {
        let Settled { .. } = link.receive(round, &epoch).await?;
    }
    Ok(())
}

/// Tells the holders that everybody has.
pub(super) async fn tell_settled<C: Channel>(
    terms: &Terms,
    epoch: u32,
    round: u64,
    links: &mut [Link<C>],
) -> Result<(), ProtocolError> {
    for link in of_holders(terms, links) {
        link.send(round, &AllSettled { epoch }).await?;
    }
    Ok(())
}

/// Links to everybody who has rows.
pub(super) fn of_holders<'a, C: Channel>(terms: &Terms, links: &'a mut [Link<C>]) -> impl Iterator<Item = &'a mut Link<C>> {
    links
        .iter_mut()
        .filter(|link| terms.holders().any(|holder| holder == link.peer()))
}

/// The newest position that all have. At the end of an epoch everybody has its beginning, so there is always one.
fn common(all: &[Vec<Position>]) -> Position {
    let Some((first, others)) = all.split_first() else {
        return Position::START;
    };
    let everywhere = |position: &&Position| others.iter().all(|positions| positions.contains(position));
    first.iter().filter(everywhere).max().copied().unwrap_or(Position::START)
}
