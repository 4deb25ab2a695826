//! `cloven predict`: what a trained network says about new rows, under the protection of its training.
//!
//! One party alone is a [`Predictor`]; [`predict_together`] starts one process per party on this machine.

mod enclave;
mod exact;
mod layers;
mod predictions;
mod preprocessing;
mod rows;
mod summary;
mod together;
mod vertical;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_nn::Evaluation;
use cloven_protocols::{
    Observe, ProtocolError, Queries,
    encrypted_activation::{self, LatticeCipher, ServerLattice},
    encrypted_model::{self, InputForm, encrypted_samples},
    plain,
};
use cloven_wire::{Channel, Link, Party};
use ndarray::{ArrayD, Axis};
use rand_chacha::rand_core::Rng;

use self::{layers::Layers, rows::Rows, vertical::HolderQuery};
pub(crate) use self::{predictions::quoted, preprocessing::Preprocessing};
pub use self::{
    predictions::{Prediction, PredictionFormat, Predictions},
    summary::{Outcome, PartyPrediction, PredictionSummary, leaks},
    together::{Input, Output, PredictOptions, predict_together},
};

use crate::{
    Error, Job, Local, Role, Update,
    job::Protocol,
    party::{self, Watch, abort_reason, fresh_randomness, interruptible},
    reporter::Reporter,
};

/// What to predict, and with which trained network.
#[derive(Debug, Clone)]
pub struct Request {
    /// The folder of the run that trained it.
    pub run_folder: PathBuf,
    /// The rows; at the client.
    pub input: Option<PathBuf>,
    /// At the server of a job with several clients: whose rows.
    pub client: Option<Party>,
    /// At the client: the server may not see the rows. Of use under `encrypted-model` with samples in the clear, refused where it cannot be had.
    pub hide_input: bool,
}

/// A party that has checked everything it can check alone: job, key, roster, trained weights and, at the client, the rows.
pub struct Predictor {
    me: party::Prepared,
    client: Party,
    layers: Layers,
    /// At the client.
    rows: Option<Rows>,
    /// At a holder.
    query: Option<HolderQuery>,
    /// How they go to the server, where there is a choice.
    form: InputForm,
}

impl Predictor {
    /// Loads this party's weights from the run folder and, for a client, the rows. `job` is the run folder's.
    pub fn new(job: Job, party: Party, local: Local, request: &Request) -> Result<Self, Error> {
        let role = job.role(&party)?;
        let client = client_of(&job, &party, request.client.as_ref())?;
        let run_folder = &request.run_folder;
        if request.hide_input {
            can_hide_input(&job, role)?;
        }
        if role == Role::Coordinator {
            let problem = format!("{party} is the coordinator, whom a prediction does not need: leave it out");
            return Err(Error::configuration("parties", problem));
        }
        let layers = Layers::load(&job, &party, run_folder)?;
        let rows = match (role, &request.input) {
            (Role::Client, Some(input)) => Some(Rows::read(&job, &party, run_folder, input)?),
            (Role::Server | Role::Dealer | Role::Coordinator | Role::Worker, None)
            | (Role::Holder | Role::LabelHolder, Some(_)) => None,
            (Role::Client | Role::Holder | Role::LabelHolder, None) => {
                let problem = format!("{party} is the {}: say which file holds the rows", role.name());
                return Err(Error::configuration("--input", problem));
            }
            (Role::Dealer | Role::Coordinator | Role::Worker, Some(_)) => {
                return Err(Error::configuration(
                    "--input",
                    format!("{party} is a {}, who sees no rows", role.name()),
                ));
            }
            (Role::Server, Some(_)) => {
                let problem = format!("{party} is the server: the rows stay with {client}");
                return Err(Error::configuration("--input", problem));
            }
        };
        let query = match (role, &request.input) {
            (Role::Holder | Role::LabelHolder, Some(input)) => Some(HolderQuery::read(&job, &party, run_folder, input)?),
            _ => None,
        };
        let me = party::Prepared::without_data(job, party, local)?;
        Ok(Self {
            me,
            client,
            layers,
            rows,
            query,
            form: match request.hide_input {
                true => InputForm::Encrypted,
                false => InputForm::Clear,
            },
        })
    }

