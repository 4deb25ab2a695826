//! Training in an enclave that leaves its matrix products to untrusted accelerators.
//!
//! Paper: "Tempo: Confidentiality Preservation in Cloud-Based Neural Network Training" (arXiv 2401.11531).
//!
//! **Parties.** A *customer* with data, labels and model; an *enclave* (a confidential virtual machine, or SGX) in a cloud; *workers* with accelerators, untrusted. The
//! customer talks to the enclave only, and so do the workers.
//!
//! **When they meet.**
//!
//! 1. customer: a nonce                                              → enclave
//! 2. enclave: evidence whose report data binds its TLS key, the nonce and this very session ([`cloven_attest::ReportData`]) → customer, who checks it against its
//!    policy before anything else leaves it
//! 3. customer: the key under which the enclave seals its state, and the network → enclave
//!
//! **Flow**, per batch of rows (x, t):
//!
//! 1. customer: x, t                                                 → enclave
//! 2. enclave, for every product: operands, blinded             → workers; blinded products → enclave, which checks and unblinds them ([`products`]). Forward x W,
//!    then backward x^T g and g W^T; of attention too ([`cloven_nn::offload`]). Everything between is computed inside. Of a convolution whose windows overlap
//!    the workers get images, which they unfold
//! 3. enclave: the loss                                              → customer
//!
//! After an epoch the enclave sends the network. In evaluation it sends the outputs for x.
//!
//! **Who learns what.** [`Terms::leaks`] says it in full. Blinding of the products:
//!
//! - [`Blinding::Masked`]: three workers have Shamir shares of degree 1 of both operands ([`cloven_accel::masked`]); one alone learns nothing but shapes and times.
//! - [`Blinding::Permute`] (the paper's): signed permutations of rows and columns ([`cloven_accel::permuted`]). Whoever knows the initial weights finds them.
//! - [`Blinding::None`]: to measure what the others cost.
//!
//! Every product is checked in a random direction ([`cloven_accel::freivalds`]). A worker whose product is wrong, or who does not answer in time, or leaves, is
//! named ([`Event::WorkerDropped`](crate::Event::WorkerDropped)) and dropped; the enclave has kept the operands of the step, and others do its part, from then on too:
//!
//! - under `permute` and `none` all that are left;
//! - under `masked` a spare, which gets the same share of the same operands. Worker `number` has share `number mod 3` and never another ([`Terms::share`]).
//!
//! Where nobody is left who can, the run stops and says who failed. Without the customer it stops in any case.
//!
//! **Assumptions.** The hardware keeps the enclave's memory to itself and its quotes are honest; under `masked` no two workers with different shares put together
//! what they have.
//! **Non-goals.** Side channels of the enclave; hiding shapes, times and the number of steps.

mod attestation;
pub mod cost;
mod customer;
mod msg;
pub mod predict;
mod products;
mod sealing;
mod server;
mod terms;
mod worker;

#[cfg(test)]
mod tests;

pub use customer::{Customer, customer};
pub use msg::{
    BatchLoss, Challenge, EnclaveEvidence, MESSAGES, Outputs, Samples, SealingKey, Targets, TrainedNetwork, WorkerAnswer,
    WorkerJob,
};
pub use products::{SLOTS, images};
pub use server::{Enclave, enclave};
pub use terms::{Blinding, Terms};
pub use worker::worker;
