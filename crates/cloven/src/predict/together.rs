//! A prediction with every party as its own process on this machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_wire::Party;

use super::{PredictionFormat, PredictionSummary, can_hide_input, client_of};
use crate::{
    Error, Job, Local, Logs, Program, Role, Stamped, Update,
    job::Protocol,
    orchestrate::{Errand, Locals, Place, places, together},
};

/// Where things are for [`predict_together`].
#[derive(Debug, Clone)]
pub struct PredictOptions {
    /// The `cloven` program; started once per party.
    pub program: Program,
    /// The run folder of a `cloven run`, with every party's weights.
    pub run_folder: PathBuf,
    /// The rows: a file of everybody who brings some, or one that all of them read.
    pub inputs: Vec<Input>,
    /// Whose rows, where the job has several clients.
    pub client: Option<Party>,
    /// Where the predictions go.
    pub output: Output,
    /// The server may not see the rows, as in [`Request::hide_input`](super::Request::hide_input).
    pub hide_input: bool,
    /// What every party's process logs.
    pub logs: Option<Logs>,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Whose; everybody's who brings rows if absent.
    pub party: Option<Party>,
    /// Where it is.
    pub file: PathBuf,
}

/// Where predictions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Into this file; the name says in which format.
    File(PathBuf),
    /// Back to the caller.
    Bytes(PredictionFormat),
}

/// Predicts with the network of a run of all parties on this machine; returns the predictions where no file was named. Keys and certificates
/// live for this prediction only.
pub fn predict_together(
    job: &Job,
    options: &PredictOptions,
    watch: &mut dyn FnMut(&Stamped),
) -> Result<(PredictionSummary, Option<Vec<u8>>), Error> {
    if options.hide_input {
        can_hide_input(job, Role::Client)?;
    }
    let private = tempfile::tempdir().map_err(Error::file("temporary folder"))?;
    let (output, back) = match &options.output {
        Output::File(path) => {
            PredictionFormat::of(path)?;
            (path.clone(), false)
        }
        Output::Bytes(format) => (private.path().join("predictions").with_extension(format.ending()), true),
    };
    let client = client_of(job, server(job)?, options.client.as_ref())?;
    let inputs = inputs(job, &client, &options.inputs)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::file("runtime"))?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::file(path));
    let file = absolute(&output)?;
    let run_folder = absolute(&options.run_folder)?;
    let places = match job.protocol {
        Protocol::Vertical | Protocol::Enclave => {
            let predicting: Vec<_> = job.predicting().collect();
            let mut places = places(job);
            places.retain(|place| predicting.contains(&&place.party));
            places
        }
        _ => Place::stars(&[server(job)?.clone()], &[(client.clone(), Role::Client)]),
    };
    let locals: Locals = places.iter().map(|place| (place.party.clone(), Local::default())).collect();
    let errand = Errand {
        digest: job.digest_hex(),
        parties: job.parties.keys().cloned().collect(),
        program: &options.program,
        places,
        locals: &locals,
        restart: false,
        metrics: false,
        logs: options.logs.as_ref(),
        arguments: &|party| {
            let mut arguments = vec!["predict".into(), run_folder.clone().into()];
            if let Some(input) = inputs.get(party) {
                arguments.extend(["--input".into(), input.clone().into()]);
            }
            if *party == client {
                arguments.extend(["--output".into(), file.clone().into()]);
                arguments.extend(options.hide_input.then(|| "--hide-input".into()));
            } else if job.parties.get(party) == Some(&Role::Server) && job.protocol != Protocol::Vertical {
                arguments.extend(["--client".into(), client.as_str().into()]);
            }
            arguments
        },
    };
    let begun = Instant::now();
    let finished = |update| match update {
        Update::PredictionFinished { report } => Some(*report),
        _ => None,
    };
    let mut watch = |stamped: &Stamped| {
        watch(stamped);
        Ok(())
    };
    let reports = runtime.block_on(together(&errand, &mut watch, &finished))?;
    let mut summary = PredictionSummary::new(job, &client, &reports, begun.elapsed().as_secs_f64());
    summary.output = (!back).then(|| output.clone());
    let bytes = back
        .then(|| std::fs::read(&output).map_err(Error::file(&output)))
        .transpose()?;
    Ok((summary, bytes))
}

fn server(job: &Job) -> Result<&Party, Error> {
    let server = job.of_role(Role::Server).next();
    server.ok_or_else(|| Error::configuration("parties", "the job has no server"))
}

/// The file of everybody who brings rows.
fn inputs(job: &Job, client: &Party, given: &[Input]) -> Result<BTreeMap<Party, PathBuf>, Error> {
    let bring = |(party, role): &(&Party, &Role)| match job.protocol {
        Protocol::Vertical => role.has_rows(),
        _ => *party == client,
    };
    let wrong = |problem: String| Err(Error::configuration("--input", problem));
    let mut inputs = BTreeMap::new();
    for (party, _) in job.parties.iter().filter(bring) {
        let own = given
            .iter()
            .filter(|input| input.party.as_ref().is_none_or(|name| name == party));
        match own.collect::<Vec<_>>()[..] {
            [input] => inputs.insert(
                party.clone(),
                std::path::absolute(&input.file).map_err(Error::file(&input.file))?,
            ),
            [] => return wrong(format!("say which file holds the rows of {party}: {party}=FILE")),
            _ => return wrong(format!("several files for {party}")),
        };
    }
    match given
        .iter()
        .filter_map(|input| input.party.as_ref())
        .find(|party| !inputs.contains_key(*party))
    {
        Some(stranger) => wrong(format!("{stranger} brings no rows")),
        None => Ok(inputs),
    }
}
