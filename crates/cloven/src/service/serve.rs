//! A server of a service: it meets the others, works with them, and when one is lost meets them again, with everything made anew.

use std::{cell::Cell, collections::BTreeMap, path::Path, pin::Pin, time::Instant};

use cloven_nn::fixed_point::{FixedModel, ModelShare};
use cloven_protocols::{
    Event, Observe,
    secure_inference::{self as inference, Desk, FirstLayers, Requests, Server, Session, Work},
};
use cloven_wire::{
    AbortReason, Channel, Link, Party, Traffic,
    tcp::{Arrival, Endpoint, TcpChannel},
};
use futures_util::{StreamExt, future::OptionFuture, stream::FuturesUnordered};
use rand_chacha::rand_core::Rng;
use zeroize::Zeroizing;

use super::{job::ServiceRole, member::Member, owner::layers_path, report::ServerReport};
use crate::{
    Error, Update,
    party::{Watch, abort_reason, fresh_randomness, interruptible},
    reporter::Reporter,
};

impl Member {
    /// Serves with this server's share of the network, a file of [`share_model`](super::share_model), until the work is done or the operator interrupts.
    ///
    /// # Errors
    /// [`Error`] of this server's own; at a remote server also when another one stays away for longer than `deadlines.reconnect_seconds`. The gateway waits
    /// without end.
    pub fn serve(self, share: &Path, work: Work, watch: &mut Watch<'_>) -> Result<ServerReport, Error> {
        self.local.limits.cap_threads();
        let model = &match self.terms.remotes.is_empty() {
            true => None,
            false => Some(ModelShare::load(share)?),
        };
        let first = &match self.role == ServiceRole::Gateway && self.terms.has_first_layers() {
            true => Some(self.first_layers(share)?),
            false => None,
        };
        let mut watch = |stamped| watch(stamped);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("runtime"))?;
        let reporter = Reporter::new(self.party.clone(), self.local.limits.memory_mb, &mut watch);
        let begun = Instant::now();
        let links = runtime.block_on(interruptible(async {
            let mut endpoint = self.endpoint(&reporter).await?;
            match self.role {
                ServiceRole::Gateway => {
                    self.gateway((model.as_ref(), first.as_ref()), work, &endpoint, &reporter)
                        .await
                }
                ServiceRole::Server => match model {
                    Some(model) => self.remote(model, &mut endpoint, &reporter).await,
                    None => Ok(Vec::new()),
                },
                ServiceRole::User => Err(Error::configuration(
                    "--as",
                    format!("{} is a user: cloven predict", self.party),
                )),
            }
        }))?;
        let report = ServerReport::new(self.role, begun.elapsed(), &reporter, &links);
        runtime.block_on(async {
            for link in links {
                link.into_channel().close().await;
            }
        });
        reporter.tell(Update::Served {
            report: Box::new(report.clone()),
        });
        Ok(report)
    }

    /// The layers that the gateway has in the clear.
    fn first_layers(&self, share: &Path) -> Result<FirstLayers, Error> {
        let model = FixedModel::load(&layers_path(share))?;
        FirstLayers::new(&model, &self.terms).map_err(|cause| self.failed(cause))
    }

    /// A remote server: connects to all other servers, again and again until the gateway ends the service.
    async fn remote(
        &self,
        model: &ModelShare,
        endpoint: &mut Endpoint<'_>,
        reporter: &Reporter<'_>,
    ) -> Result<Vec<Link<TcpChannel>>, Error> {
        let peers = self.reach(self.job.servers().filter(|server| **server != self.party))?;
        loop {
            let channels = endpoint.connect(&peers, &|notice| reporter.tell(notice.into())).await;
            let channels = channels.map_err(|cause| self.failed(cause))?;
            // Those that were there once may be waited for longer.
            endpoint.connect_deadline = self.local.deadlines.reconnect().max(endpoint.connect_deadline);
            let mut links: Vec<_> = channels.into_values().map(Link::new).collect();
            let secret = secret()?;
            let server = self.server(model, &secret);
            let result = inference::remote(server, &self.terms, &mut links, &mut |event| reporter.observe(event)).await;
            let result = result.map_err(|cause| self.failed(cause));
            match self.lost_or(result, &mut links, reporter).await? {
                true => reporter.lost(&links),
                false => return Ok(links),
            }
        }
    }

    /// The gateway: everybody dials it, servers and users, whenever they like.
    async fn gateway(
        &self,
        (model, first): (Option<&ModelShare>, Option<&FirstLayers>),
        work: Work,
        endpoint: &Endpoint<'_>,
        reporter: &Reporter<'_>,
    ) -> Result<Vec<Link<TcpChannel>>, Error> {
        let others = self.job.parties.keys().filter(|party| **party != self.party);
        let mut reception = endpoint.reception(others).map_err(|cause| self.failed(cause))?;
        let (desk, requests) = inference::desk();
        let mut requests = Some(requests);
        let visitors = Visitors::new(desk.clone(), reporter);
        let mut sessions = FuturesUnordered::new();
        let mut waiting: BTreeMap<Party, TcpChannel> = BTreeMap::new();
        let mut meeting: Option<Pin<Box<dyn Future<Output = Met>>>> = None;
        let mut work = work;
        if model.is_none() {
            // There is nobody to meet.
            requests.iter_mut().for_each(Requests::open_alone);
        }
        loop {
            let complete = meeting.is_none() && waiting.len() == self.terms.remotes.len();
            if let (Some(model), Some(requests)) = (model, requests.take_if(|_| complete && model.is_some())) {
                let channels = std::mem::take(&mut waiting);
                meeting = Some(Box::pin(self.meet(model, work, channels, requests, &visitors)));
            }
            if model.is_none() && work.inferences == Some(0) && sessions.is_empty() {
                return Ok(Vec::new());
            }
            tokio::select! {
                arrival = reception.next() => match arrival {
                    Arrival::Party(channel) => {
                        let peer = channel.peer().clone();
                        reporter.tell(Update::Connected { peer: peer.clone() });
                        match self.job.role(&peer)? {
                            ServiceRole::User => sessions.push(self.session(*channel, first, desk.clone(), &visitors)),
                            _ => drop(waiting.insert(peer, *channel)),
                        }
                    }
                    Arrival::Unfit(_, from, error) => reporter.tell(Update::TurnedAway { from: from.to_string(), why: error.to_string() }),
                    Arrival::TurnedAway(from, why) => reporter.tell(Update::TurnedAway { from: from.to_string(), why }),
                },
                Some(done) = OptionFuture::from(meeting.as_mut()) => {
                    meeting = None;
                    let Met { mut links, result, requests: back, answered } = done;
                    if let Some(left) = &mut work.inferences {
                        *left = left.saturating_sub(answered);
                    }
                    match self.lost_or(result, &mut links, reporter).await? {
                        true => reporter.lost(&links),
                        false => {
                            // The last answers are on their way; whoever waits for others is told that there will be none.
                            drop(back);
                            while sessions.next().await.is_some() {}
                            return Ok(links);
                        }
                    }
                    requests = Some(back);
                }
                Some(answered) = sessions.next() => match &mut work.inferences {
                    Some(left) if model.is_none() => *left = left.saturating_sub(answered),
                    _ => (),
                },
            }
        }
    }

    /// The servers meet, and work until one is lost or the work is done.
    async fn meet(
        &self,
        model: &ModelShare,
        work: Work,
        channels: BTreeMap<Party, TcpChannel>,
        mut requests: Requests,
        visitors: &Visitors<'_, '_>,
    ) -> Met {
        let mut links: Vec<_> = channels.into_values().map(Link::new).collect();
        let mut answered = 0;
        let result = match secret() {
            Err(error) => Err(error),
            Ok(secret) => {
                let mut observe = |event: Event| {
                    if let Event::Answered { inferences, .. } = &event {
                        answered = *inferences;
                    }
                    let told = visitors.reporter.observe(event);
                    visitors.tell();
                    told
                };
                let server = self.server(model, &secret);
                let done = inference::gateway(server, &self.terms, work, &mut links, &mut requests, &mut observe).await;
                done.map_err(|cause| self.failed(cause))
            }
        };
        Met {
            links,
            result,
            requests,
            answered,
        }
    }

    /// A user, until it has what it asked for or is gone; how many inputs were answered. What is wrong with it is told and hurts nobody else.
    async fn session(&self, channel: TcpChannel, first: Option<&FirstLayers>, desk: Desk, visitors: &Visitors<'_, '_>) -> u64 {
        let mut link = Link::new(channel);
        visitors.come();
        let (mut seen, mut answered) = (Traffic::default(), 0);
        let mut observe = |event: Event| {
            if let Event::Asked { traffic, .. } | Event::Predicted { traffic, .. } = event {
                visitors.moved(traffic.since(std::mem::replace(&mut seen, traffic)));
            }
            if let Event::Predicted { rows, .. } = event {
                answered = rows as u64;
            }
            Ok(())
        };
        let served = self.serve_user(first, desk, &mut link, &mut observe).await;
        visitors.moved(link.traffic().since(seen));
        visitors.go();
        match served {
            Ok(Session::Done) => link.into_channel().close().await,
            // The user comes again.
            Ok(Session::Interrupted) => link.abort(AbortReason::PeerLost).await,
            Err(error) => {
                link.abort(abort_reason(&error)).await;
                visitors.reporter.tell(Update::UserLeft {
                    user: link.peer().clone(),
                    why: error.to_string(),
                });
            }
        }
        answered
    }

    async fn serve_user(
        &self,
        first: Option<&FirstLayers>,
        mut desk: Desk,
        link: &mut Link<TcpChannel>,
        observe: &mut Observe<'_>,
    ) -> Result<Session, Error> {
        let secret = secret()?;
        let first = first.map(|first| (first, &*secret));
        let served = desk.serve(&self.terms, first, link, observe).await;
        served.map_err(|cause| self.failed(cause))
    }

    fn server<'s>(&'s self, model: &'s ModelShare, secret: &'s [u8; 32]) -> Server<'s> {
        Server {
            identity: &self.identity,
            model,
            secret,
        }
    }

    /// Whether the work ended by the loss of a server that is waited for; it and the others are told.
    async fn lost_or(
        &self,
        result: Result<(), Error>,
        links: &mut [Link<TcpChannel>],
        reporter: &Reporter<'_>,
    ) -> Result<bool, Error> {
        let Err(error) = result else { return Ok(false) };
        let lost = self.lost(&error);
        for link in links {
            link.abort(match &lost {
                Some(_) => AbortReason::PeerLost,
                None => abort_reason(&error),
            })
            .await;
        }
        match lost {
            Some(lost) => {
                reporter.tell(lost);
                Ok(true)
            }
            None => Err(error),
        }
    }
}

