//! The verbs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use cloven::{
    BenchOptions, Error, Job, Local, Logs, Metrics, Party, Program, Record, RosterFile, RunOptions, Stamped, Summary, Update,
    bench,
    data::{InspectOptions, inspect},
    init::{InitOptions, Purpose, init, roster_add, roster_path},
    parse_settings,
    party::{PartyOptions, PartyRun, Prepared},
    service::{ServiceJob, ServiceRole},
};

use crate::{
    Host, align,
    allocator::keep_freed_memory,
    args::{Args, BenchArgs, Command, DataCommand, InitArgs, PartyArgs, RosterCommand, RunArgs},
    demo, plan,
    predict::predict,
    progress::Progress,
    run_folders, service,
    words::{self, print_line, tell},
};

/// Runs a verb.
pub fn dispatch(args: Args, host: &Host<'_>, logs: Option<Logs>) -> Result<(), Error> {
    let (json, program) = (args.json, &host.program);
    match args.command {
        Command::Demo(args) => demo::demo(args, program, json),
        Command::Init(args) => make(args, json),
        Command::Run(args) if ServiceJob::is_in(&args.job) => service::run(args, program, logs, json),
        Command::Run(args) => run(args, program, logs, json),
        Command::Serve(args) => service::serve(args, json),
        Command::Model(command) => service::model(command, json),
        Command::Plan(args) => plan::plan(args, program, json),
        Command::Party(args) if args.events => under_run(&args.party.clone(), || take_part(&args, host)),
        Command::Party(args) => party(args, host, json),
        Command::Predict(args) if args.run_folder.is_file() => service::predict(args, json),
        Command::Predict(args) => predict(args, program, logs, json),
        Command::Bench(args) => run_bench(args, program, json),
        Command::Report(args) => run_folders::report(args, json),
        Command::Export(args) => run_folders::export(args, json),
        Command::Audit(args) => run_folders::audit(args, json),
        Command::Roster(command) => roster(command, json),
        Command::Data(DataCommand::Align(args)) => align::align(*args, program, logs, json),
        Command::Data(DataCommand::Inspect {
            path,
            no_header,
            delimiter,
        }) => inspect_data(&path, no_header, delimiter, json),
    }
}

fn run(args: RunArgs, program: &Program, logs: Option<Logs>, json: bool) -> Result<(), Error> {
    let job = Job::read(&args.job, &parse_settings(&args.set)?)?;
    let options = RunOptions {
        program: program.clone(),
        job_folder: folder_of(&args.job),
        runs: args.runs,
        run_folder: args.run_folder,
        resume: args.resume,
        compare_plain: args.compare_plain,
        emulate: args.emulate,
        report: args.report,
        record: args.record.map(|batches| Record { batches }),
        metrics: args.metrics,
        logs,
        data: BTreeMap::new(),
        initial_weights: args.initial_weights,
        plans: args.cache.or_else(cloven::plan::Cache::default_folder),
    };
    if args.plan {
        plan::first(&job, &options)?;
    }
    run_job(&job, &options, json)
}

fn run_job(job: &Job, options: &RunOptions, json: bool) -> Result<(), Error> {
    tell(words::job(job));
    if let Some(emulation) = options.emulate {
        tell(format!("links: emulated, {emulation}"));
    }
    let mut progress = job.lead().cloned().map(Progress::new);
    let result = cloven::run(job, options, &mut |stamped| {
        if let Some(progress) = &mut progress {
            progress.show(stamped);
        }
    });
    if let Some(mut progress) = progress {
        progress.end();
    }
    let (summary, folder) = result?;
    finish(&summary, &folder, json);
    Ok(())
}

fn finish(summary: &Summary, folder: &Path, json: bool) {
    match json {
        true => {
            print_line(&serde_json::to_string(summary).expect("summaries have only string keys"));
            tell(format!("{}\nrun folder: {}", words::summary(summary), folder.display()));
        }
        false => print_line(&format!("{}\nrun folder: {}", words::summary(summary), folder.display())),
    }
}

fn run_bench(args: BenchArgs, program: &Program, json: bool) -> Result<(), Error> {
    let options = BenchOptions {
        program: program.clone(),
        data: args.data,
        epochs: args.epochs,
        repeats: args.repeats,
    };
    let rows = bench(&options, &mut |done| tell(done))?;
    match json {
        true => print_line(&serde_json::to_string(&rows).expect("rows have only string keys")),
        false => print_line(&words::bench(&rows)),
    }
    Ok(())
}