    /// Connects and predicts all rows, or answers until the client has them all. The client's predictions are written to `output`, where one is
    /// named, before the end is told.
    pub fn run<'a>(
        self,
        output: Option<&Path>,
        watch: &'a mut Watch<'a>,
    ) -> Result<(PartyPrediction, Option<Predictions>), Error> {
        self.me.local.limits.cap_threads();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("runtime"))?;
        let reporter = Reporter::new(self.me.party.clone(), self.me.local.limits.memory_mb, watch);
        let (report, predictions) = runtime.block_on(self.take_part(&reporter))?;
        if let (Some(path), Some(predictions)) = (output, &predictions) {
            predictions.write(path)?;
        }
        reporter.tell(Update::PredictionFinished {
            report: Box::new(report.clone()),
        });
        Ok((report, predictions))
    }

    async fn take_part(self, reporter: &Reporter<'_>) -> Result<(PartyPrediction, Option<Predictions>), Error> {
        let partners = self.partners()?;
        let endpoint = self.me.endpoint(reporter).await?;
        let channels = interruptible(self.me.connect_to(&endpoint, &partners, reporter)).await?;
        let begun = Instant::now();
        let mut links: Vec<_> = channels.into_values().map(Link::new).collect();
        let answer = match interruptible(self.answer(&mut links, reporter)).await {
            Ok(answer) => answer,
            Err(error) => {
                for link in &mut links {
                    link.abort(abort_reason(&error)).await;
                }
                return Err(error);
            }
        };
        let mut report = reporter.prediction(self.me.role, begun.elapsed(), &links);
        for link in links {
            link.into_channel().close().await;
        }
        let predictions = match answer {
            Some((rows, outputs)) => {
                let (outcome, predictions) = conclude(&self.me.job, rows, &outputs)?;
                report.outcome = Some(outcome);
                Some(predictions)
            }
            None => None,
        };
        Ok((report, predictions))
    }

    /// Rows and the outputs on them, at the party that gets them.
    async fn answer<C: Channel>(
        &self,
        links: &mut [Link<C>],
        reporter: &Reporter<'_>,
    ) -> Result<Option<(Rows, ArrayD<f32>)>, Error> {
        if self.me.job.protocol == Protocol::Vertical {
            let (places, outputs) = self.vertical(links, reporter).await?;
            return Ok(self
                .query
                .as_ref()
                .zip(outputs)
                .map(|(query, outputs)| query.in_order(&places, &outputs)));
        }
        if self.me.job.protocol == Protocol::Enclave {
            let outputs = self.enclave(links, reporter).await?;
            return Ok(self.rows.clone().zip(outputs));
        }
        let link = links.first_mut().expect("one party was asked for");
        let outputs = self.script(link, reporter).await?;
        Ok(self.rows.clone().zip(outputs))
    }

    /// The parties at the other ends.
    fn partners(&self) -> Result<Vec<Party>, Error> {
        let mut parties = self.me.job.parties.iter();
        match self.me.role {
            _ if self.me.job.protocol == Protocol::Vertical => Ok(self.others()),
            Role::Server if self.me.job.protocol == Protocol::Enclave => Ok(self.others()),
            Role::Server => Ok(vec![self.client.clone()]),
            _ => parties
                .find(|(_, role)| **role == Role::Server)
                .map(|(party, _)| vec![party.clone()])
                .ok_or_else(|| Error::configuration("parties", "the job has no server")),
        }
    }

    /// The outputs on all rows, at the client.
    async fn script<C: Channel>(&self, link: &mut Link<C>, reporter: &Reporter<'_>) -> Result<Option<ArrayD<f32>>, Error> {
        let mut observe = |event| reporter.observe(event);
        let batch = self.me.job.training.evaluation_batch;
        let done = match (&self.layers, &self.rows) {
            (Layers::Client { .. } | Layers::KeyHolder { .. } | Layers::ProductKeyHolder { .. }, None) => Ok(None),
            (Layers::Client { .. } | Layers::KeyHolder { .. } | Layers::ProductKeyHolder { .. }, Some(rows)) => {
                let queries = Queries { x: &rows.x, batch };
                self.ask(queries, link, &mut observe).await?.map(Some)
            }
            (Layers::Encrypted { encryption, inner, held }, _) => {
                encrypted_model::predict::server(encryption, inner, held, batch, link, &mut observe)
                    .await
                    .map(|()| None)
            }
            (Layers::EncryptedProduct { layers, held }, _) => {
                encrypted_samples::predict::server(layers, held, batch, link, &mut observe)
                    .await
                    .map(|()| None)
            }
            (Layers::Holder { .. } | Layers::Dealer | Layers::Customer(_) | Layers::Enclave | Layers::Worker, _) => {
                return Err(self.of_many());
            }
            (Layers::Server(layers), _) => match self.me.job.protocol {
                Protocol::Plain | Protocol::EncryptedModel => {
                    plain::predict::server(layers, batch, link, &mut observe).await.map(|()| None)
                }
                Protocol::Vertical | Protocol::Enclave => return Err(self.of_many()),
                Protocol::EncryptedActivation => {
                    let cipher = ServerLattice::new(self.me.job.sealing()?);
                    encrypted_activation::predict::server(layers, cipher, batch, link, &mut observe)
                        .await
                        .map(|()| None)
                }
            },
        };
        done.map_err(|cause| Error::Protocol {
            party: self.me.party.clone(),
            cause: Box::new(cause),
        })
    }

    /// The error of a script for two, of a protocol with more.
    fn of_many(&self) -> Error {
        let protocol = self.me.job.protocol.name();
        Error::configuration(
            "parties",
            format!("a prediction under protocol {protocol} is not one of two parties"),
        )
    }

    /// The client's script. The outer error is of this party's own set-up.
    async fn ask<C: Channel>(
        &self,
        queries: Queries<'_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Result<Result<ArrayD<f32>, ProtocolError>, Error> {
        let (front, unrevealed, tail) = match &self.layers {
            Layers::Client { front, unrevealed, tail } => (front, unrevealed, tail),
            Layers::KeyHolder {
                tail,
                key,
                inner,
                factor,
            } => {
                let me = encrypted_model::predict::Forward {
                    tail,
                    key,
                    inner,
                    session: fresh_session()?,
                    factor: *factor,
                    input: self.form,
                };
                return Ok(encrypted_model::predict::client(me, queries, link, observe).await);
            }
            Layers::ProductKeyHolder { network, keys } => {
                let session = fresh_session()?;
                let me = encrypted_samples::predict::Forward { network, keys, session };
                return Ok(encrypted_samples::predict::client(me, queries, link, observe).await);
            }
            Layers::Server(_)
            | Layers::Encrypted { .. }
            | Layers::EncryptedProduct { .. }
            | Layers::Holder { .. }
            | Layers::Dealer
            | Layers::Customer(_)
            | Layers::Enclave
            | Layers::Worker => {
                return Err(Error::configuration("parties", "a server has no rows"));
            }
        };
        Ok(match self.me.job.protocol {
            Protocol::Plain | Protocol::EncryptedModel => plain::predict::client([front, tail], queries, link, observe).await,
            Protocol::Vertical | Protocol::Enclave => return Err(self.of_many()),
            Protocol::EncryptedActivation => {
                let me = encrypted_activation::predict::Forward {
                    front,
                    unrevealed: unrevealed.as_deref(),
                    tail,
                };
                let cipher = LatticeCipher::new(self.me.job.sealing()?, &mut fresh_randomness()?);
                encrypted_activation::predict::client(me, cipher, queries, link, observe).await
            }
        })
    }
}

