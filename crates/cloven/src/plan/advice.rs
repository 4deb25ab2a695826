//! From forecasts to figures by cut, the recommended one, and what speaks against the others.

use std::collections::BTreeMap;

use cloven_wire::Party;

use super::{
    ClientRows, CutPlan, PartyPlan, Plan,
    cache::Machine,
    candidates::packing,
    margin, memory,
    predict::{Forecast, Part},
};
use crate::{Error, Job, Role};

/// The limit that a cap on memory is.
const MEMORY: &str = "memory";

impl Forecast<'_> {
    /// Bytes of all parties in an epoch's training, the mean.
    pub(super) fn bytes_per_epoch(&self) -> u64 {
        let traffic = self.training_bytes();
        self.all_clients(traffic.sent + traffic.received) / u64::from(self.job.training.epochs)
    }

    fn all_clients(&self, of_one: u64) -> u64 {
        of_one * self.job.clients().count() as u64
    }
}

impl CutPlan {
    pub(super) fn new(
        forecast: &Forecast<'_>,
        layers: [usize; 2],
        machine: &Machine,
        clients: &ClientRows,
    ) -> Result<Self, Error> {
        let job = forecast.job;
        let seconds = forecast.seconds();
        let epochs = job.training.epochs;
        let evaluations = match clients.rows[1] {
            0 => 0,
            _ => (1..=epochs).filter(|epoch| job.schedule().evaluates_after(*epoch)).count(),
        };
        let (setup, evaluation) = (forecast.setup_bytes(), forecast.evaluation_bytes());
        let parts = forecast.parts();
        let parts: BTreeMap<String, f64> = parts.into_iter().map(|(part, saved)| (name(job, part), saved)).collect();
        let limit = parts.iter().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(Self {
            layers,
            packing: packing(job),
            of_job: false,
            seconds_per_epoch: seconds.training,
            seconds_per_evaluation: seconds.evaluation,
            seconds_setup: seconds.setup,
            seconds_total: seconds.setup + f64::from(epochs) * seconds.training + evaluations as f64 * seconds.evaluation,
            bytes_per_epoch: forecast.bytes_per_epoch(),
            bytes_setup: forecast.all_clients(setup.sent + setup.received),
            bytes_per_evaluation: forecast.all_clients(evaluation.sent + evaluation.received),
            parties: parties(forecast, machine, clients)?,
            limit: limit.map(|(part, _)| part.clone()).unwrap_or_default(),
            parts,
            why: String::new(),
            params: job.encryption_parameters(None)?,
            noise: margin::noise(job)?,
            leaks: job.leaks(),
        })
    }

    /// The parties whose caps are exceeded, with what they need and may have.
    fn over(&self) -> Vec<(&Party, u64, u64)> {
        let over = |(party, plan): (_, &PartyPlan)| {
            let (needs, cap) = (plan.peak_rss_bytes?, plan.memory_cap?);
            (needs > cap).then_some((party, needs, cap))
        };
        self.parties.iter().filter_map(over).collect()
    }
}

fn parties(forecast: &Forecast<'_>, machine: &Machine, clients: &ClientRows) -> Result<BTreeMap<Party, PartyPlan>, Error> {
    let job = forecast.job;
    let spent = forecast.seconds().spent;
    let [client, server] = memory::state(job, clients.rows, Some(forecast.rehearsed))?;
    let peaks = [
        // What loading takes for a while is free again when training begins.
        machine
            .base
            .client
            .map(|base| base + clients.loaded.unwrap_or(0).max(clients.held + client)),
        machine.base.server.map(|base| base + server),
    ];
    let (training, setup) = (forecast.training_bytes(), forecast.setup_bytes());
    let one = |(party, role): (&Party, &Role)| {
        let side = usize::from(*role == Role::Server);
        let of = |traffic: cloven_wire::Traffic| match role {
            Role::Client | Role::Holder | Role::LabelHolder | Role::Dealer | Role::Coordinator | Role::Worker => traffic.sent,
            Role::Server => traffic.received * job.clients().count() as u64,
        };
        let plan = PartyPlan {
            role: *role,
            working: spent[side].working,
            carrying: spent[side].carrying,
            waiting: spent[side].waiting,
            bytes_per_epoch: of(training) / u64::from(job.training.epochs),
            bytes_setup: of(setup),
            peak_rss_bytes: peaks[side],
            memory_cap: clients.caps.get(party).copied(),
        };
        (party.clone(), plan)
    };
    Ok(job.parties.iter().map(one).collect())
}