fn party(args: PartyArgs, host: &Host<'_>, json: bool) -> Result<(), Error> {
    let job = Job::read(&args.job, &parse_settings(&args.set)?)?;
    job.role(&args.party)?;
    show_terms(&words::job(&job), args.accept.as_deref());
    accept(&job, args.accept.as_deref(), "Take part in this job?")?;
    let file = local_path(&args);
    let local = Local::read(&file)?;
    let metrics = serve_metrics(&args, &job, &local)?;
    keep_freed_memory(&job, &args.party);
    let options = PartyOptions {
        runs: args.runs,
        run_folder: args.run_folder,
        resume: args.resume,
        record: args.record.map(|batches| Record { batches }),
        local_file: Some(file),
    };
    let helpers = (host.helpers)(&args.party)?;
    let run = PartyRun::new(job, args.party.clone(), local, helpers, &options)?;
    let folder = run.folder().to_owned();
    let mut progress = Progress::new(args.party);
    if let Some(metrics) = &metrics {
        progress.show(&metrics.announcement());
    }
    let result = run.finish(&mut |stamped| {
        progress.show(stamped);
        if let Some(metrics) = &metrics {
            metrics.observe(stamped);
        }
    });
    progress.end();
    if let Ok(summary) = &result {
        finish(summary, &folder, json);
    }
    if let Some(metrics) = metrics {
        linger(metrics, result.as_ref().err(), args.metrics_linger);
    }
    result.map(drop)
}

/// A party's metrics, where the operator wants them.
fn serve_metrics(args: &PartyArgs, job: &Job, local: &Local) -> Result<Option<Metrics>, Error> {
    let address = args.metrics.or(local.metrics);
    address.map(|address| Metrics::serve(address, job, &args.party)).transpose()
}

/// Leaves the page up for a while, so that the last figures are read.
pub fn linger(metrics: Metrics, failure: Option<&Error>, seconds: u64) {
    if let Some(error) = failure {
        metrics.failed(error);
    }
    if seconds > 0 {
        let failed = failure.map_or(String::new(), |error| format!("; the run failed: {error}"));
        tell(format!("metrics can be read for another {seconds} s{failed}"));
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// A party's process under `cloven run` or `cloven predict`: updates go to stdout as JSON lines, the last of them says how it ended.
pub fn under_run(party: &Party, work: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    end_with_stdin();
    let result = work();
    if let Err(error) = &result {
        tracing::error!(exit_code = error.exit_code(), %error, "failed");
        emit(&Stamped {
            party: party.clone(),
            at: 0.0,
            update: Update::Failed {
                message: error.to_string(),
                exit_code: error.exit_code(),
                particulars: error.particulars().into(),
            },
        });
        // The sentence reaches the operator through `cloven run`.
        std::process::exit(error.exit_code().into());
    }
    result
}

fn take_part(args: &PartyArgs, host: &Host<'_>) -> Result<(), Error> {
    let job = Job::read(&args.job, &[])?;
    accept(&job, args.accept.as_deref(), "Take part in this job?")?;
    let run_folder = args.run_folder.clone().unwrap_or_default();
    let local = Local::read(&local_path(args))?;
    let metrics = serve_metrics(args, &job, &local)?;
    keep_freed_memory(&job, &args.party);
    if let Some(metrics) = &metrics {
        emit(&metrics.announcement());
    }
    let prepared = Prepared::new(job, args.party.clone(), local)?;
    let prepared = prepared
        .recording(args.record.map(|batches| Record { batches }))
        .helped((host.helpers)(&args.party)?)?;
    let result = prepared.run(&run_folder, &mut |stamped: Stamped| {
        if let Some(metrics) = &metrics {
            metrics.observe(&stamped);
        }
        emit(&stamped);
    });
    result.map(|_| ())
}

/// Prints an update as a JSON line.
pub fn emit(stamped: &Stamped) {
    print_line(&serde_json::to_string(stamped).expect("updates have only string keys"));
}

/// Ends this process when the one that started it is gone.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(130);
    });
}

/// Shows what an operator has to accept; also among logs, where the question is still to be asked.
pub fn show_terms(terms: &str, given: Option<&str>) {
    match given {
        Some(_) => tell(terms),
        None => eprintln!("{terms}"),
    }
}

