//! The server's loop.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use cloven_wire::{Channel, Link, Traffic};
use futures_util::future::try_join_all;
use tokio::sync::Notify;

use super::{Cohort, ServerRounds, Service, Sessions};
use crate::{
    AllSettled, Begin, CheckpointError, Event, Halted, Observe, Position, ProtocolError, Schedule, Settled, Start,
    checkpoint::common,
};

/// Trains for the whole schedule with a client at the other end of each link.
pub(crate) async fn server<C: Channel>(
    me: &mut impl Sessions<C>,
    service: Service<'_>,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let schedule = service.schedule;
    if service.alone {
        return restore(me, service, &vec![schedule.end(); links.len()]);
    }
    let (starts, from) = begin(service, links).await?;
    if from.contains(&schedule.end()) {
        return restore(me, service, &from);
    }
    let cohort = Cohort::of_server(&starts, &from);
    me.begin(links, &cohort).await?;
    restore(me, service, &from)?;
    let mut progress = Progress::new(links, observe);
    progress.started(&schedule, &starts, &from)?;

    let mut clients: Vec<ClientWork> = starts
        .iter()
        .zip(&from)
        .map(|(start, from)| ClientWork::new(start, *from, schedule))
        .collect();
    for epoch in from.iter().map(|position| position.epoch).max().unwrap_or(1)..=schedule.epochs {
        train(me, service, epoch, links, &mut clients, &progress).await?;
        me.end_epoch(links, &next_rounds(&mut clients), &cohort).await?;
        progress.epoch(epoch, links)?;
        if schedule.evaluates_after(epoch) && starts.iter().any(|start| start.test_rows > 0) {
            evaluate(me, schedule, links, &mut clients).await?;
            progress.evaluated(epoch, links)?;
        }
        if schedule.checkpoint_every > 0 {
            settle(me, service, epoch + 1, links, &next_rounds(&mut clients)).await?;
        }
    }
    Ok(())
}

/// How far a client is.
struct ClientWork {
    train_rows: usize,
    test_rows: usize,
    /// Batches of this epoch that are done.
    batches: usize,
    /// Rounds that are done.
    round: u64,
}

impl ClientWork {
    fn new(start: &Start, from: Position, schedule: Schedule) -> Self {
        let (train_rows, test_rows) = (start.train_rows as usize, start.test_rows as usize);
        Self {
            train_rows,
            test_rows,
            batches: from.batch as usize,
            round: schedule.rounds_before(from, train_rows, test_rows),
        }
    }

    fn next_round(&mut self) -> u64 {
        self.round += 1;
        self.round
    }
}

fn next_rounds(clients: &mut [ClientWork]) -> Vec<u64> {
    clients.iter_mut().map(ClientWork::next_round).collect()
}

/// Hears how much every client has to do and where it could go on, and tells each how much there is in all and where to go on.
async fn begin<C: Channel>(service: Service<'_>, links: &mut [Link<C>]) -> Result<(Vec<Start>, Vec<Position>), ProtocolError> {
    let barrier = Barrier::new(links.len());
    let starts = links.iter_mut().map(async |link| {
        let start: Start = link.receive(0, &()).await?;
        barrier.pass(link).await;
        Ok::<_, ProtocolError>(start)
    });
    let starts = try_join_all(starts).await?;
    let mine: Vec<_> = (0..links.len())
        .map(|link| service.keeps.get(link).map(|keep| keep.positions()).unwrap_or_default())
        .collect();
    let theirs: Vec<_> = starts.iter().map(|start| start.positions.clone()).collect();
    let from = common(&mine, &theirs);
    if from.contains(&service.schedule.end()) {
        service.keeps.iter().try_for_each(|keep| keep.complete())?;
    }
    for (link, from) in links.iter_mut().zip(&from) {
        let begin = Begin {
            clients: starts.len() as u32,
            train_rows: starts.iter().map(|start| start.train_rows).sum(),
            from: *from,
        };
        link.send(0, &begin).await?;
    }
    Ok((starts, from))
}

