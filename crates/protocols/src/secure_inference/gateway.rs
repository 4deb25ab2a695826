//! The gateway's script with the other servers: it says what happens next. Requests come first; between them inferences are prepared, up to a number that wait.
//! A prepared inference is used once; without one a request waits until one is prepared.

use std::collections::VecDeque;

use cloven_wire::{Channel, Link};
use tokio::time::timeout;

use super::{
    Server, Terms,
    boxes::{put_output, share_len},
    desk::{Request, Requests},
    mesh::{Mesh, Place},
    msg::{Command, SealedShare},
    preparation::Prepared,
    worker::Worker,
};
use crate::{Event, Observe, ProtocolError};

/// How much a gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// So many inferences are kept prepared; 0: each is prepared when it is asked for.
    pub pool: usize,
    /// Users are served only once that many are prepared for the first time.
    pub open_when_full: bool,
    /// The service ends after so many; without, when every [`Desk`](super::Desk) is gone.
    pub inferences: Option<u64>,
}

/// Serves until the work is done. `links` are to the other servers.
///
/// # Errors
/// [`ProtocolError`], naming the server whose message cannot be or that is lost. Nothing that was prepared is used after that.
pub async fn gateway<C: Channel>(
    me: Server<'_>,
    terms: &Terms,
    work: Work,
    links: &mut [Link<C>],
    requests: &mut Requests,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let mut mesh = Mesh::new(&me.identity.party, terms, links)?;
    let result = serve(me, terms, work, &mut mesh, requests, observe).await;
    requests.open(None);
    let layers = mesh.layers();
    let told = observe(Event::Layers { layers });
    result.and(told.map_err(ProtocolError::from))
}

async fn serve<C: Channel>(
    me: Server<'_>,
    terms: &Terms,
    work: Work,
    mesh: &mut Mesh<'_, C>,
    requests: &mut Requests,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let mut worker = Worker::set_up(&me, terms, mesh, 0).await?;
    // Taken when users may come.
    let mut keys = Some(mesh.collect_keys().await?);
    let traffic = mesh.traffic();
    observe(Event::Met { traffic })?;
    let (mut prepared, mut next, mut served, mut meetings) = (VecDeque::new(), 0, 0, 1);
    let left = |served: u64| work.inferences.map_or(u64::MAX, |all| all - served);
    while left(served) > 0 {
        // Users notice nothing: the keys to which they seal stay.
        if next == worker.most && prepared.is_empty() {
            announce(mesh, observe).await?;
            drop(worker);
            worker = Worker::set_up(&me, terms, mesh, meetings).await?;
            (next, meetings) = (0, meetings + 1);
            let traffic = mesh.traffic();
            observe(Event::Met { traffic })?;
        }
        // No more than will be used.
        let wanted = work.pool.min(usize::try_from(left(served)).unwrap_or(usize::MAX));
        let full = prepared.len() >= wanted || next == worker.most;
        if keys.is_some() && (full || !work.open_when_full) {
            requests.open(keys.take());
        }
        let (waiting, more) = requests.poll();
        let request = match waiting {
            Some(request) => request,
            None if !more => break,
            None if prepared.len() < wanted && next < worker.most => {
                prepare(&mut worker, mesh, &mut prepared, &mut next, (wanted, observe)).await?;
                continue;
            }
            None => match wait(requests, mesh).await? {
                Some(request) => request,
                None => break,
            },
        };
        if prepared.is_empty() {
            prepare(&mut worker, mesh, &mut prepared, &mut next, (wanted, observe)).await?;
        }
        let Some(used) = prepared.pop_front() else { continue };
        let traffic = mesh.traffic();
        observe(Event::Working { traffic })?;
        infer(&mut worker, terms, mesh, used, request).await?;
        served += 1;
        let (inferences, traffic) = (served, mesh.traffic());
        observe(Event::Answered { inferences, traffic })?;
    }
    let others = mesh.servers() - 1;
    mesh.command(vec![Command::End; others]).await
}

/// The next request, while the other servers are told to wait; none when there will be no more.
async fn wait<C: Channel>(requests: &mut Requests, mesh: &mut Mesh<'_, C>) -> Result<Option<Request>, ProtocolError> {
    let patience = mesh.patience();
    loop {
        if let Ok(next) = timeout(patience, requests.next()).await {
            return Ok(next);
        }
        let others = mesh.servers() - 1;
        mesh.command(vec![Command::Wait; others]).await?;
    }
}

/// Tells the other servers that all meet anew.
async fn announce<C: Channel>(mesh: &mut Mesh<'_, C>, observe: &mut Observe<'_>) -> Result<(), ProtocolError> {
    let others = mesh.servers() - 1;
    let traffic = mesh.traffic();
    observe(Event::Working { traffic })?;
    mesh.command(vec![Command::Meet; others]).await
}

async fn prepare<C: Channel>(
    worker: &mut Worker<'_>,
    mesh: &mut Mesh<'_, C>,
    prepared: &mut VecDeque<Prepared>,
    next: &mut u64,
    (wanted, observe): (usize, &mut Observe<'_>),
) -> Result<(), ProtocolError> {
    let others = mesh.servers() - 1;
    let traffic = mesh.traffic();
    observe(Event::Working { traffic })?;
    mesh.enter(Some(Place::Preparing(Place::OTHER)));
    mesh.command(vec![Command::Prepare(*next); others]).await?;
    prepared.push_back(worker.prepare(mesh, *next).await?);
    *next += 1;
    let (ready, traffic) = (prepared.len(), mesh.traffic());
    observe(Event::Prepared { ready, wanted, traffic })?;
    Ok(())
}

async fn infer<C: Channel>(
    worker: &mut Worker<'_>,
    terms: &Terms,
    mesh: &mut Mesh<'_, C>,
    prepared: Prepared,
    request: Request,
) -> Result<(), ProtocolError> {
    let number = prepared.number();
    mesh.enter(Some(Place::Answering(Place::OTHER)));
    mesh.command(
        request
            .boxes
            .into_iter()
            .map(|sealed| Command::Infer(number, sealed))
            .collect(),
    )
    .await?;
    let share = worker.infer(mesh, prepared, &request.share).await?;
    let sealed = mesh.collect::<SealedShare>(share_len(terms)).await?;
    mesh.enter(None);
    // A user that is gone needs no answer.
    let _ = request.answer.send(put_output(terms, &share, &sealed));
    Ok(())
}