/// The operator's consent: `--accept` with this job's digest, or yes to a question.
pub fn accept(job: &Job, given: Option<&str>, question: &str) -> Result<(), Error> {
    accept_digest(&job.digest_hex(), given, question)
}

/// The same of a job with this digest.
pub fn accept_digest(digest: &str, given: Option<&str>, question: &str) -> Result<(), Error> {
    match given {
        Some(given) => cloven::party::accept(digest, given),
        None if words::ask(question) => Ok(()),
        None => Err(Error::NotAccepted {
            digest: digest.to_owned(),
            given: None,
        }),
    }
}

fn local_path(args: &PartyArgs) -> PathBuf {
    args.local
        .clone()
        .unwrap_or_else(|| folder_of(&args.job).join(args.party.as_str()).join(Local::FILE))
}

fn make(args: InitArgs, json: bool) -> Result<(), Error> {
    let InitArgs {
        folder,
        data,
        purpose,
        only,
        clients,
        server,
    } = args;
    let usual = || match purpose {
        Some(Purpose::Service) => "digits".to_owned(),
        _ => "wdbc".to_owned(),
    };
    let options = InitOptions {
        folder: folder.clone(),
        data: data.unwrap_or_else(usual),
        purpose,
        only: only.clone(),
        clients,
        server,
    };
    let made = init(&options)?;
    if json {
        print_line(&serde_json::json!({ "made": made }).to_string());
        return Ok(());
    }
    made.iter().for_each(|path| print_line(&format!("made {}", path.display())));
    print_line(&next_steps(&folder, only.as_ref())?);
    Ok(())
}

fn next_steps(folder: &Path, only: Option<&Party>) -> Result<String, Error> {
    let job = folder.join("job.toml");
    let service = match ServiceJob::is_in(&job) {
        true => Some(ServiceJob::read(&job, &[])?),
        false => None,
    };
    let (folder, job) = (folder.display(), job.display());
    let Some(party) = only else {
        return Ok(match service {
            Some(service) if service.trial.is_none() => {
                format!("Next: cloven model share MODEL.onnx --job {job} --output {folder}/shares")
            }
            _ => format!("Next: cloven run {job}"),
        });
    };
    let last = match service {
        None => format!("cloven party {job} --as {party}"),
        Some(service) if service.role(party)? == ServiceRole::User => {
            format!("cloven predict {job} --as {party} --input FILE")
        }
        Some(_) => format!("cloven serve {job} --as {party}"),
    };
    Ok(format!(
        "Next:\n  give {job} and {folder}/{party}.identity.toml to the other party\n  \
         cloven roster add OTHER.identity.toml --to {folder}/{party}\n  edit {folder}/{party}/local.toml\n  {last}"
    ))
}

fn roster(command: RosterCommand, json: bool) -> Result<(), Error> {
    match command {
        RosterCommand::Add { identity, to, replace } => {
            let pinned = roster_add(&to, &identity, replace)?;
            match json {
                true => print_line(&serde_json::json!({ "party": pinned.party, "fingerprint": pinned.fingerprint }).to_string()),
                false => print_line(&format!(
                    "pinned {} as {}\nCompare this fingerprint with {} by telephone.",
                    pinned.party, pinned.fingerprint, pinned.party
                )),
            }
        }
        RosterCommand::List { folder } => {
            let roster = RosterFile::read(&roster_path(&folder)?)?;
            match json {
                true => {
                    let pins: serde_json::Map<_, _> = roster.pins().map(|(p, f)| (p.to_string(), f.into())).collect();
                    print_line(&serde_json::Value::Object(pins).to_string());
                }
                false => roster
                    .pins()
                    .for_each(|(party, fingerprint)| print_line(&format!("{party}  {fingerprint}"))),
            }
        }
    }
    Ok(())
}

fn inspect_data(path: &Path, no_header: bool, delimiter: char, json: bool) -> Result<(), Error> {
    let inspection = inspect(
        path,
        &InspectOptions {
            header: no_header.then_some(false),
            delimiter,
            ..InspectOptions::default()
        },
    )?;
    match json {
        true => print_line(&serde_json::to_string(&inspection).expect("inspections have only string keys")),
        false => print_line(inspection.to_string().trim_end()),
    }
    Ok(())
}

pub fn folder_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}
