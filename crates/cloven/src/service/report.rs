//! What the parties of a service have to report.

use std::{collections::BTreeMap, time::Duration};

use cloven_nn::Evaluation;
use cloven_protocols::{LayerBytes, Leak};
use cloven_wire::{Link, MessageTraffic, Party, Traffic, tcp::TcpChannel};
use serde::{Deserialize, Serialize};

use super::job::{ServiceJob, ServiceRole};
use crate::reporter::{Reporter, ServiceFigures, peak_rss_bytes};

/// What a server has to report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its part.
    pub role: ServiceRole,
    /// Seconds from its start to the end.
    pub seconds_total: f64,
    /// What took how long, and how many bytes, with the other servers.
    pub figures: ServiceFigures,
    /// Bytes that it sent the other servers for each layer of the network.
    #[serde(default)]
    pub layers: Vec<LayerBytes>,
    /// Bytes with the other servers in all.
    pub traffic: Traffic,
    /// Messages and their bytes (header and payload, before TLS) to the other servers, by name.
    pub sent_by_message: BTreeMap<String, MessageTraffic>,
    /// Largest resident memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
}

impl ServerReport {
    pub(super) fn new(role: ServiceRole, seconds: Duration, reporter: &Reporter<'_>, links: &[Link<TcpChannel>]) -> Self {
        let (figures, layers, traffic, sent_by_message) = reporter.service(links);
        Self {
            role,
            seconds_total: seconds.as_secs_f64(),
            figures,
            layers,
            traffic,
            sent_by_message,
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

/// What a user has to report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserReport {
    /// Inputs answered.
    pub rows: usize,
    /// Seconds from its start to the end.
    pub seconds_total: f64,
    /// Seconds from each question to its answer, in order.
    pub seconds: Vec<f64>,
    /// Seconds that each question was prepared before, in order, where the gateway has layers of its own.
    #[serde(default)]
    pub seconds_preparing: Vec<f64>,
    /// Bytes at the socket.
    pub traffic: Traffic,
    /// Largest resident memory of the process, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// How good the answers are, where the rows carried labels and the answers are scores.
    pub evaluation: Option<Evaluation>,
    /// The part of the labelled rows whose class was told right; null without labels or classes.
    pub accuracy: Option<f64>,
}

/// All parties of a service on one machine, as `summary.json` and `--json` give it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// The version of cloven.
    pub version: String,
    /// The job's digest.
    pub job: String,
    /// `secure-inference`.
    pub protocol: String,
    /// The name of the data set.
    pub dataset: String,
    /// Servers, the gateway among them.
    pub servers: usize,
    /// Inputs answered, of all users.
    pub rows: usize,
    /// The part of the labelled rows whose class was told right.
    pub accuracy: Option<f64>,
    /// The same of the network as it was trained, in floating point, on all test rows.
    pub accuracy_floating_point: Option<f64>,
    /// Whether every answer is what the fixed-point network gives in the clear, bit for bit; null where that is not known here.
    pub equal_to_fixed_point: Option<bool>,
    /// Wall time in all.
    pub seconds_total: f64,
    /// Seconds of the servers' meeting, at the gateway.
    pub seconds_meeting: f64,
    /// Seconds to prepare one inference, at the gateway.
    pub seconds_preparing: f64,
    /// Seconds of the servers' work on one input, at the gateway.
    pub seconds_answering: f64,
    /// Median seconds from a user's question to its answer.
    pub seconds_user: f64,
    /// Median seconds that a user prepares with the gateway before, where the gateway has layers of its own.
    pub seconds_user_preparing: f64,
    /// Bytes that all servers together sent each other: when they met, to prepare one inference, and to answer one.
    pub bytes_meeting: u64,
    /// As above.
    pub bytes_preparing: u64,
    /// As above.
    pub bytes_answering: u64,
    /// The last two by layer of the network, and what is no layer's.
    #[serde(default)]
    pub layers: Vec<LayerBytes>,
    /// Bytes between a user and the gateway for one input.
    pub bytes_user: u64,
    /// Largest resident memory of each party's process.
    pub peak_rss_bytes: BTreeMap<Party, Option<u64>>,
    /// Messages and bytes (before TLS) between servers, by sender and name.
    pub messages_sent: BTreeMap<Party, BTreeMap<String, MessageTraffic>>,
    /// What each party learns.
    pub leaks: Vec<Leak>,
}

impl ServiceSummary {
    /// Combines what the parties report; `seconds_total` is the caller's own measurement.
    pub(super) fn new(
        job: &ServiceJob,
        servers: &BTreeMap<Party, ServerReport>,
        users: &BTreeMap<Party, UserReport>,
        seconds_total: f64,
    ) -> Self {
        let gateway = servers.values().find(|server| server.role == ServiceRole::Gateway);
        let figures = gateway.map(|gateway| gateway.figures).unwrap_or_default();
        let each = |figure: crate::reporter::Figure| figure.seconds / figure.times.max(1) as f64;
        let sent = |which: fn(&ServiceFigures) -> crate::reporter::Figure| -> u64 {
            let one = |server: &ServerReport| which(&server.figures).traffic.sent / which(&server.figures).times.max(1);
            servers.values().map(one).sum()
        };
        let rows: usize = users.values().map(|user| user.rows).sum();
        let user_bytes: u64 = users.values().map(|user| user.traffic.sent + user.traffic.received).sum();
        let median = |of: fn(&UserReport) -> &Vec<f64>| -> f64 {
            let mut all: Vec<f64> = users.values().flat_map(|user| of(user).iter().copied()).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(0.0)
        };
        let right: f64 = users
            .values()
            .filter_map(|user| Some(user.accuracy? * user.rows as f64))
            .sum();
        let memory = servers.iter().map(|(party, server)| (party.clone(), server.peak_rss_bytes));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            job: job.digest_hex(),
            protocol: super::job::PROTOCOL.to_owned(),
            dataset: job.data.name.clone(),
            servers: servers.len(),
            rows,
            accuracy: users
                .values()
                .any(|user| user.accuracy.is_some())
                .then(|| right / rows.max(1) as f64),
            accuracy_floating_point: None,
            equal_to_fixed_point: None,
            seconds_total,
            seconds_meeting: each(figures.meeting),
            seconds_preparing: each(figures.preparing),
            seconds_answering: each(figures.answering),
            seconds_user: median(|user| &user.seconds),
            seconds_user_preparing: median(|user| &user.seconds_preparing),
            bytes_meeting: sent(|figures| figures.meeting),
            bytes_preparing: sent(|figures| figures.preparing),
            bytes_answering: sent(|figures| figures.answering),
            layers: by_layer(servers),
            bytes_user: user_bytes / rows.max(1) as u64,
            peak_rss_bytes: memory
                .chain(users.iter().map(|(party, user)| (party.clone(), user.peak_rss_bytes)))
                .collect(),
            messages_sent: servers
                .iter()
                .map(|(party, server)| (party.clone(), server.sent_by_message.clone()))
                .collect(),
            leaks: job.leaks().unwrap_or_default(),
        }
    }
}

/// What all servers sent for each layer, to prepare one inference and to answer one.
fn by_layer(servers: &BTreeMap<Party, ServerReport>) -> Vec<LayerBytes> {
    let mut all: Vec<LayerBytes> = Vec::new();
    for ServerReport { layers, figures, .. } in servers.values() {
        for (place, layer) in layers.iter().enumerate() {
            if all.len() == place {
                let layer = layer.layer.clone();
                all.push(LayerBytes {
                    layer,
                    preparing: 0,
                    answering: 0,
                });
            }
            all[place].preparing += layer.preparing / figures.preparing.times.max(1);
            all[place].answering += layer.answering / figures.answering.times.max(1);
        }
    }
    all
}
