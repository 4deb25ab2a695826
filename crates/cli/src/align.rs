//! `cloven data align`.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use cloven::{
    AlignOptions, AlignmentSummary, Error, Job, Local, Logs, Party, Program, Stamped, can_align, parse_settings, party::Prepared,
};

use crate::{
    args::AlignArgs,
    commands::{accept, emit, folder_of, show_terms, under_run},
    progress::Progress,
    words::{self, print_line, tell},
};

const QUESTION: &str = "Align ids by this job?";

/// Runs the verb.
pub fn align(args: AlignArgs, program: &Program, logs: Option<Logs>, json: bool) -> Result<(), Error> {
    match args.party.clone() {
        Some(party) if args.events => under_run(&party, || part(&args, &party)),
        Some(party) => alone(&args, &party, json),
        None => together(&args, program, logs, json),
    }
}

/// Every holder as a process on this machine.
fn together(args: &AlignArgs, program: &Program, logs: Option<Logs>, json: bool) -> Result<(), Error> {
    let job = job(args)?;
    can_align(&job, [])?;
    let mut outputs = BTreeMap::new();
    for output in &args.out {
        let Some(party) = &output.party else {
            let problem = "several holders align on this machine: say whose list goes into which file, NAME=FILE";
            return Err(Error::Configuration {
                place: "--out".into(),
                problem: problem.into(),
            });
        };
        outputs.insert(party.clone(), output.file.clone());
    }
    tell(words::alignment_of(&job));
    let options = AlignOptions {
        program: program.clone(),
        job_folder: folder_of(&args.job),
        outputs,
        logs,
    };
    let mut progress = job.lead().cloned().map(Progress::new);
    let result = cloven::align(&job, &options, &mut |stamped| {
        if let Some(progress) = &mut progress {
            progress.show(stamped);
        }
    });
    if let Some(mut progress) = progress {
        progress.end();
    }
    finish(&result?, json);
    Ok(())
}

/// One holder on its own machine.
fn alone(args: &AlignArgs, party: &Party, json: bool) -> Result<(), Error> {
    let job = job(args)?;
    can_align(&job, [party])?;
    show_terms(&words::alignment_of(&job), args.accept.as_deref());
    accept(&job, args.accept.as_deref(), QUESTION)?;
    let begun = Instant::now();
    let prepared = Prepared::new(job.clone(), party.clone(), Local::read(&local_path(args, party))?)?;
    let output = own_output(args, party);
    let mut progress = Progress::new(party.clone());
    let result = prepared.align(output.as_deref(), &mut |stamped: Stamped| progress.show(&stamped));
    progress.end();
    let found = [(party.clone(), result?)].into();
    let outputs = output.map(|output| (party.clone(), output)).into_iter().collect();
    let seconds = begun.elapsed().as_secs_f64();
    finish(&AlignmentSummary::new(&job, found, outputs, seconds), json);
    Ok(())
}

/// One holder's process, started by [`together`].
fn part(args: &AlignArgs, party: &Party) -> Result<(), Error> {
    let job = job(args)?;
    accept(&job, args.accept.as_deref(), QUESTION)?;
    let prepared = Prepared::new(job, party.clone(), Local::read(&local_path(args, party))?)?;
    let output = own_output(args, party);
    prepared
        .align(output.as_deref(), &mut |stamped: Stamped| emit(&stamped))
        .map(drop)
}

fn job(args: &AlignArgs) -> Result<Job, Error> {
    Job::read(&args.job, &parse_settings(&args.set)?)
}

/// The file that is this holder's: the one with its name, or with none.
fn own_output(args: &AlignArgs, party: &Party) -> Option<PathBuf> {
    let mut outputs = args.out.iter();
    let own = outputs.find(|output| output.party.as_ref().is_none_or(|name| name == party));
    own.map(|output| output.file.clone())
}

fn local_path(args: &AlignArgs, party: &Party) -> PathBuf {
    let usual = || folder_of(&args.job).join(party.as_str()).join(Local::FILE);
    args.local.clone().unwrap_or_else(usual)
}

fn finish(summary: &AlignmentSummary, json: bool) {
    let text = words::alignment(summary);
    match json {
        true => {
            print_line(&serde_json::to_string(summary).expect("summaries have only string keys"));
            tell(text);
        }
        false => print_line(&text),
    }
}
