//! The server's loop.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use cloven_wire::{Channel, Link, Traffic};
use futures_util::future::try_join_all;
use tokio::sync::Notify;

use super::{Cohort, ServerRounds, Sessions};
use crate::{Begin, Event, Halted, Observe, ProtocolError, Schedule, Start};

/// Trains for the whole schedule with a client at the other end of each link.
pub(crate) async fn server<C: Channel>(
    me: &mut impl Sessions<C>,
    schedule: Schedule,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let starts = begin(links).await?;
    let cohort = Cohort::of_server(&starts);
    me.begin(links, &cohort).await?;
    let mut progress = Progress::new(links, observe);
    progress.started(&schedule, &starts)?;

    let mut rounds = vec![0; links.len()];
    for epoch in 1..=schedule.epochs {
        let barrier = Barrier::new(links.len());
        let each = me
            .sessions()
            .iter_mut()
            .zip(&mut *links)
            .zip(&mut rounds)
            .zip(&starts)
            .enumerate();
        try_join_all(each.map(async |(client, (((session, link), round), start))| {
            for rows in schedule.training_sizes(start.train_rows as usize) {
                *round += 1;
                session.train(link, *round, rows).await?;
                progress.batch(client, epoch, rows, link.traffic())?;
            }
            *round += 1;
            barrier.pass(link).await;
            Ok::<_, ProtocolError>(())
        }))
        .await?;
        me.end_epoch(links, &rounds, &cohort).await?;
        progress.epoch(epoch, links)?;

        if schedule.evaluates_after(epoch) && starts.iter().any(|start| start.test_rows > 0) {
            let barrier = Barrier::new(links.len());
            let each = me.sessions().iter_mut().zip(&mut *links).zip(&mut rounds).zip(&starts);
            try_join_all(each.map(async |(((session, link), round), start)| {
                for rows in schedule.evaluation_sizes(start.test_rows as usize) {
                    *round += 1;
                    session.outputs(link, *round, rows).await?;
                }
                barrier.pass(link).await;
                Ok::<_, ProtocolError>(())
            }))
            .await?;
            progress.evaluated(epoch, links)?;
        }
    }
    Ok(())
}

/// Hears how much every client has to do, and tells each how much there is in all.
async fn begin<C: Channel>(links: &mut [Link<C>]) -> Result<Vec<Start>, ProtocolError> {
    let barrier = Barrier::new(links.len());
    let starts = links.iter_mut().map(async |link| {
        let start: Start = link.receive(0, &()).await?;
        barrier.pass(link).await;
        Ok::<_, ProtocolError>(start)
    });
    let starts = try_join_all(starts).await?;
    let begin = Begin {
        clients: links.len() as u32,
        train_rows: starts.iter().map(|start| start.train_rows).sum(),
    };
    for link in links {
        link.send(0, &begin).await?;
    }
    Ok(starts)
}

/// Where sessions wait for each other.
struct Barrier {
    missing: Cell<usize>,
    all: Notify,
}

impl Barrier {
    fn new(sessions: usize) -> Self {
        Self {
            missing: Cell::new(sessions),
            all: Notify::new(),
        }
    }

    /// Waits until every session is here; the client, who waits for the server meanwhile, is kept informed.
    async fn pass<C: Channel>(&self, link: &mut Link<C>) {
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

    fn started(&mut self, schedule: &Schedule, starts: &[Start]) -> Result<(), Halted> {
        let (observe, counts) = self.inner.get_mut();
        let rows = |of: fn(&Start) -> u64| starts.iter().map(|start| of(start) as usize).sum();
        observe(Event::Started {
            epochs: schedule.epochs,
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
