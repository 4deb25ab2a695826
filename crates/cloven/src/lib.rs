//! The library behind every front of Cloven: job files, identities on disk, one party's run, all parties' run on one machine,
//! progress, run folders and summaries.
//!
//! Data goes one way: [`Job`] and [`Local`] → [`party::Prepared`] → a protocol's script; results come back as [`Update`]s, of which a
//! [`RunFolder`] keeps a record.

mod accelerator;
mod align;
mod alignment;
mod audit;
mod bench;
mod catalogue;
mod checkpoints;
mod demo;
mod encrypted_layer;
mod encrypted_rows;
mod error;
mod export;
mod files;
mod first_layer;
mod identity;
mod import;
pub mod init;
mod job;
mod local;
mod logs;
mod metrics;
mod orchestrate;
pub mod party;
pub mod plan;
pub mod predict;
mod program;
mod record;
mod report;
mod reporter;
mod run_folder;
pub mod service;
mod summary;
mod tensorboard;
mod update;
mod vertical_preprocessing;

pub use accelerator::{AcceleratedWorker, Accelerator};
pub use align::{AlignOptions, AlignmentSummary, align, can_align};
pub use alignment::{AdjustedValues, Alignment};
pub use audit::{Audit, AuditOptions, Audits, Example, Finding, PartyAudit, audit};
pub use bench::{BenchOptions, BenchRow, bench};
pub use catalogue::DATASETS;
pub use demo::{Demo, DemoOptions, DemoRun, demo};
pub use error::{EXIT_CODES, Error};
pub use export::{Exported, Layers, export};
pub use identity::{PublicIdentity, RosterFile};
pub use import::{Imported, import_onnx};
pub use job::{ClassWeights, Job, Protocol, Role, Vertical, parse_settings};
pub use local::{ColumnRange, Deadlines, Limits, Local, LocalData, Part, TableSource};
pub use logs::Logs;
pub use metrics::{Metrics, MetricsAddress};
pub use orchestrate::{Run, RunOptions, run};
pub use program::Program;
pub use record::Record;
pub use report::{EpochRow, Facts, Failure, PhaseRow, Report, State};
pub use run_folder::RunFolder;
pub use summary::{EncryptionParameters, PartySummary, PreprocessingTraffic, Summary};
pub use update::{Stamped, Update};

pub use cloven_data as data;
pub use cloven_protocols::{Leak, Position, helpers};
pub use cloven_wire::{Party, PartyError, tcp::Emulation};