/// The users at the gateway, counted.
struct Visitors<'r, 'w> {
    desk: Desk,
    reporter: &'r Reporter<'w>,
    users: Cell<usize>,
    traffic: Cell<Traffic>,
    /// Users and requests as they were told last.
    told: Cell<(usize, usize)>,
}

impl<'r, 'w> Visitors<'r, 'w> {
    fn new(desk: Desk, reporter: &'r Reporter<'w>) -> Self {
        Self {
            desk,
            reporter,
            users: Cell::default(),
            traffic: Cell::default(),
            told: Cell::default(),
        }
    }

    fn come(&self) {
        self.users.set(self.users.get() + 1);
        self.tell();
    }

    fn go(&self) {
        self.users.set(self.users.get().saturating_sub(1));
        self.tell();
    }

    fn moved(&self, traffic: Traffic) {
        self.traffic.set([self.traffic.get(), traffic].into_iter().sum());
    }

    /// Tells how many there are, if that has changed.
    fn tell(&self) {
        let (users, waiting, traffic) = (self.users.get(), self.desk.waiting(), self.traffic.get());
        if self.told.replace((users, waiting)) != (users, waiting) {
            self.reporter.tell(Update::Desk { users, waiting, traffic });
        }
    }
}

/// How a meeting of the servers ended, with what is needed for the next.
struct Met {
    links: Vec<Link<TcpChannel>>,
    result: Result<(), Error>,
    requests: Requests,
    answered: u64,
}

/// For one meeting.
fn secret() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut secret = Zeroizing::new([0; 32]);
    fresh_randomness()?.fill_bytes(&mut *secret);
    Ok(secret)
}