/// Tells a client, who connects again after the end, that the training is [complete](crate::Keep::complete): it goes on from its last state, and so finishes.
pub async fn release<C: Channel>(schedule: Schedule, clients: u32, link: &mut Link<C>) -> Result<(), ProtocolError> {
    let start: Start = link.receive(0, &()).await?;
    if !start.positions.contains(&schedule.end()) {
        let why = format!("{} has lost its state after the last epoch", link.peer());
        return Err(CheckpointError { why }.into());
    }
    let begin = Begin {
        clients,
        train_rows: start.train_rows,
        from: schedule.end(),
    };
    Ok(link.send(0, &begin).await?)
}

/// Goes back to checkpoints: what sessions share from the beginning of the epoch, the rest from each session's own.
fn restore<C: Channel>(me: &mut impl Sessions<C>, service: Service<'_>, from: &[Position]) -> Result<(), ProtocolError> {
    for (link, (keep, position)) in service.keeps.iter().zip(from).enumerate() {
        if *position == Position::START {
            continue;
        }
        if link == 0 && position.epoch > Position::START.epoch {
            me.restore_shared(&keep.load(Position::of_epoch(position.epoch))?)?;
        }
        me.sessions()[link].restore(&keep.load(*position)?)?;
    }
    Ok(())
}

/// The rest of an epoch of all clients.
async fn train<C: Channel>(
    me: &mut impl Sessions<C>,
    service: Service<'_>,
    epoch: u32,
    links: &mut [Link<C>],
    clients: &mut [ClientWork],
    progress: &Progress<'_, '_>,
) -> Result<(), ProtocolError> {
    let schedule = service.schedule;
    let barrier = Barrier::new(links.len());
    let each = me.sessions().iter_mut().zip(links).zip(clients).enumerate();
    let sessions = each.map(async |(index, ((session, link), client))| {
        let batches = schedule.batches(client.train_rows);
        let done = std::mem::take(&mut client.batches);
        for (rows, batch) in schedule.training_sizes(client.train_rows).zip(1..).skip(done) {
            let first = (batch - 1) * schedule.batch;
            session.train(link, client.next_round(), epoch, first..first + rows).await?;
            progress.batch(index, epoch, rows, link.traffic())?;
            if let Some(keep) = service.keeps.get(index).filter(|_| schedule.keeps_after(batch, batches)) {
                let batch = batch as u32;
                let parts = link.wait_while(session.snapshot()).await?;
                keep.save(Position { epoch, batch }, parts)?;
            }
        }
        barrier.pass(link).await;
        Ok::<_, ProtocolError>(())
    });
    try_join_all(sessions).await.map(drop)
}

/// The test rows of all clients.
async fn evaluate<C: Channel>(
    me: &mut impl Sessions<C>,
    schedule: Schedule,
    links: &mut [Link<C>],
    clients: &mut [ClientWork],
) -> Result<(), ProtocolError> {
    let barrier = Barrier::new(links.len());
    let each = me.sessions().iter_mut().zip(links).zip(clients);
    let sessions = each.map(async |((session, link), client)| {
        let mut done = 0;
        for rows in schedule.evaluation_sizes(client.test_rows) {
            session.outputs(link, client.next_round(), done..done + rows).await?;
            done += rows;
        }
        barrier.pass(link).await;
        Ok::<_, ProtocolError>(())
    });
    try_join_all(sessions).await.map(drop)
}

/// Keeps the end of an epoch when every client has, and tells them so.
async fn settle<C: Channel>(
    me: &mut impl Sessions<C>,
    service: Service<'_>,
    epoch: u32,
    links: &mut [Link<C>],
    rounds: &[u64],
) -> Result<(), ProtocolError> {
    let shared = me.shared()?;
    for ((session, link), keep) in me.sessions().iter_mut().zip(&mut *links).zip(service.keeps) {
        let mut parts = link.wait_while(session.snapshot()).await?;
        parts.extend(shared.clone());
        keep.save(Position::of_epoch(epoch), parts)?;
    }
    let barrier = Barrier::new(links.len());
    let settled = links.iter_mut().zip(rounds).map(async |(link, round)| {
        let Settled { .. } = link.receive(*round, &epoch).await?;
        barrier.pass(link).await;
        Ok::<_, ProtocolError>(())
    });
    try_join_all(settled).await?;
    service.keeps.iter().try_for_each(|keep| keep.flush())?;
    if Position::of_epoch(epoch) == service.schedule.end() {
        // Before anybody hears of it: a client that has heard may be gone for good.
        service.keeps.iter().try_for_each(|keep| keep.complete())?;
    }
    for (link, round) in links.iter_mut().zip(rounds) {
        link.send(*round, &AllSettled { epoch }).await?;
    }
    Ok(service.keeps.iter().try_for_each(|keep| keep.settled(epoch))?)
}

