//! The command line.

use std::{path::PathBuf, sync::LazyLock};

use clap::{Args as ClapArgs, Parser, Subcommand};
use cloven::{Emulation, MetricsAddress, Party, init::Purpose, predict::Input};

use crate::logging;

static EXIT_CODES: LazyLock<String> = LazyLock::new(|| {
    let lines: Vec<String> = cloven::EXIT_CODES
        .iter()
        .map(|(code, meaning)| format!("  {code:>3}  {meaning}"))
        .collect();
    format!("Exit codes:\n{}", lines.join("\n"))
});

const PREDICT_EXAMPLES: &str = "Examples:\n  cloven predict runs/20261121T093000Z-wdbc-plain --input new.csv\n  \
    cloven predict runs/20261121T093000Z-wdbc-plain --input new.npy --output predictions.csv --json\n  \
    cloven predict runs/20261121T093000Z-digits-encrypted-model --input new.csv --hide-input\n  \
    cloven predict runs/20261121T093000Z-credit-vertical --input bank=new-b.csv --input shop=new-s.csv\n\n\
    On two machines, each with its own run folder:\n  cloven predict runs/... --as hospital --input new.csv --output predictions.csv\n  \
    cloven predict runs/... --as cloud             answers until the hospital has its predictions\n\n\
    Columns: row (counted from 0), class, and for each class the probability (for a regression the values).\n\
    Where the file has the target column too, the accuracy is shown.";

fn purpose(name: &str) -> Result<Purpose, String> {
    Purpose::named(name).map_err(|error| error.to_string())
}
/// `FILE` or `NAME=FILE`.
fn input(text: &str) -> Result<Input, String> {
    let named = text.split_once('=').and_then(|(name, file)| Some((name.parse().ok()?, file)));
    let (party, file) = named.map_or((None, text), |(party, file)| (Some(party), file));
    Ok(Input {
        party,
        file: file.into(),
    })
}

const PLAN_EXAMPLES: &str = "Examples:\n  cloven plan trial/job.toml\n  cloven plan trial/job.toml --link 100Mbps,rtt=50ms\n  \
    cloven plan trial/job.toml --cut 2 --cut 2..4 --memory hospital=2GB --memory cloud=500MB\n  \
    cloven plan ecg/job.toml --rows 13245,13245 --json        without the data, at the server's operator\n\n\
    Every cut is tried in this process on a few made-up rows, by the parties' own scripts; what was measured is kept for later plans and for\n\
    `cloven run`, which shows the prediction beside its measurement. Measure on a quiet machine; --fresh measures again.\n\
    Layers are numbered from 0; * marks the job's own cut, > the recommended one.";

