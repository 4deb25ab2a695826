//! Garbled circuits: constant rounds, tables that are made and consumed in chunks.

pub mod bmr;
pub mod half_gates;
pub(crate) mod projection;
