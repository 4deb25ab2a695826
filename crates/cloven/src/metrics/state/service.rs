//! What is known of a server of a service, out of its updates.

use std::{collections::BTreeMap, time::SystemTime};

use cloven_wire::{Party, Traffic};

use super::{
    super::page::{
        Kind::{Counter, Gauge},
        Page,
    },
    seconds, show,
};
use crate::{
    Error, Stamped, Update,
    reporter::{Figure, ServiceFigures},
    service::{PROTOCOL, ServiceJob, ServiceRole},
};

/// Work of one server. Counters count in this process.
pub(in crate::metrics) struct ServiceState {
    party: Party,
    role: ServiceRole,
    digest: String,
    dataset: String,
    begun: f64,
    updated: f64,
    stage: Stage,
    exit_code: Option<u8>,
    figures: ServiceFigures,
    /// Prepared inferences that wait to be used.
    ready: usize,
    /// How many are kept, at the gateway.
    wanted: Option<usize>,
    users: usize,
    waiting: usize,
    user_traffic: Traffic,
    users_left: u64,
    /// The other servers.
    connected: BTreeMap<Party, bool>,
    lost: BTreeMap<Party, u64>,
    turned_away: u64,
}

/// What a server is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Serving,
    Waiting,
    Finished,
    Failed,
}

const STAGES: [(Stage, &str); 5] = [
    (Stage::Connecting, "connecting"),
    (Stage::Serving, "serving"),
    (Stage::Waiting, "waiting"),
    (Stage::Finished, "finished"),
    (Stage::Failed, "failed"),
];

impl ServiceState {
    pub(in crate::metrics) fn new(job: &ServiceJob, party: &Party, now: SystemTime) -> Result<Self, Error> {
        let others: Vec<&Party> = job.servers().filter(|server| *server != party).collect();
        Ok(Self {
            party: party.clone(),
            role: job.role(party)?,
            digest: job.digest_hex(),
            dataset: job.data.name.clone(),
            begun: seconds(now),
            updated: seconds(now),
            stage: Stage::Connecting,
            exit_code: None,
            figures: ServiceFigures::default(),
            ready: 0,
            wanted: None,
            users: 0,
            waiting: 0,
            user_traffic: Traffic::default(),
            users_left: 0,
            connected: others.iter().map(|other| ((*other).clone(), false)).collect(),
            lost: others.iter().map(|other| ((*other).clone(), 0)).collect(),
            turned_away: 0,
        })
    }

    /// The server failed.
    pub(in crate::metrics) fn fail(&mut self, exit_code: u8, now: SystemTime) {
        (self.stage, self.exit_code, self.updated) = (Stage::Failed, Some(exit_code), seconds(now));
    }

    /// Takes an update in.
    pub(in crate::metrics) fn absorb(&mut self, Stamped { update, .. }: &Stamped, now: SystemTime) {
        self.updated = seconds(now);
        match update {
            Update::Connected { peer } => {
                // Users come and go.
                if let Some(connected) = self.connected.get_mut(peer) {
                    *connected = true;
                }
            }
            Update::TurnedAway { .. } => self.turned_away += 1,
            Update::Lost { peer, .. } => {
                self.stage = Stage::Waiting;
                *self.lost.entry(peer.clone()).or_default() += 1;
                self.connected.values_mut().for_each(|connected| *connected = false);
                self.ready = 0;
            }
            Update::Met { figures } => {
                (self.stage, self.figures, self.ready) = (Stage::Serving, *figures, 0);
            }
            Update::Prepared { ready, wanted, figures } => {
                (self.ready, self.figures) = (*ready, *figures);
                self.wanted = (self.role == ServiceRole::Gateway).then_some(*wanted);
            }
            Update::Answered { ready, figures, .. } => (self.ready, self.figures) = (*ready, *figures),
            Update::Desk { users, waiting, traffic } => {
                (self.users, self.waiting, self.user_traffic) = (*users, *waiting, *traffic);
            }
            Update::UserLeft { .. } => self.users_left += 1,
            Update::Served { .. } => (self.stage, self.exit_code) = (Stage::Finished, Some(0)),
            Update::Failed { exit_code, .. } => self.fail(*exit_code, now),
            _ => (),
        }
    }

    /// The page.
    pub(in crate::metrics) fn page(&self) -> String {
        let common = [("party", self.party.as_str()), ("protocol", PROTOCOL)];
        let mut page = Page::new(&common);
        let facts = [("job", &*self.digest), ("role", self.role.name()), ("dataset", &self.dataset)];
        let stages = STAGES.map(|(stage, name)| (name, stage == self.stage));
        show::about(&mut page, &facts, [self.begun, self.updated], &stages, self.exit_code);
        self.work(&mut page);
        if self.role == ServiceRole::Gateway {
            self.desk(&mut page);
        }
        show::memory(&mut page);
        show::links(&mut page, &self.connected, &self.lost, self.turned_away);
        page.finish()
    }

    fn work(&self, page: &mut Page<'_>) {
        let help = "Prepared inferences that wait for a request.";
        page.family("cloven_pool_inferences", Gauge, help)
            .sample(&[], self.ready as f64);
        let help = "How many prepared inferences are kept: the pool's bound, known to the gateway.";
        page.family("cloven_pool_bound", Gauge, help)
            .known(&[], self.wanted.map(|wanted| wanted as f64));
        let ServiceFigures {
            meeting,
            preparing,
            answering,
        } = self.figures;
        let mut counter = |name, help, value: u64| {
            page.family(name, Counter, help).sample(&[], value as f64);
        };
        counter("cloven_meetings_total", "How often the servers have met.", meeting.times);
        counter(
            "cloven_inferences_prepared_total",
            "Inferences that were prepared.",
            preparing.times,
        );
        counter(
            "cloven_inferences_answered_total",
            "Inferences that were answered.",
            answering.times,
        );
        let phases = [("meeting", meeting), ("preparing", preparing), ("answering", answering)];
        let mut by_phase = |name, help, of: fn(&Figure) -> f64| {
            let mut family = page.family(name, Counter, help);
            for (phase, figure) in &phases {
                family.sample(&[("phase", phase)], of(figure));
            }
        };
        by_phase(
            "cloven_sent_bytes_total",
            "Bytes sent to the other servers at the socket, below TLS.",
            |figure| figure.traffic.sent as f64,
        );
        by_phase(
            "cloven_received_bytes_total",
            "Bytes received from the other servers at the socket, below TLS.",
            |figure| figure.traffic.received as f64,
        );
        by_phase(
            "cloven_phase_seconds_total",
            "Seconds spent, waiting for other parties included.",
            |figure| figure.seconds,
        );
    }

    fn desk(&self, page: &mut Page<'_>) {
        let mut gauge = |name, help, value: usize| {
            page.family(name, Gauge, help).sample(&[], value as f64);
        };
        gauge("cloven_users_connected", "Users that are connected.", self.users);
        gauge(
            "cloven_requests_waiting",
            "Users' inputs that came and are not answered.",
            self.waiting,
        );
        let mut counter = |name, help, value: u64| {
            page.family(name, Counter, help).sample(&[], value as f64);
        };
        counter(
            "cloven_users_failed_total",
            "Users that left before they had all answers, or sent what they may not.",
            self.users_left,
        );
        counter(
            "cloven_user_sent_bytes_total",
            "Bytes sent to users at the socket, below TLS.",
            self.user_traffic.sent,
        );
        counter(
            "cloven_user_received_bytes_total",
            "Bytes received from users at the socket, below TLS.",
            self.user_traffic.received,
        );
    }
}