/// Trains split neural networks across parties that may not show each other their data, labels or model.
#[derive(Parser)]
#[command(name = "cloven", version, after_help = EXIT_CODES.as_str(), max_term_width = 120)]
pub struct Args {
    /// Print one JSON object on stdout; text for people goes to stderr
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Subcommand)]
pub enum Command {
    /// Train by every protocol on the data inside the program, every party as a process of its own: a look around in seconds
    #[command(
        after_help = "Examples:\n  cloven demo\n  cloven demo --runs /tmp/demo --json\n\nPrints one table; writes a report.html into each \
                      run folder and demo.html, which links them, beside the run folders."
    )]
    Demo(DemoArgs),
    /// Make a job file and, per party, key, certificate and local settings
    #[command(
        after_help = "Examples:\n  cloven init trial                       both parties on this machine, embedded data\n  \
                      cloven init ecg --data mitbih           heart beats from the folder in CLOVEN_DATA\n  \
                      cloven init three --client north,south,west   three hospitals and a cloud\n  \
                      cloven init ecg --data own --as hospital   only the hospital's key; run on the hospital's machine"
    )]
    Init(InitArgs),
    /// Run every party of a job on this machine, each as its own process, over mutual TLS on loopback
    #[command(
        after_help = "Examples:\n  cloven run trial/job.toml\n  cloven run trial/job.toml --set training.epochs=3 --json\n  \
                      cloven run trial/job.toml --emulate 100Mbps,rtt=50ms\n  cloven run trial/job.toml --metrics             prints \
                      where each party's metrics are\n  cloven run trial/job.toml --log info,cloven_wire=trace 2> run.log\n  cloven run trial/job.toml --resume runs/20260101T120000Z-wdbc-plain"
    )]
    Run(RunArgs),
    /// Predict what a job costs at each possible cut: seconds, bytes, memory, noise and what each party learns; recommend one
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// Take part in a job as one party, on its own machine
    #[command(after_help = "Examples:\n  cloven party ecg/job.toml --as hospital\n  \
                      cloven party ecg/job.toml --as hospital --accept 3f9c2a7d0b1e4c55\n  \
                      cloven party ecg/job.toml --as hospital --metrics 9100 --metrics-linger 60\n  \
                      cloven party ecg/job.toml --as hospital --accept 3f9c2a7d0b1e4c55 --log debug --log-json 2> hospital.log")]
    Party(PartyArgs),
    /// Be a server of a service (protocol secure-inference), on its own machine: answer users until interrupted
    #[command(
        after_help = "Examples:\n  cloven serve clinic/job.toml --as gate --share gate.share --pool 8\n  \
                      cloven serve clinic/job.toml --as east --accept 3f9c2a7d0b1e4c55\n\nThe gateway answers when all servers have met; a server that is lost is \
                      waited for, and then all meet again, with everything made anew."
    )]
    Serve(ServeArgs),
    /// Bring a trained network into a form that servers share
    #[command(subcommand)]
    Model(ModelCommand),
    /// Predict with a trained network, under the same protection as in training, or ask a service
    #[command(after_help = PREDICT_EXAMPLES)]
    Predict(PredictArgs),
    /// Run every protocol on the same data and compare time, bytes and accuracy with plain split learning of the same job, in one run
    #[command(after_help = "Examples:\n  cloven bench\n  cloven bench --data mitbih --epochs 2 --repeats 5 --json")]
    Bench(BenchArgs),
    /// Show a run folder as one page: accuracy, curves, time and bytes, what each party learned
    #[command(after_help = "Examples:\n  cloven report runs/20260101T120000Z-mitbih-plain\n  \
                      cloven report runs/20260101T120000Z-mitbih-plain --json\n\nWrites report.html into the folder. It loads nothing from \
                      elsewhere; failed and unfinished runs, and runs of one party alone, have one too.")]
    Report(ReportArgs),
    /// Attack what the parties of a run recorded, and say how much came back beside what chance gives
    #[command(
        after_help = "Examples:\n  cloven run ecg/job.toml --record 500 --run-folder trial\n  cloven audit trial\n  \
                      cloven audit trial --local ecg/hospital/local.toml --json\n\nFor a run of all parties on one machine: the client's \
                      data are loaded again to compare with. Writes audit.json; `cloven report` shows it with pictures. Both then hold rows \
                      of the client's data. An attack that did not succeed does not show that none can."
    )]
    Audit(AuditArgs),
    /// Write trained weights as one safetensors file that PyTorch loads
    #[command(
        after_help = "Examples:\n  cloven export runs/20260101T120000Z-mitbih-plain --output model.safetensors --snippet\n  \
                      cloven export runs/20260101T120000Z-mitbih-plain --as hospital --output hospital.safetensors\n\nWithout --as the \
                      folder must hold the weights of server and client, as that of `cloven run` does; under vertical the shares of all holders too."
    )]
    Export(ExportArgs),
    /// Pin the identities of other parties
    #[command(subcommand)]
    Roster(RosterCommand),
    /// Look at data files; align the rows of holders
    #[command(subcommand)]
    Data(DataCommand),
}

impl Command {
    /// What is to be logged, and the party whose process this is, for the verbs that log.
    pub fn logs(&self) -> Option<(&LogArgs, Option<&Party>)> {
        match self {
            Self::Run(args) => Some((&args.logs, None)),
            Self::Party(args) => Some((&args.logs, Some(&args.party))),
            Self::Predict(args) => Some((&args.logs, args.party.as_ref())),
            Self::Data(DataCommand::Align(args)) => Some((&args.logs, args.party.as_ref())),
            Self::Serve(args) => Some((&args.logs, Some(&args.party))),
            _ => None,
        }
    }
}

/// `cloven demo`
#[derive(ClapArgs)]
pub struct DemoArgs {
    /// Where run folders and demo.html are made
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
}

