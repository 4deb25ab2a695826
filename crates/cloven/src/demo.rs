//! `cloven demo`: every protocol on the data sets inside the program, with a page for each run and one that links them.

use std::{path::PathBuf, time::Instant};

use serde::Serialize;

use crate::{
    Error, Job, Program, Report, RunOptions, Stamped, Summary,
    init::template,
    job::Protocol,
    report, run,
    service::{ServiceJob, ServiceOptions, ServiceSummary, run_service},
};

/// Where [`demo`] puts what it makes.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The `cloven` program; started once per party.
    pub program: Program,
    /// Run folders and the index page are made in here.
    pub runs: PathBuf,
}

/// What [`demo`] did.
#[derive(Debug, Clone, Serialize)]
pub struct Demo {
    /// Each run, in the order of the data sets; of each data set, plain split learning first.
    pub runs: Vec<DemoRun>,
    /// A service of three servers that answers questions about the digits.
    pub service: ServiceSummary,
    /// The page that links the pages of the runs.
    pub index: PathBuf,
    /// Wall time of everything.
    pub seconds_total: f64,
}

/// One protocol on one data set.
#[derive(Debug, Clone, Serialize)]
pub struct DemoRun {
    /// The run folder.
    pub run_folder: PathBuf,
    /// The page about it.
    pub report: PathBuf,
    /// Seconds of an epoch's training over those of plain split learning of the same data set.
    pub ratio_to_plain: f64,
    /// What the server sees, in few words; `summary.leaks` has it in full.
    pub cloud_sees: &'static str,
    /// The run's `summary.json`.
    pub summary: Summary,
}

/// The data sets of [`demo`].
const DATA: [&str; 2] = ["digits", "wdbc"];
/// The job of its service.
const SERVICE: &str = include_str!("../../../examples/05_secure_inference.toml");

/// Trains on each embedded data set by each protocol, and asks a service, every party as a process of its own. `begins` hears of each run before it starts,
/// `watch` of everything in it.
///
/// # Errors
/// The first run that fails, as [`run`]; [`Error::File`] for a page that cannot be written.
pub fn demo(options: &DemoOptions, begins: &mut dyn FnMut(&Job), watch: &mut dyn FnMut(&Stamped)) -> Result<Demo, Error> {
    let begun = Instant::now();
    let mut runs: Vec<DemoRun> = Vec::new();
    for data in DATA {
        let first = runs.len();
        for protocol in Protocol::ALL {
            // Pictures have no columns for several parties.
            if protocol == Protocol::Vertical && data != "wdbc" {
                continue;
            }
            let job = comparable_job(data, protocol, &[])?;
            begins(&job);
            let (summary, run_folder) = run(&job, &run_options(options, protocol), watch)?;
            let plain = runs.get(first).map_or(&summary, |plain| &plain.summary);
            runs.push(DemoRun {
                report: run_folder.join(Report::FILE),
                run_folder,
                ratio_to_plain: ratio_to_plain(&summary, plain),
                cloud_sees: protocol.server_sees(),
                summary,
            });
        }
    }
    let service = ServiceJob::parse(SERVICE, "demo", &[])?;
    let options_of_service = ServiceOptions::new(&options.program, &options.runs);
    let (service, _) = run_service(&service, &options_of_service, &mut |_| (), watch)?;
    Ok(Demo {
        service,
        index: report::write_index(&options.runs, &runs)?,
        runs,
        seconds_total: begun.elapsed().as_secs_f64(),
    })
}

/// Seconds of an epoch over those of plain split learning: of the same job where it was trained both ways, else of the job that the protocols share.
pub(crate) fn ratio_to_plain(summary: &Summary, shared: &Summary) -> f64 {
    summary.seconds_per_epoch / summary.seconds_per_epoch_plain.unwrap_or(shared.seconds_per_epoch)
}

/// Whether a protocol does not train the job that the others share, so that its own is trained both ways.
pub(crate) fn has_its_own_job(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::EncryptedModel | Protocol::Vertical | Protocol::Enclave)
}

/// The template's job with one dense layer at the server; under `encrypted-model`, whose server holds the model's first layers, `enclave`, whose server holds all, and
/// `vertical`, whose parties are others, it is another job.
pub(crate) fn comparable_job(data: &str, protocol: Protocol, settings: &[(String, toml::Value)]) -> Result<Job, Error> {
    let mut settings = settings.to_vec();
    if !has_its_own_job(protocol) {
        settings.push(("protocol".to_owned(), protocol.name().into()));
        if data == "wdbc" {
            settings.push(("model.server_layers".to_owned(), vec![2].into()));
        }
    }
    Job::parse(&template(data, Some(protocol))?, data, &settings)
}

fn run_options(options: &DemoOptions, protocol: Protocol) -> RunOptions {
    // No party's own settings: the data are inside the program.
    RunOptions {
        report: true,
        compare_plain: has_its_own_job(protocol),
        ..RunOptions::new(&options.program, &options.runs)
    }
}
