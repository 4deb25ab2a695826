//! Settings of the encryption.

use serde::{Deserialize, Serialize};

/// Settings of the encryption.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// `encrypted-activation`: which messages are encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// `encrypted-model`, samples in the clear: bits after the point that samples keep; 4 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bits: Option<u32>,
    /// `encrypted-model`, samples in the clear: so many rows' steps of the first layer share a ciphertext and outputs are merged (a power of two, up to
    /// 256), for slow links; a ciphertext for each row unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packing: Option<usize>,
    /// `encrypted-model`, samples in the clear: the largest error of the first layer's outputs that noise may cause; 0.001 unless given. (Other layers
    /// are encrypted anew in every batch.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// `encrypted-model`: where the initial weights of the server's layers come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeights>,
    /// `encrypted-model`: how the server gets the samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
}

/// How the server of `encrypted-model` gets the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Samples {
    /// As they are; its first layer, a dense one, is updated where it is.
    #[default]
    Clear,
    /// Under the client's key; any optimiser, and many times the work and bytes.
    Encrypted,
}

/// Where the initial weights of layers on ciphertexts or shares come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialWeights {
    /// The client's own randomness, or parts that only one holder each knows.
    #[default]
    Secret,
    /// The job's seed, which everybody knows: for comparisons only.
    Public,
}

/// Modes of `encrypted-activation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Activations and gradients.
    #[default]
    Sealed,
    /// The published flow: activations only, gradients in the clear, which gives the activations away. For comparison.
    Paper,
}