/// Whether rows can be predicted without showing them to the server: only the client can ask for it, and not every protocol can do it.
pub fn can_hide_input(job: &Job, role: Role) -> Result<(), Error> {
    let wrong = |problem: &str| Err(Error::configuration("--hide-input", problem));
    match (role, job.protocol) {
        (Role::Server, _) => wrong("the client asks for it; a server answers either way"),
        (Role::Client, Protocol::Plain) => wrong(
            "under protocol plain the server sees the activation of every row in the clear; train by encrypted-activation or encrypted-model",
        ),
        (Role::Client, Protocol::EncryptedActivation | Protocol::EncryptedModel) => Ok(()),
        (Role::Client, Protocol::Enclave) | (Role::Worker, _) => {
            wrong("under protocol enclave rows are seen by the attested enclave only, in any case")
        }
        (Role::Client, Protocol::Vertical) | (Role::Holder | Role::LabelHolder | Role::Dealer | Role::Coordinator, _) => {
            wrong("under protocol vertical the server sees outputs of the first layer only, in any case")
        }
    }
}

/// What keeps the ciphertexts of one prediction apart from those of all others.
fn fresh_session() -> Result<[u8; 16], Error> {
    let mut session = [0; 16];
    fresh_randomness()?.fill_bytes(&mut session);
    Ok(session)
}

