//! `cloven data align`: holders find the rows that all of them have, and nothing more; no training follows.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_protocols::{
    Leak, ProtocolError,
    vertical::{self, Aligned},
};
use cloven_wire::{Link, Party, WireError, tcp::TcpChannel};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Alignment, Error, Job, Logs, Program, Role, Stamped, Update, files,
    job::Protocol,
    orchestrate::{Errand, Place, locals, together},
    party::{HolderRows, Prepared, Watch, abort_reason, fresh_randomness, interruptible},
    predict::quoted,
    reporter::Reporter,
};

/// Where things are for [`align`].
#[derive(Debug, Clone)]
pub struct AlignOptions {
    /// The `cloven` program; started once per holder.
    pub program: Program,
    /// The folder of the job file: a `NAME/local.toml` in it says where holder NAME's data are.
    pub job_folder: PathBuf,
    /// Where a holder's list of common ids goes.
    pub outputs: BTreeMap<Party, PathBuf>,
    /// What every holder's process logs.
    pub logs: Option<Logs>,
}

/// What `--json` prints; of one holder alone, what that holder knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlignmentSummary {
    /// Digest of the job.
    pub job: String,
    /// Ids that all holders have.
    pub common_ids: usize,
    /// Each holder's counts.
    pub holders: BTreeMap<Party, Alignment>,
    /// Wall time.
    pub seconds_total: f64,
    /// Lists of the common ids that were written.
    pub outputs: BTreeMap<Party, PathBuf>,
    /// What each holder learns.
    pub leaks: Vec<Leak>,
}

impl AlignmentSummary {
    /// Of what holders report.
    pub fn new(job: &Job, holders: BTreeMap<Party, Alignment>, outputs: BTreeMap<Party, PathBuf>, seconds_total: f64) -> Self {
        Self {
            job: job.digest_hex(),
            common_ids: holders.values().map(|holder| holder.common_ids).min().unwrap_or(0),
            holders,
            seconds_total,
            outputs,
            leaks: job.alignment_leaks(),
        }
    }
}

/// Aligns the ids of all holders of a job, each as a process of its own on this machine. Keys and certificates live for this only.
///
/// # Errors
/// As of every holder's part: [`Prepared::align`].
pub fn align(job: &Job, options: &AlignOptions, watch: &mut dyn FnMut(&Stamped)) -> Result<AlignmentSummary, Error> {
    can_align(job, options.outputs.keys())?;
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::file("runtime"))?;
    let locals = locals(job, &options.job_folder, None)?;
    let folder = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    let path = folder.path().join("job.toml");
    files::write(&path, job.to_toml().as_bytes(), false)?;
    let outputs = options.outputs.iter().map(|(party, file)| {
        let absolute = std::path::absolute(file).map_err(Error::file(file))?;
        Ok((party.clone(), absolute))
    });
    let outputs: BTreeMap<Party, PathBuf> = outputs.collect::<Result<_, Error>>()?;
    let holders: Vec<(Party, Role)> = holders(job).collect();
    let errand = Errand {
        digest: job.digest_hex(),
        parties: job.parties.keys().cloned().collect(),
        program: &options.program,
        places: Place::mesh(&holders),
        locals: &locals,
        restart: false,
        metrics: false,
        logs: options.logs.as_ref(),
        arguments: &|party| {
            let mut arguments: Vec<OsString> = vec!["data".into(), "align".into(), path.clone().into()];
            if let Some(output) = outputs.get(party) {
                arguments.extend(["--out".into(), output.clone().into()]);
            }
            arguments
        },
    };
    let finished = |update| match update {
        Update::Aligned { alignment } => Some(alignment),
        _ => None,
    };
    let mut watch = |stamped: &Stamped| {
        watch(stamped);
        Ok(())
    };
    let found = runtime.block_on(together(&errand, &mut watch, &finished))?;
    Ok(AlignmentSummary::new(
        job,
        found,
        options.outputs.clone(),
        begun.elapsed().as_secs_f64(),
    ))
}