/// Where sessions, or exchanges with several peers, wait for each other.
pub(crate) struct Barrier {
    missing: Cell<usize>,
    all: Notify,
}

impl Barrier {
    pub(crate) fn new(sessions: usize) -> Self {
        Self {
            missing: Cell::new(sessions),
            all: Notify::new(),
        }
    }

    /// Waits until every session is here; the peer, who waits for this party meanwhile, is kept informed.
    pub(crate) async fn pass<C: Channel>(&self, link: &mut Link<C>) {
        self.missing.set(self.missing.get() - 1);
        if self.missing.get() == 0 {
            return self.all.notify_waiters();
        }
        let others = async {
            while self.missing.get() > 0 {
                self.all.notified().await;
            }
        };
        link.wait_while(others).await;
    }
}

/// Makes one party's progress of that of its sessions.
struct Progress<'a, 'b> {
    inner: RefCell<(&'a mut Observe<'b>, Counts)>,
}

struct Counts {
    /// Batches of this epoch, of all clients.
    batches: usize,
    /// What crossed each link so far.
    traffic: Vec<Traffic>,
}

impl Counts {
    fn total(&self) -> Traffic {
        self.traffic.iter().copied().sum()
    }
}

impl<'a, 'b> Progress<'a, 'b> {
    fn new<C: Channel>(links: &[Link<C>], observe: &'a mut Observe<'b>) -> Self {
        let traffic = links.iter().map(Link::traffic).collect();
        Self {
            inner: RefCell::new((observe, Counts { batches: 0, traffic })),
        }
    }

    fn started(&mut self, schedule: &Schedule, starts: &[Start], from: &[Position]) -> Result<(), Halted> {
        let (observe, counts) = self.inner.get_mut();
        let rows = |of: fn(&Start) -> u64| starts.iter().map(|start| of(start) as usize).sum();
        counts.batches = from.iter().map(|position| position.batch as usize).sum();
        observe(Event::Started {
            epochs: schedule.epochs,
            from: Position {
                epoch: from.iter().map(|position| position.epoch).max().unwrap_or(1),
                batch: counts.batches as u32,
            },
            train_rows: rows(|start| start.train_rows),
            test_rows: rows(|start| start.test_rows),
            batches: starts.iter().map(|start| schedule.batches(start.train_rows as usize)).sum(),
            traffic: counts.total(),
        })
    }

    fn batch(&self, client: usize, epoch: u32, rows: usize, traffic: Traffic) -> Result<(), Halted> {
        let (observe, counts) = &mut *self.inner.borrow_mut();
        counts.batches += 1;
        counts.traffic[client] = traffic;
        observe(Event::Batch {
            epoch,
            batch: counts.batches,
            rows,
            loss: None,
            traffic: counts.total(),
        })
    }

    fn epoch<C: Channel>(&mut self, epoch: u32, links: &[Link<C>]) -> Result<(), Halted> {
        let (observe, counts) = self.inner.get_mut();
        counts.batches = 0;
        observe(Event::Epoch {
            epoch,
            loss: None,
            traffic: links.iter().map(Link::traffic).sum(),
        })
    }

    fn evaluated<C: Channel>(&mut self, epoch: u32, links: &[Link<C>]) -> Result<(), Halted> {
        let (observe, _) = self.inner.get_mut();
        observe(Event::Evaluated {
            epoch,
            evaluation: None,
            subsets: BTreeMap::new(),
            traffic: links.iter().map(Link::traffic).sum(),
        })
    }
}
