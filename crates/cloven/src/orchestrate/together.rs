//! Parties at work together, each as a process of its own, over mutual TLS on loopback.

use std::{collections::BTreeMap, ffi::OsString, path::Path, process::ExitStatus};

use cloven_wire::{Particulars, Party};
use tracing::warn;

use super::crew::{Crew, News};
use crate::{Error, Local, Logs, Program, PublicIdentity, Role, RosterFile, Stamped, Update, identity, party::interrupted};

/// So often a party's process may be killed without progress before the run fails.
const DEATHS: u32 = 3;

/// What each party keeps to itself.
pub(crate) type Locals = BTreeMap<Party, Local>;

/// What parties do together, each as a process of its own.
pub(crate) struct Errand<'a> {
    /// The digest of the job, which every party accepts.
    pub(crate) digest: String,
    /// Every party of the job: each pins all others.
    pub(crate) parties: Vec<Party>,
    /// The `cloven` program.
    pub(crate) program: &'a Program,
    /// Everybody's place, in the order in which they start.
    pub(crate) places: Vec<Place>,
    /// What each party keeps to itself.
    pub(crate) locals: &'a Locals,
    /// Whether a party whose process is killed is started again.
    pub(crate) restart: bool,
    /// Whether every party serves its metrics.
    pub(crate) metrics: bool,
    /// What every party's process logs.
    pub(crate) logs: Option<&'a Logs>,
    /// The verb of a party and what belongs to it. Who it is, its consent, its settings and `--events` are added.
    pub(crate) arguments: &'a dyn Fn(&Party) -> Vec<OsString>,
}

/// How a party gets to the others.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) party: Party,
    /// Whether it finds nobody, and is not waited for, when it is started again after the others have all that they need of it.
    pub(crate) dispensable: bool,
    /// Whether the others may go on without it when it fails: then its failure alone is not that of all.
    pub(crate) replaceable: bool,
    /// Whether others dial it.
    pub(crate) listens: bool,
    /// Whom it dials: it starts when all of these listen.
    pub(crate) dials: Vec<Party>,
}

impl Place {
    /// Clients dial servers.
    pub(crate) fn stars(servers: &[Party], clients: &[(Party, Role)]) -> Vec<Self> {
        let server = |party: &Party| Self {
            party: party.clone(),
            dispensable: false,
            replaceable: false,
            listens: true,
            dials: Vec::new(),
        };
        let client = |(party, role): &(Party, Role)| Self {
            party: party.clone(),
            dispensable: !role.keeps_state(),
            replaceable: *role == Role::Worker,
            listens: false,
            dials: servers.to_vec(),
        };
        servers.iter().map(server).chain(clients.iter().map(client)).collect()
    }

    /// Each dials all that started before it.
    pub(crate) fn mesh(parties: &[(Party, Role)]) -> Vec<Self> {
        let place = |(number, (party, role)): (usize, &(Party, Role))| Self {
            party: party.clone(),
            dispensable: !role.keeps_state(),
            replaceable: false,
            listens: number + 1 < parties.len(),
            dials: parties[..number].iter().map(|(other, _)| other.clone()).collect(),
        };
        parties.iter().enumerate().map(place).collect()
    }
}

