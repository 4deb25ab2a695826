//! `cloven predict`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use cloven::{
    Error, Job, Local, Logs, Party, Program, Role, RunFolder, Stamped,
    predict::{
        Input, Output, PredictOptions, Prediction, PredictionFormat, PredictionSummary, Predictor, Request, can_hide_input,
        client_of, predict_together,
    },
};

use crate::{
    args::PredictArgs,
    commands::{accept, emit, show_terms, under_run},
    progress::Progress,
    words::{self, print_line, tell},
};

/// Runs the verb.
pub fn predict(args: PredictArgs, program: &Program, logs: Option<Logs>, json: bool) -> Result<(), Error> {
    match args.party.clone() {
        Some(party) if args.events => under_run(&party, || part(&args, &party)),
        Some(party) => alone(&args, &party, json),
        None => together(&args, program, logs, json),
    }
}

/// Every party as a process on this machine.
fn together(args: &PredictArgs, program: &Program, logs: Option<Logs>, json: bool) -> Result<(), Error> {
    let job = job(args)?;
    let server = job.parties.iter().find(|(_, role)| **role == Role::Server);
    let client = match server {
        Some((server, _)) => client_of(&job, server, args.client.as_ref())?,
        None => return Ok(()),
    };
    if args.hide_input {
        can_hide_input(&job, Role::Client)?;
    }
    tell(words::prediction_of(&job, &client, args.hide_input));
    let options = PredictOptions {
        program: program.clone(),
        run_folder: args.run_folder.clone(),
        inputs: args.input.clone(),
        client: args.client.clone(),
        output: match &args.output {
            Some(path) => Output::File(path.clone()),
            None => Output::Bytes(format(json)),
        },
        hide_input: args.hide_input,
        logs,
    };
    let mut progress = Progress::new(client);
    let result = predict_together(&job, &options, &mut |stamped| progress.show(stamped));
    progress.end();
    let (summary, predictions) = result?;
    finish(summary, predictions, json)
}

/// One party on its own machine.
fn alone(args: &PredictArgs, party: &Party, json: bool) -> Result<(), Error> {
    let job = job(args)?;
    let client = client_of(&job, party, args.client.as_ref())?;
    if args.hide_input {
        can_hide_input(&job, job.role(party)?)?;
    }
    show_terms(&words::prediction_of(&job, &client, args.hide_input), args.accept.as_deref());
    accept(&job, args.accept.as_deref(), "Predict with this network?")?;
    let predictor = Predictor::new(job.clone(), party.clone(), local(args)?, &request(args))?;
    let mut progress = Progress::new(party.clone());
    let result = predictor.run(args.output.as_deref(), &mut |stamped: Stamped| progress.show(&stamped));
    progress.end();
    let (report, predictions) = result?;
    let seconds = report.seconds_total;
    let mut summary = PredictionSummary::new(&job, &client, &[(party.clone(), report)].into(), seconds);
    let predictions = match &args.output {
        Some(_) if predictions.is_some() => {
            summary.output.clone_from(&args.output);
            None
        }
        _ => predictions.map(|predictions| predictions.to_bytes(format(json))),
    };
    finish(summary, predictions, json)
}

/// One party's process, started by [`together`].
fn part(args: &PredictArgs, party: &Party) -> Result<(), Error> {
    let job = job(args)?;
    accept(&job, args.accept.as_deref(), "Predict with this network?")?;
    let predictor = Predictor::new(job, party.clone(), local(args)?, &request(args))?;
    let output = args.output.as_deref();
    predictor.run(output, &mut |stamped: Stamped| emit(&stamped)).map(|_| ())
}

/// The run folder's job. A file name that no format fits is told before anything is done.
fn job(args: &PredictArgs) -> Result<Job, Error> {
    args.output.as_deref().map(PredictionFormat::of).transpose()?;
    Job::read(&args.run_folder.join("job.toml"), &[])
}

fn request(args: &PredictArgs) -> Request {
    Request {
        run_folder: args.run_folder.clone(),
        input: own_input(args),
        client: args.client.clone(),
        hide_input: args.hide_input,
    }
}

/// The file that is this party's: the one with its name, or with none.
fn own_input(args: &PredictArgs) -> Option<PathBuf> {
    let own = |input: &&Input| input.party.is_none() || input.party == args.party;
    args.input.iter().find(own).map(|input| input.file.clone())
}

/// The party's own settings: those named, or those it trained with.
fn local(args: &PredictArgs) -> Result<Local, Error> {
    let path: PathBuf = match (&args.local, RunFolder::noted_local(&args.run_folder)) {
        (Some(path), _) => path.clone(),
        (None, Some(noted)) => noted,
        (None, None) => {
            let problem = format!("{} does not say where this party's settings are", args.run_folder.display());
            return Err(Error::Configuration {
                place: "--local".into(),
                problem,
            });
        }
    };
    Local::read(Path::new(&path))
}

/// In which form predictions come back that go to no file.
fn format(json: bool) -> PredictionFormat {
    match json {
        true => PredictionFormat::JsonLines,
        false => PredictionFormat::Csv,
    }
}

/// Prints predictions and summary: with `json` one object; else predictions that have no file go to stdout, and the summary then to stderr.
fn finish(mut summary: PredictionSummary, predictions: Option<Vec<u8>>, json: bool) -> Result<(), Error> {
    let text = words::prediction(&summary);
    match (json, predictions) {
        (true, predictions) => {
            summary.predictions = predictions.map(|lines| records(&lines)).transpose()?;
            print_line(&serde_json::to_string(&summary).expect("summaries have only string keys"));
            tell(&text);
        }
        (false, Some(csv)) => {
            // A reader that went away is no error.
            let _ = std::io::stdout().write_all(&csv);
            tell(&text);
        }
        (false, None) => print_line(&text),
    }
    Ok(())
}

/// JSON lines, read back.
fn records(lines: &[u8]) -> Result<Vec<Prediction>, Error> {
    let read: Result<Vec<Prediction>, _> = serde_json::Deserializer::from_slice(lines).into_iter().collect();
    read.map_err(|cause| Error::File {
        path: "predictions".into(),
        cause: cause.into(),
    })
}