/// Whether the job has ids to align, and these parties have any.
///
/// # Errors
/// [`Error::Configuration`], which says what there is instead.
pub fn can_align<'a>(job: &Job, parties: impl IntoIterator<Item = &'a Party>) -> Result<(), Error> {
    if job.protocol != Protocol::Vertical {
        let problem = format!(
            "protocol {} has no ids to align: one party has all columns",
            job.protocol.name()
        );
        return Err(Error::configuration("protocol", problem));
    }
    for party in parties {
        let role = job.role(party)?;
        if !role.has_rows() {
            let problem = format!("{party} is the {} and has no ids", role.name());
            return Err(Error::configuration("--as", problem));
        }
    }
    Ok(())
}

fn holders(job: &Job) -> impl Iterator<Item = (Party, Role)> {
    job.parties
        .iter()
        .filter(|(_, role)| role.has_rows())
        .map(|(party, role)| (party.clone(), *role))
}

impl Prepared {
    /// Finds, with all other holders, the rows that all have; writes their ids to `output`, in the order that all agreed on, readable by its owner
    /// only. Keys, addresses and consent are those of a training, which is another matter to the links: a holder that aligns and one that trains
    /// refuse each other.
    ///
    /// # Errors
    /// [`Error`], where this party has no ids, another holder does not come, or no id is common to all.
    pub fn align<'a>(self, output: Option<&Path>, watch: &'a mut Watch<'a>) -> Result<Alignment, Error> {
        can_align(&self.job, [&self.party])?;
        self.local.limits.cap_threads();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::file("runtime"))?;
        let reporter = Reporter::new(self.party.clone(), self.local.limits.memory_mb, watch);
        let Some(rows) = &self.rows else {
            return Err(Error::configuration("--as", format!("{} has no ids", self.party)));
        };
        let found = runtime.block_on(interruptible(self.find_common(rows, &reporter)))?;
        let (table, parts) = rows.divided(&self.job, &found.places)?;
        if let Some(path) = output {
            files::write(path, list(&rows.id_names(), &table.ids, &parts).as_bytes(), true)?;
        }
        let alignment = rows.alignment(&self.party, &found, parts.map(|part| part.len()));
        reporter.aligned(alignment.clone());
        Ok(alignment)
    }

    async fn find_common(&self, rows: &HolderRows, reporter: &Reporter<'_>) -> Result<Aligned, Error> {
        let mut endpoint = self.endpoint(reporter).await?;
        endpoint.job = blake3::derive_key("cloven v1 alignment without a training", &self.job.digest());
        let fellows: Vec<Party> = holders(&self.job)
            .map(|(party, _)| party)
            .filter(|party| *party != self.party)
            .collect();
        let connected = self.connect_to(&endpoint, &fellows, reporter).await;
        let channels = connected.map_err(|error| at_something_else(&self.party, error))?;
        let mut links: Vec<Link<TcpChannel>> = channels.into_values().map(Link::new).collect();
        let mut secret = Zeroizing::new([0; 32]);
        fresh_randomness()?.fill_bytes(&mut *secret);
        let terms = self.job.vertical_terms()?;
        let found = vertical::align(&self.party, &terms, &secret, rows.digests(), &mut links).await;
        let found = found.map_err(|cause| self.protocol_error(cause));
        for mut link in links {
            match &found {
                Ok(_) => link.into_channel().close().await,
                Err(error) => link.abort(abort_reason(error)).await,
            }
        }
        found
    }
}

/// Of a holder that does not align: it has another job, or trains.
fn at_something_else(me: &Party, error: Error) -> Error {
    let exit_code = error.exit_code();
    match &error {
        Error::Protocol { cause, .. } => match cause.as_ref() {
            ProtocolError::Wire(WireError::WrongJob { party, .. }) => Error::Party {
                party: me.clone(),
                message: format!(
                    "{me}: {party} does not align by this job: it has another job.toml or other --set values, or it runs `cloven party`"
                ),
                exit_code,
                particulars: error.particulars().into(),
            },
            _ => error,
        },
        _ => error,
    }
}

/// The common ids as CSV, with the part of the data that each row belongs to: `train`, `test`, or none where the job limits the rows.
fn list(names: &[String], ids: &[Vec<String>], [train, test]: &[Vec<usize>; 2]) -> String {
    let mut part = vec![""; ids.len()];
    train.iter().for_each(|row| part[*row] = "train");
    test.iter().for_each(|row| part[*row] = "test");
    let line = |fields: &[String], last: &str| {
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        format!("{},{last}\n", fields.join(","))
    };
    let rows = ids.iter().zip(part).map(|(id, part)| line(id, part));
    line(names, "part") + &rows.collect::<String>()
}