/// Starts every party's process and waits until each has finished: `finished` says what a party reports with the update that ends its work.
/// When one fails, the others are ended, and the error is the root cause.
pub(crate) async fn together<T>(
    errand: &Errand<'_>,
    watch: &mut dyn FnMut(&Stamped) -> Result<(), Error>,
    finished: &dyn Fn(Update) -> Option<T>,
) -> Result<BTreeMap<Party, T>, Error> {
    let private = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    make_identities(&errand.parties, private.path())?;
    let mut crew = Crew::new(errand, private.path());
    crew.start_ready()?;
    let mut done = BTreeMap::new();
    let mut first_failure = None;
    let mut deaths = BTreeMap::new();
    let replaceable = |party: &Party| errand.places.iter().any(|place| place.party == *party && place.replaceable);
    // Of those who may be replaced, how the last one failed.
    let mut replaced = None;
    let awaits = |place: &Place, done: &BTreeMap<Party, T>, deaths: &BTreeMap<Party, u32>| {
        let idle = place.dispensable && deaths.contains_key(&place.party);
        !idle && !done.contains_key(&place.party)
    };
    // One for the whole run: a signal that comes while an update is told is not lost.
    let interrupt = interrupted();
    tokio::pin!(interrupt);
    while first_failure.is_none() && errand.places.iter().any(|place| awaits(place, &done, &deaths)) {
        let (party, news) = tokio::select! {
            news = crew.news.recv() => news.expect("the crew holds a sender"),
            () = &mut interrupt => {
                crew.end().await;
                return Err(Error::Interrupted);
            }
        };
        match news {
            News::Update(stamped) => {
                watch(&stamped)?;
                if matches!(
                    stamped.update,
                    Update::Batch { .. } | Update::Epoch { .. } | Update::Predicted { .. }
                ) {
                    deaths.remove(&party);
                }
                match stamped.update {
                    Update::Metrics { address } => crew.serves(&party, &address),
                    Update::Listening { address } => {
                        crew.listens(party, address);
                        crew.start_ready()?;
                    }
                    Update::Failed {
                        message,
                        exit_code,
                        particulars,
                    } if replaceable(&party) => {
                        deaths.insert(party.clone(), DEATHS);
                        watch(&Stamped {
                            party: party.clone(),
                            at: stamped.at,
                            update: Update::Warning { text: message.clone() },
                        })?;
                        replaced = Some(Error::Party {
                            party,
                            message,
                            exit_code,
                            particulars,
                        });
                    }
                    Update::Failed {
                        message,
                        exit_code,
                        particulars,
                    } => {
                        first_failure = Some(Error::Party {
                            party,
                            message,
                            exit_code,
                            particulars,
                        })
                    }
                    other => {
                        if let Some(report) = finished(other) {
                            done.insert(party, report);
                        }
                    }
                }
            }
            News::Ended(_) if done.contains_key(&party) => (),
            News::Ended(Some(status)) if errand.restart && killed(status) && deaths.get(&party).is_none_or(|n| *n < DEATHS) => {
                *deaths.entry(party.clone()).or_insert(0) += 1;
                warn!(%party, "a party's process was killed; starting it again");
                watch(&Stamped {
                    party: party.clone(),
                    at: 0.0,
                    update: Update::Restarted,
                })?;
                crew.start_again(&party)?;
            }
            News::Ended(status) if replaceable(&party) => {
                deaths.entry(party.clone()).or_insert(DEATHS);
                replaced.get_or_insert_with(|| died(party, status));
            }
            News::Ended(status) => first_failure = Some(died(party, status)),
        }
    }
    match first_failure {
        None => {
            crew.end().await;
            Ok(done)
        }
        Some(failure) => {
            let others = crew.end().await.into_iter().chain(replaced).collect();
            Err(root_cause(failure, others))
        }
    }
}

/// A connection that broke is mostly the consequence of another party's failure: prefer that one.
fn root_cause(first: Error, others: Vec<Error>) -> Error {
    let consequence = |error: &Error| error.exit_code() == 6;
    match consequence(&first) {
        true => others.into_iter().find(|other| !consequence(other)).unwrap_or(first),
        false => first,
    }
}

/// Whether a process ended by a signal, and so had no chance to report a failure of its own.
fn killed(status: ExitStatus) -> bool {
    status.code().is_none()
}

pub(super) fn died(party: Party, status: Option<ExitStatus>) -> Error {
    let how = status.map_or("for an unknown reason".to_owned(), |s| format!("({s})"));
    Error::Party {
        message: format!("{party}: its process ended early {how}"),
        particulars: Box::new(Particulars {
            party: Some(party.clone()),
            ..Particulars::default()
        }),
        party,
        exit_code: 1,
    }
}

/// A folder per party with a fresh key, and every other party pinned in its roster.
fn make_identities(parties: &[Party], private: &Path) -> Result<(), Error> {
    let identities: Vec<PublicIdentity> = parties
        .iter()
        .map(|party| identity::create(party, &private.join(party.as_str())))
        .collect::<Result<_, _>>()?;
    for party in parties {
        let mut roster = RosterFile::default();
        for other in identities.iter().filter(|i| i.party != *party) {
            roster.add(other, false)?;
        }
        roster.write(&private.join(party.as_str()).join(identity::ROSTER))?;
    }
    Ok(())
}