/// Predictions from outputs, and how good they are where the input carried labels.
fn conclude(job: &Job, rows: Rows, outputs: &ArrayD<f32>) -> Result<(Outcome, Predictions), Error> {
    let loss = job.training.loss;
    let evaluation = match &rows.labels {
        None => None,
        Some((positions, targets)) => Some(Evaluation::new(loss, &outputs.select(Axis(0), positions), targets)?),
    };
    let labelled_rows = rows.labels.as_ref().map_or(0, |(positions, _)| positions.len());
    let predictions = match rows.classes {
        Some(names) if job.data.multi_label => Predictions::labels(rows.numbers, outputs, names),
        classes => Predictions::new(rows.numbers, outputs, loss, classes),
    };
    let outcome = Outcome {
        classes: predictions.names().map(<[String]>::to_vec),
        predicted: predictions.class_counts(),
        labelled_rows,
        evaluation,
    };
    Ok((outcome, predictions))
}

/// Whose rows are predicted: a client's own, or at the server those of the client that is named or the only one.
pub fn client_of(job: &Job, party: &Party, named: Option<&Party>) -> Result<Party, Error> {
    let wrong = |problem: String| Err(Error::configuration("--client", problem));
    if job.protocol == Protocol::Vertical {
        let holder = job.of_role(Role::LabelHolder).next().cloned();
        return match named {
            Some(_) => wrong("under protocol vertical the label holder gets the predictions".into()),
            None => holder.ok_or_else(|| Error::configuration("parties", "the job has no label holder")),
        };
    }
    let clients: Vec<&Party> = job.clients().collect();
    let own = (job.role(party)? == Role::Client).then_some(party);
    match (own, named, clients.as_slice()) {
        (Some(own), Some(named), _) if own != named => wrong(format!("{own} predicts its own rows, not those of {named}")),
        (Some(own), _, _) => Ok(own.clone()),
        (None, Some(named), clients) if clients.contains(&named) => Ok(named.clone()),
        (None, Some(named), _) => wrong(format!("{named} is no client of the job")),
        (None, None, [only]) => Ok((*only).clone()),
        (None, None, clients) => {
            let names: Vec<_> = clients.iter().map(|p| p.as_str()).collect();
            wrong(format!("say whose rows are predicted: {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests;
