//! The end of a training: who may leave, and when.
//!
//! A party whose checkpoints are marked complete needs no other (`cloven_protocols`, `checkpoint`). A client then leaves at once. The server first
//! sees every client end its connection in good order: one that was lost instead may not have heard yet that the training is complete, and has
//! nobody else to hear it from.
//!
//! Under `vertical` a holder ends as a client does. Its links to other holders need no good-bye: one that is left with its last state and without the
//! mark asks the server alone whether the training is complete. A dealer or a coordinator has nothing to lose, and nobody waits for it.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use cloven_protocols::{Keep, release};
use cloven_wire::{
    Link, Party, WireError, memory,
    tcp::{Endpoint, TcpChannel},
};

use super::{Kept, Prepared, interruptible, scripts::Trained};
use crate::{Error, PartySummary, Role, Update, checkpoints, reporter::Reporter};

/// How long a party that finishes alone looks for others. One that still waits for it tries again every two seconds at least.
const LOOK: Duration = Duration::from_secs(3);

impl Prepared {
    /// What this party keeps of a training that is complete, if it is.
    pub(super) fn complete<'a, 'r>(&self, run_folder: &Path, reporter: &'a Reporter<'r>) -> Result<Option<Kept<'a, 'r>>, Error> {
        if self.job.training.checkpoint_every == 0 || !checkpoints::folder(run_folder, &self.party).exists() {
            return Ok(None);
        }
        let kept = self.kept(run_folder, reporter)?;
        Ok(kept.is_complete(self.job.schedule().end()).then_some(kept))
    }

    /// Connects to everybody for the first time in this process. A dealer or coordinator that had done everything looks only a little for others: they may all
    /// have finished without it, and then nobody comes.
    pub(super) async fn first_connection(
        &self,
        run_folder: &Path,
        peers: &[Party],
        endpoint: &mut Endpoint<'_>,
        reporter: &Reporter<'_>,
    ) -> Result<Option<BTreeMap<Party, TcpChannel>>, Error> {
        if !(self.only_serves() && checkpoints::served(run_folder, &self.party).exists()) {
            return interruptible(self.connect_to(endpoint, peers, reporter)).await.map(Some);
        }
        let usual = std::mem::replace(&mut endpoint.connect_deadline, LOOK);
        let found = interruptible(self.connect_to(endpoint, peers, reporter)).await;
        endpoint.connect_deadline = usual;
        match found {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            found => Ok(found.ok()),
        }
    }

    /// Whether this party is a dealer or a coordinator, who has no part of the result.
    pub(super) fn only_serves(&self) -> bool {
        matches!(self.role, Role::Dealer | Role::Coordinator)
    }

    /// Notes that this dealer or coordinator has done everything, until the run is finished.
    pub(super) fn note_served(&self, run_folder: &Path) -> Result<(), Error> {
        let path = checkpoints::served(run_folder, &self.party);
        match path.parent().is_some_and(Path::exists) {
            true => crate::files::write(&path, b"all done\n", true),
            // The job keeps nothing.
            false => Ok(()),
        }
    }

    /// At a dealer, who may have dealt long before the others are done, or a coordinator: waits until the server ends the connection in good order. If it is
    /// lost instead, it is needed again.
    pub(super) async fn outlast_server(&self, links: &mut [Link<TcpChannel>]) -> Result<(), Error> {
        let server = self.job.of_role(Role::Server).next();
        let Some(link) = links.iter_mut().find(|link| Some(link.peer()) == server) else {
            return Ok(());
        };
        let party = link.peer().clone();
        match link.channel_mut().ended_by_peer_within(Duration::MAX).await {
            true => Ok(()),
            false => Err(self.failed(WireError::Closed {
                party,
                what: "the end of the training",
                round: 0,
                cause: "the connection broke".into(),
            })),
        }
    }

    /// What a holder keeps of a training whose end it may have missed, once it has heard of it from the server.
    pub(super) async fn at_the_end<'a, 'r>(
        &self,
        run_folder: &Path,
        endpoint: &mut Endpoint<'_>,
        reporter: &'a Reporter<'r>,
    ) -> Result<Option<Kept<'a, 'r>>, Error> {
        let keeps = self.rows.is_some() && checkpoints::folder(run_folder, &self.party).exists();
        if self.job.training.checkpoint_every == 0 || !keeps {
            return Ok(None);
        }
        let kept = self.kept(run_folder, reporter)?;
        let heard = self.hears_of_the_end(&kept, endpoint, reporter).await;
        Ok(heard.then_some(kept))
    }

    /// Whether a holder with its last state hears from the server, who may be the only one that is still there, that the training is complete.
    pub(super) async fn hears_of_the_end(
        &self,
        kept: &Kept<'_, '_>,
        endpoint: &mut Endpoint<'_>,
        reporter: &Reporter<'_>,
    ) -> bool {
        let has_last = kept
            .links
            .iter()
            .any(|link| link.positions().contains(&self.job.schedule().end()));
        if self.rows.is_none() || !has_last {
            return false;
        }
        let usual = (endpoint.connect_deadline, endpoint.message_deadline);
        (endpoint.connect_deadline, endpoint.message_deadline) = (LOOK, LOOK);
        kept.ending.set(true);
        let _ = interruptible(self.report_back(kept, endpoint, reporter)).await;
        kept.ending.set(false);
        (endpoint.connect_deadline, endpoint.message_deadline) = usual;
        kept.is_complete(self.job.schedule().end())
    }

