//! A user of a service.

use std::{path::Path, time::Instant};

use cloven_data::{Expectation, FeatureOptions, read_features};
use cloven_nn::{BatchTargets, Evaluation};
use cloven_protocols::{
    Event,
    secure_inference::{self as inference, User},
};
use cloven_wire::{AbortReason, Link, tcp::TcpChannel};
use ndarray::{Array2, ArrayD, Axis, Slice};
use rand_chacha::rand_core::Rng;
use zeroize::Zeroizing;

use super::{
    job::{Output, ServiceJob},
    member::Member,
    report::UserReport,
};
use crate::{
    Error, Update, catalogue,
    party::{ClientData, Watch, abort_reason, fresh_randomness, interruptible},
    reporter::{Reporter, peak_rss_bytes},
};

/// What a user asks about.
#[derive(Debug, Clone)]
pub struct Questions {
    /// Inputs, `[rows, sample shape...]`, as the network takes them.
    pub x: ArrayD<f32>,
    /// The class of each, where it is known.
    pub targets: Option<BatchTargets>,
}

impl Questions {
    /// The rows of a file: CSV, npy, npz, HDF5, IDX or Parquet, in the form that the network takes.
    ///
    /// # Errors
    /// [`Error::Data`] for a file that cannot be read or rows of another shape than the job's.
    pub fn read(job: &ServiceJob, path: &Path) -> Result<Self, Error> {
        let expected = Expectation {
            shape: job.data.shape.clone(),
            classes: job.data.classes,
            multi_label: false,
        };
        let x = read_features(path, &FeatureOptions::default(), &expected)?.x;
        Ok(Self { x, targets: None })
    }

    /// The first test rows of the data set that the job names, as many as its trial says; those of user number `user` of `users`, every so many.
    ///
    /// # Errors
    /// [`Error`] for a job without a trial, or data that are not known by name.
    pub fn of_trial(job: &ServiceJob, user: usize) -> Result<Self, Error> {
        let trial = job.trial()?;
        let training = job.trial_job(trial)?;
        let test = ClientData::new(&catalogue::find(&job.data.name)?, None, &training)?.test;
        let first = (user * trial.queries) % test.rows().max(1);
        let rows: Vec<usize> = (first..test.rows()).chain(0..first).take(trial.queries).collect();
        let (x, targets) = test.batch(&rows);
        Ok(Self {
            x,
            targets: Some(targets),
        })
    }
}

/// A service's answers, one row for each input: scores, or the number of the largest.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers(pub Array2<f32>);

impl Answers {
    /// Of one row for each input.
    pub(super) fn of(rows: Vec<Vec<f32>>) -> Self {
        let words = rows.first().map_or(0, Vec::len);
        Self(Array2::from_shape_fn((rows.len(), words), |(row, word)| rows[row][word]))
    }

    /// The class that each row was told; none for regression.
    pub fn classes(&self, job: &ServiceJob) -> Option<Vec<usize>> {
        job.data.classes?;
        let one = |row: ndarray::ArrayView1<'_, f32>| match job.service.output {
            Output::ArgMax => row[0] as usize,
            Output::Scores if row.len() == 1 => usize::from(row[0] > 0.0),
            Output::Scores => {
                let largest = row
                    .iter()
                    .enumerate()
                    .reduce(|best, next| if next.1 > best.1 { next } else { best });
                largest.map_or(0, |(class, _)| class)
            }
        };
        Some(self.0.outer_iter().map(one).collect())
    }

    /// As a table with a header.
    pub fn to_csv(&self, job: &ServiceJob) -> String {
        let classes = self.classes(job);
        let scores = match job.service.output {
            Output::Scores => self.0.ncols(),
            Output::ArgMax => 0,
        };
        let mut text = String::from("row");
        if classes.is_some() {
            text.push_str(",class");
        }
        (0..scores).for_each(|score| text.push_str(&format!(",score_{score}")));
        text.push('\n');
        for (number, row) in self.0.outer_iter().enumerate() {
            text.push_str(&number.to_string());
            if let Some(classes) = &classes {
                text.push_str(&format!(",{}", classes[number]));
            }
            row.iter().take(scores).for_each(|score| text.push_str(&format!(",{score}")));
            text.push('\n');
        }
        text
    }

    /// Writes [`Answers::to_csv`].
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, job: &ServiceJob, path: &Path) -> Result<(), Error> {
        crate::files::write(path, self.to_csv(job).as_bytes(), true)
    }
}