/// `cloven init`
#[derive(ClapArgs)]
pub struct InitArgs {
    /// The folder to make; an existing job.toml in it is kept and used, and so is a party's local.toml
    pub folder: PathBuf,
    /// What the new job trains on: wdbc, digits, mitbih, mnist, cifar10 (enclave), credit (vertical), ptbxl, mitdb, or own (a CSV file of yours) [default:
    /// wdbc; of a service, which takes digits, mnist or own, digits]
    #[arg(long)]
    pub data: Option<String>,
    /// The new job's protocol: plain, encrypted-activation, encrypted-model, vertical, enclave; or secure-inference, a service
    #[arg(long = "protocol", value_name = "NAME", value_parser = purpose)]
    pub purpose: Option<Purpose>,
    /// Make only this party's key and settings; its public identity is written beside the job
    #[arg(long = "as", value_name = "NAME")]
    pub only: Option<Party>,
    /// Name of a client, who has data, or of a service's user; several clients (NAME,NAME) share the server's layers
    #[arg(long = "client", default_value = "hospital", value_name = "NAME", value_delimiter = ',')]
    pub clients: Vec<Party>,
    /// Name of the server
    #[arg(long, default_value = "cloud", value_name = "NAME")]
    pub server: Party,
}

/// What is logged; of `run`, `party`, `predict` and `data align`
#[derive(ClapArgs, Clone)]
pub struct LogArgs {
    /// Log to stderr: error, warn, info, debug (every step), trace (every message), or levels by part, such as info,cloven_wire=trace
    /// [default: CLOVEN_LOG, or off]
    #[arg(long, value_name = "LEVEL", value_parser = logging::checked)]
    pub log: Option<String>,
    /// Log one JSON object a line, info unless --log says otherwise, and write nothing else to stderr
    #[arg(long)]
    pub log_json: bool,
}

/// `cloven run`
#[derive(ClapArgs)]
pub struct RunArgs {
    /// The job file
    pub job: PathBuf,
    /// Change a value of the job, such as training.epochs=3; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where run folders are made
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// Use this run folder; it must not exist
    #[arg(long, value_name = "FOLDER")]
    pub run_folder: Option<PathBuf>,
    /// Go on with the run in this folder, which was interrupted; the job and its --set values must be the same
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["run_folder", "compare_plain", "record"])]
    pub resume: Option<PathBuf>,
    /// Begin with the weights of this file, safetensors with PyTorch's names, instead of random ones; not under vertical [default:
    /// `initial_weights` in each party's local.toml, or random ones]
    #[arg(long, value_name = "FILE")]
    pub initial_weights: Option<PathBuf>,
    /// Also train by plain split learning, and report both
    #[arg(long)]
    pub compare_plain: bool,
    /// Imitate a link of this bandwidth and round-trip time between the parties, such as 100Mbps,rtt=50ms
    #[arg(long, value_name = "LINK")]
    pub emulate: Option<Emulation>,
    /// Write report.html into the run folder, also when the run fails
    #[arg(long)]
    pub report: bool,
    /// Record everything a party receives in transcript/NAME.view of the run folder, or the first BATCHES only; confidential
    #[arg(long, value_name = "BATCHES")]
    pub record: Option<Option<u32>>,
    /// Let every party serve its metrics for Prometheus at a free port of 127.0.0.1; the addresses are printed
    #[arg(long)]
    pub metrics: bool,
    /// Of a service: so many inferences are kept prepared
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub pool: usize,
    /// Of a service: show the bytes of each layer, as --json always does
    #[arg(long)]
    pub layers: bool,
    #[command(flatten)]
    pub logs: LogArgs,
    /// Predict time and bytes first, as `cloven plan` does for this cut [default: only where that was measured before]
    #[arg(long)]
    pub plan: bool,
    /// Where the measurements of `cloven plan` are kept [default: $CLOVEN_CACHE, or cloven in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
}

