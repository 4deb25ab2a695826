//! A prediction with every party as its own process on this machine.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use cloven_wire::Party;

use super::{PredictionFormat, PredictionSummary, can_hide_input, client_of};
use crate::{
    Error, Job, Local, Logs, Role, Stamped, Update,
    orchestrate::{Errand, Locals, Place, together},
};

/// Where things are for [`predict_together`].
#[derive(Debug, Clone)]
pub struct PredictOptions {
    /// The `cloven` program; started once per party.
    pub program: PathBuf,
    /// The run folder of a `cloven run`, with every party's weights.
    pub run_folder: PathBuf,
    /// The rows.
    pub input: PathBuf,
    /// Whose rows, where the job has several clients.
    pub client: Option<Party>,
    /// Where the predictions go.
    pub output: Output,
    /// The server may not see the rows, as in [`Request::hide_input`](super::Request::hide_input).
    pub hide_input: bool,
    /// What every party's process logs.
    pub logs: Option<Logs>,
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
    job.refuse_vertical(super::VERB)?;
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
    let (client, server) = pair(job, options.client.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::file("runtime"))?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(Error::file(path));
    let (input, file) = (absolute(&options.input)?, absolute(&output)?);
    let run_folder = absolute(&options.run_folder)?;
    let locals = Locals::from([&client, &server].map(|party| (party.clone(), Local::default())));
    let errand = Errand {
        job,
        program: &options.program,
        places: Place::stars(&[server], std::slice::from_ref(&client)),
        locals: &locals,
        restart: false,
        metrics: false,
        logs: options.logs.as_ref(),
        arguments: &|_, role| {
            let mut arguments = vec!["predict".into(), run_folder.clone().into()];
            if role == Role::Client {
                arguments.extend(["--input".into(), input.clone().into()]);
                arguments.extend(["--output".into(), file.clone().into()]);
                arguments.extend(options.hide_input.then(|| "--hide-input".into()));
            } else {
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

/// The client whose rows are predicted, and the server.
fn pair(job: &Job, named: Option<&Party>) -> Result<(Party, Party), Error> {
    let server = job.parties.iter().find(|(_, role)| **role == Role::Server);
    let (server, _) = server.ok_or_else(|| Error::configuration("parties", "the job has no server"))?;
    Ok((client_of(job, server, named)?, server.clone()))
}
