//! The verbs on jobs of protocol `secure-inference`: `run`, `serve`, `predict` and `model share`.

use std::path::{Path, PathBuf};

use cloven::{
    Error, Local, Logs, Metrics, Party, Program, Stamped, parse_settings,
    service::{
        Answers, Member, Questions, ServiceJob, ServiceOptions, ServiceSummary, UserReport, Work, run_service, share_model,
    },
};

use crate::{
    args::{ModelCommand, PredictArgs, RunArgs, ServeArgs},
    commands::{accept_digest, emit, folder_of, linger, show_terms, under_run},
    progress::Progress,
    words::{self, print_line, tell},
};

/// `cloven run` of a service with a trial.
pub fn run(args: RunArgs, program: &Program, logs: Option<Logs>, json: bool) -> Result<(), Error> {
    let job = ServiceJob::read(&args.job, &parse_settings(&args.set)?)?;
    for (given, name) in [
        (args.resume.is_some(), "--resume"),
        (args.compare_plain, "--compare-plain"),
        (args.record.is_some(), "--record"),
        (args.initial_weights.is_some(), "--initial-weights"),
        (args.plan, "--plan"),
        (args.report, "--report"),
    ] {
        if given {
            return Err(Error::Configuration {
                place: name.into(),
                problem: "is for jobs that train; this one serves".into(),
            });
        }
    }
    tell(terms(&job)?);
    let options = ServiceOptions {
        program: program.clone(),
        job_folder: folder_of(&args.job),
        runs: args.runs,
        run_folder: args.run_folder,
        emulate: args.emulate,
        pool: args.pool,
        metrics: args.metrics,
        logs,
    };
    let mut progress = Progress::new(job.gateway()?.clone());
    let result = run_service(&job, &options, &mut |words| tell(words), &mut |stamped| {
        progress.show(stamped)
    });
    progress.end();
    let (summary, folder) = result?;
    let layers = if args.layers { by_layer(&summary) } else { String::new() };
    let text = format!("{}{layers}\nrun folder: {}", in_words(&summary), folder.display());
    match json {
        true => {
            print_line(&serde_json::to_string(&summary).expect("summaries have only string keys"));
            tell(text);
        }
        false => print_line(&text),
    }
    Ok(())
}

/// `cloven serve`.
pub fn serve(args: ServeArgs, json: bool) -> Result<(), Error> {
    match args.events {
        true => under_run(&args.party.clone(), || {
            let job = ServiceJob::read(&args.job, &[])?;
            accept_digest(&job.digest_hex(), args.accept.as_deref(), "")?;
            serving(&args, job, &mut |stamped: Stamped| emit(&stamped)).map(drop)
        }),
        false => {
            let job = ServiceJob::read(&args.job, &parse_settings(&args.set)?)?;
            job.role(&args.party)?;
            show_terms(&terms(&job)?, args.accept.as_deref());
            accept_digest(&job.digest_hex(), args.accept.as_deref(), "Serve?")?;
            let mut progress = Progress::new(args.party.clone());
            let result = serving(&args, job, &mut |stamped: Stamped| progress.show(&stamped));
            progress.end();
            let report = result?;
            match json {
                true => print_line(&serde_json::to_string(&report).expect("reports have only string keys")),
                false => print_line(&format!(
                    "{} inferences answered in {}, {} sent",
                    report.figures.answering.times,
                    words::seconds(report.seconds_total),
                    words::bytes(report.traffic.sent)
                )),
            }
            Ok(())
        }
    }
}

fn serving(
    args: &ServeArgs,
    job: ServiceJob,
    watch: &mut cloven::party::Watch<'_>,
) -> Result<cloven::service::ServerReport, Error> {
    let local = Local::read(&local_path(args.local.as_ref(), &args.job, &args.party))?;
    let share = args.share.clone().or_else(|| local.share.clone());
    let share = share.unwrap_or_else(|| folder_of(&args.job).join("shares").join(format!("{}.share", args.party)));
    let work = Work {
        pool: args.pool,
        open_when_full: args.open_when_full,
        inferences: args.stop_after,
    };
    let metrics = args.metrics.or(local.metrics);
    let metrics = metrics.map(|address| Metrics::serve_service(address, &job, &args.party));
    let Some(metrics) = metrics.transpose()? else {
        return Member::new(job, args.party.clone(), local)?.serve(&share, work, watch);
    };
    watch(metrics.announcement());
    let result = Member::new(job, args.party.clone(), local).and_then(|server| {
        server.serve(&share, work, &mut |stamped| {
            metrics.observe(&stamped);
            watch(stamped);
        })
    });
    linger(metrics, result.as_ref().err(), args.metrics_linger);
    result
}

/// `cloven predict` at a user.
pub fn predict(args: PredictArgs, json: bool) -> Result<(), Error> {
    let Some(party) = args.party.clone() else {
        return Err(Error::Configuration {
            place: "--as".into(),
            problem: "say which user asks; `cloven run` starts all parties of a trial".into(),
        });
    };
    let job = ServiceJob::read(&args.run_folder, &[])?;
    if args.events {
        return under_run(&party, || {
            accept_digest(&job.digest_hex(), args.accept.as_deref(), "")?;
            let (_, answers) = asking(&args, &job, &party, &mut |stamped: Stamped| emit(&stamped))?;
            write(&args, &job, &answers)
        });
    }
    show_terms(&terms(&job)?, args.accept.as_deref());
    accept_digest(&job.digest_hex(), args.accept.as_deref(), "Ask this service?")?;
    let mut progress = Progress::new(party.clone());
    let result = asking(&args, &job, &party, &mut |stamped: Stamped| progress.show(&stamped));
    progress.end();
    let (report, answers) = result?;
    write(&args, &job, &answers)?;
    match (json, &args.output) {
        (true, _) => {
            let classes = answers.classes(&job);
            let rows: Vec<Vec<f32>> = answers.0.outer_iter().map(|row| row.to_vec()).collect();
            print_line(&serde_json::json!({ "report": report, "classes": classes, "outputs": rows }).to_string());
        }
        (false, None) => print_line(answers.to_csv(&job).trim_end()),
        (false, Some(_)) => (),
    }
    tell(format!(
        "{} inputs answered in {}, {} an input",
        report.rows,
        words::seconds(report.seconds_total),
        words::bytes((report.traffic.sent + report.traffic.received) / report.rows.max(1) as u64)
    ));
    Ok(())
}