impl Member {
    /// Asks about all rows. A gateway that is lost, or loses another server, is asked again about the rows that it has not answered.
    ///
    /// # Errors
    /// [`Error`] of this party's own, or when the gateway stays away for longer than `deadlines.reconnect_seconds`.
    pub fn ask(self, questions: &Questions, watch: &mut Watch<'_>) -> Result<(UserReport, Answers), Error> {
        let mut watch = |stamped| watch(stamped);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("runtime"))?;
        let reporter = Reporter::new(self.party.clone(), self.local.limits.memory_mb, &mut watch);
        let begun = Instant::now();
        let (mut report, answers) = runtime.block_on(interruptible(self.all(questions, &reporter)))?;
        report.seconds_total = begun.elapsed().as_secs_f64();
        self.judge(questions, &answers, &mut report)?;
        reporter.tell(Update::AnswersFinished {
            report: Box::new(report.clone()),
        });
        Ok((report, answers))
    }

    async fn all(&self, questions: &Questions, reporter: &Reporter<'_>) -> Result<(UserReport, Answers), Error> {
        let mut endpoint = self.endpoint(reporter).await?;
        let peers = self.reach([self.job.gateway()?].into_iter())?;
        let rows = questions.x.len_of(Axis(0));
        let mut report = UserReport {
            rows: 0,
            seconds_total: 0.0,
            seconds: Vec::new(),
            seconds_preparing: Vec::new(),
            traffic: Default::default(),
            peak_rss_bytes: None,
            evaluation: None,
            accuracy: None,
        };
        let mut answers: Vec<Vec<f32>> = Vec::with_capacity(rows);
        while answers.len() < rows {
            let channels = endpoint.connect(&peers, &|notice| reporter.tell(notice.into())).await;
            let mut channels = channels.map_err(|cause| self.failed(cause))?.into_values();
            let Some(channel) = channels.next() else { break };
            // One that was there once may be waited for longer.
            endpoint.connect_deadline = self.local.deadlines.reconnect().max(endpoint.connect_deadline);
            let mut link = Link::new(channel);
            let left = questions.x.slice_axis(Axis(0), Slice::from(answers.len()..)).to_owned();
            let result = self.connection(&left, &mut answers, &mut link, &mut report, reporter).await;
            report.traffic = [report.traffic, link.traffic()].into_iter().sum();
            match result {
                Ok(()) => link.into_channel().close().await,
                Err(error) => match self.lost(&error) {
                    Some(lost) => {
                        link.abort(AbortReason::PeerLost).await;
                        reporter.tell(lost);
                    }
                    None => {
                        link.abort(abort_reason(&error)).await;
                        return Err(error);
                    }
                },
            }
        }
        (report.rows, report.peak_rss_bytes) = (answers.len(), peak_rss_bytes());
        Ok((report, Answers::of(answers)))
    }

    /// One connection's part.
    async fn connection(
        &self,
        x: &ArrayD<f32>,
        answers: &mut Vec<Vec<f32>>,
        link: &mut Link<TcpChannel>,
        report: &mut UserReport,
        reporter: &Reporter<'_>,
    ) -> Result<(), Error> {
        let mut secret = Zeroizing::new([0; 32]);
        fresh_randomness()?.fill_bytes(&mut *secret);
        let me = User {
            roster: &self.roster,
            secret: &secret,
        };
        let mut asked = Instant::now();
        let mut observe = |event: Event| {
            let times = match event {
                Event::Asked { .. } => None,
                Event::Prepared { .. } => Some(&mut report.seconds_preparing),
                Event::Predicted { .. } => Some(&mut report.seconds),
                other => return reporter.observe(other),
            };
            times.into_iter().for_each(|times| times.push(asked.elapsed().as_secs_f64()));
            asked = Instant::now();
            match event {
                // That is for servers.
                Event::Prepared { .. } => Ok(()),
                event => reporter.observe(event),
            }
        };
        let mut take = |answer| answers.push(answer);
        let done = inference::user(me, &self.terms, x, link, &mut take, &mut observe).await;
        done.map_err(|cause| self.failed(cause))
    }

    /// How good the answers are, where the rows carried labels.
    fn judge(&self, questions: &Questions, answers: &Answers, report: &mut UserReport) -> Result<(), Error> {
        let Some(targets) = &questions.targets else { return Ok(()) };
        let loss = self.job.trial.as_ref().map(|trial| trial.training.loss);
        if let (Some(loss), Output::Scores) = (loss, self.job.service.output) {
            report.evaluation = Some(Evaluation::new(loss, &answers.0.clone().into_dyn(), targets)?);
        }
        let right = |(row, class): (usize, &usize)| match targets {
            BatchTargets::Classes(expected) => expected[row] as usize == *class,
            BatchTargets::Values(values) => {
                let row = values.index_axis(Axis(0), row);
                match row.len() {
                    1 => usize::from(row.iter().all(|value| *value > 0.5)) == *class,
                    _ => row.iter().position(|value| *value > 0.5) == Some(*class),
                }
            }
        };
        report.accuracy = answers.classes(&self.job).map(|classes| {
            let all = classes.len().max(1);
            classes.iter().enumerate().filter(|pair| right(*pair)).count() as f64 / all as f64
        });
        Ok(())
    }
}
