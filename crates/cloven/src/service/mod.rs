//! Secure inference as a service: its job, its owner's part, servers, users, and all of them on one machine.
//!
//! A service is no training: its job says nothing of layers, it has no epochs and no checkpoints, and its parties come and go.

mod ask;
mod job;
mod member;
mod owner;
mod report;
mod serve;
mod share;
#[cfg(test)]
mod tests;
mod together;
mod trial;

pub use ask::{Answers, Questions};
pub use cloven_protocols::secure_inference::Work;
pub use job::{Engine, Output, PROTOCOL, Service, ServiceJob, ServiceProtocol, ServiceRole, Trial};
pub use member::Member;
pub use report::{ServerReport, ServiceSummary, UserReport};
pub use share::{Shared, share_model};
pub use together::{ServiceOptions, run_service};