fn asking(
    args: &PredictArgs,
    job: &ServiceJob,
    party: &Party,
    watch: &mut cloven::party::Watch<'_>,
) -> Result<(UserReport, Answers), Error> {
    let local = Local::read(&local_path(args.local.as_ref(), &args.run_folder, party))?;
    let questions = match args.input.first() {
        Some(input) => Questions::read(job, &input.file)?,
        None => Questions::of_trial(job, job.place_of_user(party))?,
    };
    Member::new(job.clone(), party.clone(), local)?.ask(&questions, watch)
}

fn write(args: &PredictArgs, job: &ServiceJob, answers: &Answers) -> Result<(), Error> {
    args.output.as_deref().map_or(Ok(()), |path| answers.write(job, path))
}

/// `cloven model`.
pub fn model(command: ModelCommand, json: bool) -> Result<(), Error> {
    match command {
        ModelCommand::Import { model, output } => import(&model, &output, json),
        ModelCommand::Share { model, job, output } => share(&model, &job, &output, json),
    }
}

fn import(model: &Path, output: &Path, json: bool) -> Result<(), Error> {
    let imported = cloven::import_onnx(model, output)?;
    imported.notes.iter().for_each(tell);
    tell(format!(
        "wrote {}: {} numbers of {} layers",
        output.display(),
        imported.parameters,
        imported.layers.len()
    ));
    match json {
        true => print_line(&serde_json::to_string(&imported).expect("only string keys")),
        false => print_line(imported.to_toml().trim_end()),
    }
    Ok(())
}

fn share(model: &Path, job: &Path, output: &Path, json: bool) -> Result<(), Error> {
    let job = ServiceJob::read(job, &[])?;
    let shared = share_model(&job, model, output)?;
    match json {
        true => print_line(&serde_json::to_string(&shared).expect("only string keys")),
        false => {
            let files: Vec<String> = shared.shares.iter().map(|path| path.display().to_string()).collect();
            shared.notes.iter().for_each(tell);
            let room = shared.room_bits.map_or(String::new(), |room| {
                format!("; {room:.1} bits to spare at the tightest place")
            });
            print_line(&format!(
                "{} parameters shared among {} servers{room}\n{}\nGive each file to its server only: all of them together are the network.",
                shared.parameters,
                files.len(),
                files.join("\n")
            ));
        }
    }
    Ok(())
}

/// The job in words, with what each party learns.
fn terms(job: &ServiceJob) -> Result<String, Error> {
    let parties: Vec<String> = job
        .parties
        .iter()
        .map(|(party, role)| format!("{party} ({})", role.name()))
        .collect();
    Ok(format!(
        "job {}\nsecure inference on {}; parties: {}\n{}",
        job.digest_hex(),
        job.data.name,
        parties.join(", "),
        words::leaks(&job.leaks()?)
    ))
}

fn in_words(summary: &ServiceSummary) -> String {
    let accuracy = match (summary.accuracy, summary.accuracy_floating_point) {
        (Some(accuracy), Some(float)) => format!(
            "\naccuracy: {} on the rows asked about; {} in floating point on all test rows",
            words::percent(accuracy),
            words::percent(float)
        ),
        _ => String::new(),
    };
    let equal = match summary.equal_to_fixed_point {
        Some(true) => "\nevery answer is that of the fixed-point network in the clear, bit for bit",
        Some(false) => "\nDIFFERENT from the fixed-point network in the clear",
        None => "",
    };
    let memory = summary.peak_rss_bytes.values().flatten().max();
    format!(
        "{} inputs answered by {} servers{accuracy}{equal}\n\
         the servers met in {}, {}; each inference: prepared in {}, {}; answered in {}, {}\n\
         a user waited {} and exchanged {} an input; most memory of a party: {}",
        summary.rows,
        summary.servers,
        words::seconds(summary.seconds_meeting),
        words::bytes(summary.bytes_meeting),
        words::seconds(summary.seconds_preparing),
        words::bytes(summary.bytes_preparing),
        words::seconds(summary.seconds_answering),
        words::bytes(summary.bytes_answering),
        words::seconds(summary.seconds_user),
        words::bytes(summary.bytes_user),
        memory.map_or("not known".into(), |bytes| words::bytes(*bytes)),
    )
}

/// A table with a line for each layer.
fn by_layer(summary: &ServiceSummary) -> String {
    let mut text = format!("\n{:<24} {:>12} {:>12}", "layer, one inference", "prepared", "answered");
    for layer in &summary.layers {
        let [prepared, answered] = [layer.preparing, layer.answering].map(words::bytes);
        text += &format!("\n{:<24} {prepared:>12} {answered:>12}", layer.layer);
    }
    text
}

fn local_path(given: Option<&PathBuf>, job: &Path, party: &Party) -> PathBuf {
    given
        .cloned()
        .unwrap_or_else(|| folder_of(job).join(party.as_str()).join(Local::FILE))
}