/// `cloven plan`
#[derive(ClapArgs)]
pub struct PlanArgs {
    /// The job file
    pub job: PathBuf,
    /// Change a value of the job, such as training.epochs=3; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The link between the parties, such as 100Mbps,rtt=50ms [default: all on this machine]
    #[arg(long, value_name = "LINK")]
    pub link: Option<Emulation>,
    /// A cap on a party's memory, such as cloud=2GB; may be repeated [default: limits.memory_mb of its local.toml]
    #[arg(long, value_name = "NAME=SIZE", value_parser = memory_cap)]
    pub memory: Vec<(Party, u64)>,
    /// Only this cut: the server's layer, or its first and last as 2..4; may be repeated [default: all]
    #[arg(long, value_name = "LAYERS", value_parser = layers)]
    pub cut: Vec<Layers>,
    /// Training and test rows of each client, or under vertical those that all holders have, such as 13245,13245 [default: those of the data,
    /// which are loaded]
    #[arg(long, value_name = "TRAIN,TEST", value_parser = rows)]
    pub rows: Option<[usize; 2]>,
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// Where measurements are kept.
#[derive(ClapArgs)]
pub struct CacheArgs {
    /// Where measurements are kept [default: $CLOVEN_CACHE, or cloven in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// Measure again what was measured before
    #[arg(long)]
    pub fresh: bool,
}

/// Layers from the first to before the second number.
pub type Layers = std::ops::Range<usize>;

fn layers(text: &str) -> Result<Layers, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last && last < usize::MAX => Ok(first..last + 1),
        _ => Err("expected a layer such as 2, or the first and the last such as 2..4".into()),
    }
}

fn rows(text: &str) -> Result<[usize; 2], String> {
    let (train, test) = text.split_once(',').unwrap_or((text, "0"));
    match (train.trim().parse(), test.trim().parse()) {
        (Ok(train), Ok(test)) => Ok([train, test]),
        _ => Err("expected training and test rows such as 1000,200".into()),
    }
}

fn memory_cap(text: &str) -> Result<(Party, u64), String> {
    let expected = || "expected a party and a size such as cloud=2GB (kB, MB, GB)".to_owned();
    let (party, size) = text.split_once('=').ok_or_else(expected)?;
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, bytes)| Some((size.trim().strip_suffix(unit)?, *bytes)))
        .ok_or_else(expected)?;
    let number: f64 = number.trim().parse().map_err(|_| expected())?;
    if !(0.0..1e9).contains(&number) {
        return Err(expected());
    }
    let party = party.trim().parse().map_err(|e: cloven::PartyError| e.to_string())?;
    Ok((party, (number * unit) as u64))
}

/// `cloven party`
#[derive(ClapArgs)]
pub struct PartyArgs {
    /// The job file; every party needs the same
    pub job: PathBuf,
    /// Which party this is
    #[arg(long = "as", value_name = "NAME")]
    pub party: Party,
    /// The party's own settings [default: NAME/local.toml beside the job]
    #[arg(long, value_name = "FILE")]
    pub local: Option<PathBuf>,
    /// Accept the job with this digest (at least its first 16 digits) without being asked
    #[arg(long, value_name = "DIGEST")]
    pub accept: Option<String>,
    /// Change a value of the job; every party needs the same changes
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where run folders are made
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// Use this run folder; it must not exist
    #[arg(long, value_name = "FOLDER")]
    pub run_folder: Option<PathBuf>,
    /// Go on with the run in this folder, which was interrupted; the job and its --set values must be the same
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["run_folder", "record"])]
    pub resume: Option<PathBuf>,
    /// Record everything a party receives in transcript/NAME.view of the run folder, or the first BATCHES only; confidential
    #[arg(long, value_name = "BATCHES")]
    pub record: Option<Option<u32>>,
    /// Serve metrics for Prometheus at http://ADDRESS/metrics while training: a port of 127.0.0.1, or an address with its port [default:
    /// `metrics` in local.toml, or nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<MetricsAddress>,
    /// Leave the metrics up for so long after the end, so that the last figures are read
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub metrics_linger: u64,
    #[command(flatten)]
    pub logs: LogArgs,
    /// For `cloven run`: updates as JSON lines on stdout, no questions, end when stdin ends
    #[arg(long, hide = true, requires_all = ["accept", "run_folder"])]
    pub events: bool,
}