/// Picks the fastest cut within the caps and says of each cut why.
pub(super) fn advise(plan: &mut Plan) {
    let within = |cut: &&(usize, &CutPlan)| cut.1.over().is_empty();
    let cuts: Vec<(usize, &CutPlan)> = plan.cuts.iter().enumerate().collect();
    let best = cuts
        .iter()
        .filter(within)
        .min_by(|a, b| a.1.seconds_per_epoch.total_cmp(&b.1.seconds_per_epoch));
    plan.recommended = best.map(|(index, _)| *index);
    let best = plan.recommended.map(|index| plan.cuts[index].clone());
    for (index, cut) in plan.cuts.iter_mut().enumerate() {
        let over: Vec<String> = cut
            .over()
            .into_iter()
            .map(|(party, needs, cap)| format!("{party} needs {} MB, its cap is {} MB", needs / 1_000_000, cap / 1_000_000))
            .collect();
        cut.why = match &best {
            _ if !over.is_empty() => {
                MEMORY.clone_into(&mut cut.limit);
                over.join("; ")
            }
            Some(best) if plan.recommended == Some(index) => wins(best),
            Some(best) => loses(cut, best),
            None => String::new(),
        };
    }
}

fn wins(cut: &CutPlan) -> String {
    let saved = cut.parts.get(&cut.limit).copied().unwrap_or(0.0);
    let share = 100.0 * saved / cut.seconds_per_epoch.max(f64::MIN_POSITIVE);
    format!("the fastest; what binds it is {} ({share:.0} % of an epoch)", cut.limit)
}

/// Of what an epoch's time is made of, that which is most above the same in the best cut.
fn loses(cut: &CutPlan, best: &CutPlan) -> String {
    let excess = |part: &str| cut.parts.get(part).unwrap_or(&0.0) - best.parts.get(part).unwrap_or(&0.0);
    let worst = cut.parts.keys().max_by(|a, b| excess(a).total_cmp(&excess(b)));
    let slower = format!(
        "{:.2} times the epoch of {}",
        cut.seconds_per_epoch / best.seconds_per_epoch,
        best.described()
    );
    let Some(worst) = worst.filter(|worst| excess(worst) > 0.0) else {
        return slower;
    };
    format!(
        "{slower}: {worst} costs {} of it, there {}",
        seconds(cut.parts[worst]),
        seconds(best.parts.get(worst).copied().unwrap_or(0.0))
    )
}

fn seconds(seconds: f64) -> String {
    match seconds < 1.0 {
        true => format!("{:.1} ms", seconds * 1e3),
        false => format!("{seconds:.2} s"),
    }
}

fn name(job: &Job, part: Part) -> String {
    let computing = |role: Role| {
        let parties: Vec<&Party> = job
            .parties
            .iter()
            .filter(|(_, r)| **r == role)
            .map(|(party, _)| party)
            .collect();
        match parties[..] {
            [only] => format!("computing of {only}"),
            _ => "computing of the clients".to_owned(),
        }
    };
    match part {
        Part::Client => computing(Role::Client),
        Part::Server => computing(Role::Server),
        Part::Bandwidth => "bandwidth".to_owned(),
        Part::Latency => "latency".to_owned(),
        Part::Messages => "messages".to_owned(),
    }
}