    /// This party's trained layers out of its last checkpoint.
    pub(super) async fn last_state(&self, kept: &Kept<'_, '_>, reporter: &Reporter<'_>) -> Result<Trained, Error> {
        // Scripts want a link; alone, they leave it as it is.
        let nowhere = |peer: Party| Link::new(memory::pair(self.party.clone(), peer).0);
        let mut links: Vec<_> = self.peers().into_iter().map(nowhere).collect();
        kept.alone.set(true);
        let trained = self.script(&mut links, kept, reporter).await;
        kept.alone.set(false);
        trained
    }

    /// Writes the weights from the last checkpoint; then looks for parties that may not know that the training is complete.
    pub(super) async fn finish_alone(
        &self,
        kept: Kept<'_, '_>,
        endpoint: &mut Endpoint<'_>,
        run_folder: &Path,
        reporter: &Reporter<'_>,
    ) -> Result<PartySummary, Error> {
        let begun = Instant::now();
        let trained = self.last_state(&kept, reporter).await?;
        self.save(&trained, run_folder)?;
        reporter.tell(Update::Alone);
        let missing = match self.role {
            Role::Server => self.release(self.kept_by(), LOOK, endpoint, reporter).await,
            Role::Client | Role::Holder | Role::LabelHolder | Role::Dealer | Role::Coordinator | Role::Worker => {
                endpoint.connect_deadline = LOOK;
                // A server that still waits for this client need not wait any longer. It has its own weights, whether it is there or not.
                let _ = interruptible(self.report_back(&kept, endpoint, reporter)).await;
                Vec::new()
            }
        };
        Ok(PartySummary {
            emulate: self.local.emulate,
            unreached: missing,
            ..reporter.summary(self.role, begun.elapsed(), &[] as &[Link<TcpChannel>])
        })
    }

    /// Says good-bye; returns the clients that could not be told that the training is complete.
    pub(super) async fn part(
        &self,
        channels: Vec<TcpChannel>,
        endpoint: &mut Endpoint<'_>,
        reporter: &Reporter<'_>,
    ) -> Vec<Party> {
        let waits = self.role == Role::Server && self.job.training.checkpoint_every > 0;
        let mut lost = Vec::new();
        for mut channel in channels {
            let keeps = self
                .job
                .role(cloven_wire::Channel::peer(&channel))
                .is_ok_and(Role::keeps_state);
            if waits && keeps && !channel.ended_by_peer().await {
                lost.push(cloven_wire::Channel::peer(&channel).clone());
            }
            channel.close().await;
        }
        let patience = self.local.deadlines.reconnect();
        for peer in &lost {
            reporter.tell(Update::Lost {
                peer: peer.clone(),
                why: format!("{peer} was lost when the training was complete"),
                seconds: patience.as_secs(),
            });
        }
        self.release(lost, patience, endpoint, reporter).await
    }

    /// The peers that have something to finish.
    fn kept_by(&self) -> Vec<Party> {
        let keeps = |peer: &Party| self.job.parties.get(peer).is_some_and(|role| role.keeps_state());
        self.peers().into_iter().filter(keeps).collect()
    }

    /// At the server: tells clients that the training is complete; returns those that did not come.
    async fn release(
        &self,
        clients: Vec<Party>,
        patience: Duration,
        endpoint: &mut Endpoint<'_>,
        reporter: &Reporter<'_>,
    ) -> Vec<Party> {
        endpoint.connect_deadline = patience;
        let mut missing = Vec::new();
        for client in clients {
            let released = interruptible(self.release_one(&client, endpoint, reporter)).await;
            if released.is_err() {
                let (peer, seconds) = (client.clone(), patience.as_secs());
                reporter.tell(Update::Unreached { peer, seconds });
                missing.push(client);
            }
        }
        missing
    }

    /// Until the client has ended its connection in good order.
    async fn release_one(&self, client: &Party, endpoint: &Endpoint<'_>, reporter: &Reporter<'_>) -> Result<(), Error> {
        // Holders have the same rows: to each it is as if it were the only one.
        let clients = self.job.clients().count().max(1) as u32;
        let begun = Instant::now();
        loop {
            let channels = self.connect_to(endpoint, std::slice::from_ref(client), reporter).await?;
            for channel in channels.into_values() {
                let mut link = Link::new(channel);
                let told = release(self.job.schedule(), clients, &mut link).await.is_ok();
                let mut channel = link.into_channel();
                let ended = told && channel.ended_by_peer().await;
                channel.close().await;
                // One that comes and breaks off again and again is not waited for without end.
                if ended || begun.elapsed() > endpoint.connect_deadline {
                    return Ok(());
                }
            }
        }
    }

    /// At a client that has its weights: goes through the end once more with the server.
    async fn report_back(&self, kept: &Kept<'_, '_>, endpoint: &Endpoint<'_>, reporter: &Reporter<'_>) -> Result<(), Error> {
        let channels = self.connect_to(endpoint, &self.kept_for(), reporter).await?;
        let mut links: Vec<_> = channels.into_values().map(Link::new).collect();
        self.script(&mut links, kept, reporter).await?;
        for link in links {
            link.into_channel().close().await;
        }
        Ok(())
    }
}