/// `cloven serve`
#[derive(ClapArgs)]
pub struct ServeArgs {
    /// The job file; every party needs the same
    pub job: PathBuf,
    /// Which server this is
    #[arg(long = "as", value_name = "NAME")]
    pub party: Party,
    /// This server's share of the network [default: `share` in local.toml, or shares/NAME.share beside the job]
    #[arg(long, value_name = "FILE")]
    pub share: Option<PathBuf>,
    /// The server's own settings [default: NAME/local.toml beside the job]
    #[arg(long, value_name = "FILE")]
    pub local: Option<PathBuf>,
    /// Accept the job with this digest (at least its first 16 digits) without being asked
    #[arg(long, value_name = "DIGEST")]
    pub accept: Option<String>,
    /// Change a value of the job; every party needs the same changes
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// At the gateway: so many inferences are kept prepared; without one, a request waits until one is
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    pub pool: usize,
    /// At the gateway: take users' inputs only once that many are prepared for the first time
    #[arg(long)]
    pub open_when_full: bool,
    /// At the gateway: end in good order after so many inferences
    #[arg(long, value_name = "COUNT")]
    pub stop_after: Option<u64>,
    /// Serve metrics for Prometheus at http://ADDRESS/metrics: a port of 127.0.0.1, or an address with its port [default: `metrics` in
    /// local.toml, or nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<MetricsAddress>,
    /// Leave the metrics up for so long after the end, so that the last figures are read
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub metrics_linger: u64,
    #[command(flatten)]
    pub logs: LogArgs,
    /// For `cloven run`: updates as JSON lines on stdout, no questions, end when stdin ends
    #[arg(long, hide = true, requires = "accept")]
    pub events: bool,
}

/// `cloven model`
#[derive(Subcommand)]
pub enum ModelCommand {
    /// Read an ONNX file: layers for a job file, and the weights to begin training with
    #[command(
        after_help = "Example:\n  cloven model import ecg.onnx --output ecg.safetensors > layers.toml\n  cloven run job.toml --initial-weights ecg.safetensors\n\n\
                      What is printed belongs into the job file, with server_layers under [model]."
    )]
    Import {
        /// The network, .onnx
        model: PathBuf,
        /// The file to write its weights to, as safetensors
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a share of a trained network for every server of a job
    #[command(
        after_help = "Example:\n  cloven model share model.onnx --job clinic/job.toml --output shares\n\nAll shares together are the network; any of them alone, or all but \
                      one, say nothing about it."
    )]
    Share {
        /// The network: .onnx, or .safetensors with PyTorch's names for the layers of the job's [trial]
        model: PathBuf,
        /// The job file of the service
        #[arg(long, value_name = "FILE")]
        job: PathBuf,
        /// The folder for NAME.share of every server
        #[arg(long, value_name = "FOLDER", default_value = "shares")]
        output: PathBuf,
    },
}

/// `cloven predict`
#[derive(ClapArgs)]
pub struct PredictArgs {
    /// The folder of the run that trained the network (without --as, of a `cloven run`, which holds every party's weights), or the job file of a service
    pub run_folder: PathBuf,
    /// The rows: CSV, npy, npz, HDF5, IDX, Parquet or WFDB, read as the training data were; the client's only. Under vertical, without --as,
    /// each holder's (NAME=FILE, several times), or one file that has the columns of all
    #[arg(long, value_name = "[NAME=]FILE", required_unless_present = "party", value_parser = input)]
    pub input: Vec<Input>,
    /// Write the predictions to this file: .csv, .npy (probabilities only) or .jsonl [default: CSV on stdout]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Be this party only, on its own machine
    #[arg(long = "as", value_name = "NAME")]
    pub party: Option<Party>,
    /// The party's own settings [default: those it trained with]
    #[arg(long, value_name = "FILE", requires = "party")]
    pub local: Option<PathBuf>,
    /// Accept the job with this digest (at least its first 16 digits) without being asked
    #[arg(long, value_name = "DIGEST", requires = "party")]
    pub accept: Option<String>,
    /// Whose rows, where the job has several clients
    #[arg(long, value_name = "NAME")]
    pub client: Option<Party>,
    /// Send the server ciphertexts of the rows only; for encrypted-model, whose server else sees them (of the others, plain cannot do it and
    /// encrypted-activation never shows them); the client's only
    #[arg(long)]
    pub hide_input: bool,
    #[command(flatten)]
    pub logs: LogArgs,
    /// For `cloven predict` itself: updates as JSON lines on stdout, no questions, end when stdin ends
    #[arg(long, hide = true, requires_all = ["party", "accept"])]
    pub events: bool,
}

/// `cloven bench`
#[derive(ClapArgs)]
pub struct BenchArgs {
    /// What to train on: wdbc or digits (inside the program), mitbih or mnist (from the folder in CLOVEN_DATA)
    #[arg(long, default_value = "wdbc")]
    pub data: String,
    /// Epochs of each run
    #[arg(long, default_value_t = 2)]
    pub epochs: u32,
    /// How often each protocol runs; ratios are taken within a repeat, and their median is shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: u32,
}

/// `cloven report`
#[derive(ClapArgs)]
pub struct ReportArgs {
    /// The run folder
    pub run_folder: PathBuf,
    /// Also write the metrics by epoch as FOLDER/RUN/events.out.tfevents.*, for `tensorboard --logdir FOLDER`
    #[arg(long, value_name = "FOLDER")]
    pub tensorboard: Option<PathBuf>,
}

/// `cloven audit`
#[derive(ClapArgs)]
pub struct AuditArgs {
    /// The run folder, of a run with --record
    pub run_folder: PathBuf,
    /// The client's local.toml, for data that are not known by name
    #[arg(long, value_name = "FILE")]
    pub local: Option<PathBuf>,
    /// Look at the first so many training rows
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rows: u32,
}

/// `cloven export`
#[derive(ClapArgs)]
pub struct ExportArgs {
    /// The run folder
    pub run_folder: PathBuf,
    /// Only this party's layers
    #[arg(long = "as", value_name = "NAME")]
    pub party: Option<Party>,
    /// With whose first and last layers, where the job has several clients
    #[arg(long, value_name = "NAME", conflicts_with = "party")]
    pub client: Option<Party>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Print Python that builds these layers and loads the file
    #[arg(long)]
    pub snippet: bool,
}

/// `cloven roster`
#[derive(Subcommand)]
pub enum RosterCommand {
    /// Pin the identity that another party sent
    #[command(
        after_help = "Example:\n  cloven roster add cloud.identity.toml --to ecg/hospital\n\nCompare the printed fingerprint with \
                      the other party by telephone."
    )]
    Add {
        /// The other party's NAME.identity.toml
        identity: PathBuf,
        /// This party's folder
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
        /// Replace an earlier pin of the same party
        #[arg(long)]
        replace: bool,
    },
    /// List the pinned identities
    List {
        /// This party's folder
        folder: PathBuf,
    },
}

/// `cloven data align`
#[derive(ClapArgs)]
pub struct AlignArgs {
    /// The job file; every holder needs the same
    pub job: PathBuf,
    /// Be this holder only, on its own machine [default: all holders, each as a process on this machine]
    #[arg(long = "as", value_name = "NAME")]
    pub party: Option<Party>,
    /// Write the common ids to this file (CSV, readable by its owner only), in the order that all agreed on; without --as, one for a holder each
    #[arg(long, value_name = "[NAME=]FILE", value_parser = input)]
    pub out: Vec<Input>,
    /// The holder's own settings [default: NAME/local.toml beside the job]
    #[arg(long, value_name = "FILE", requires = "party")]
    pub local: Option<PathBuf>,
    /// Accept the job with this digest (at least its first 16 digits) without being asked
    #[arg(long, value_name = "DIGEST", requires = "party")]
    pub accept: Option<String>,
    /// Change a value of the job; every holder needs the same changes
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub logs: LogArgs,
    /// For `cloven data align` itself: updates as JSON lines on stdout, no questions, end when stdin ends
    #[arg(long, hide = true, requires_all = ["party", "accept"])]
    pub events: bool,
}

/// `cloven data`
#[derive(Subcommand)]
pub enum DataCommand {
    /// Find the rows that all holders of a vertical job have, by private set intersection of their ids, without training
    #[command(
        after_help = "Examples:\n  cloven data align credit/job.toml --json                     all holders on this machine\n  \
                      cloven data align credit/job.toml --out bank=bank_ids.csv\n\nOn each holder's own machine, with keys, addresses and consent as for \
                      `cloven party`; server and dealer take no part:\n  cloven data align credit/job.toml --as bank --out common_ids.csv\n  cloven \
                      data align credit/job.toml --as bank --accept 3f9c2a7d0b1e4c55 --json\n\nEvery holder learns which of its ids all holders have, and \
                      how many distinct ids each has. A training aligns anew, in an order of its own."
    )]
    Align(Box<AlignArgs>),
    /// Show shapes, types, ranges, classes and missing values of data files
    #[command(after_help = "Examples:\n  cloven data inspect patients.csv.gz\n  cloven data inspect train_ecg.hdf5 --json")]
    Inspect {
        /// A CSV, HDF5, IDX, npy, npz or Parquet file, the .hea of a WFDB record (.gz allowed for CSV, IDX and npy), or a folder of such files
        path: PathBuf,
        /// The CSV file has no header line
        #[arg(long)]
        no_header: bool,
        /// The CSV file's delimiter
        #[arg(long, default_value_t = ',')]
        delimiter: char,
    },
}
