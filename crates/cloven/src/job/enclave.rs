//! `enclave`: how operands are hidden from workers, and how the enclave proves what it is.

use cloven_attest::{Digest, Kind};
use cloven_nn::LayerSpec;
use cloven_protocols::{
    Leak,
    enclave::{self, Terms},
};
use serde::{Deserialize, Serialize};

use super::{InitialWeights, Job, Protocol, Role};
use crate::Error;

/// Every worker is a connection of the enclave's.
const MAX_WORKERS: usize = 64;

/// Settings of `enclave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enclave {
    /// How operands of products are hidden from workers.
    #[serde(default)]
    pub blinding: Blinding,
    /// `permute`: after so many batches the permutations are drawn anew; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekey_every: Option<u64>,
    /// How the enclave proves what it is. `simulated` proves nothing, and has to be asked for by this name.
    pub attestation: Kind,
    /// Where the initial weights come from: the client alone, or the job's seed, which workers know too.
    #[serde(default)]
    pub initial_weights: InitialWeights,
}

/// How operands of products are hidden from workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blinding {
    /// Secret shares at three workers.
    #[default]
    Masked,
    /// Signed permutations: obfuscation.
    Permute,
    /// Not at all: to measure what the others cost.
    None,
}

impl Job {
    /// What the parties of an enclave's job know of each other.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a job of another protocol, or without a client or a server.
    pub fn enclave_terms(&self) -> Result<Terms, Error> {
        let Enclave {
            blinding,
            rekey_every,
            attestation,
            ..
        } = self.enclave_settings()?;
        let only = |role: Role| {
            let missing = || Error::configuration("parties", format!("protocol enclave needs a {}", role.name()));
            self.of_role(role).next().cloned().ok_or_else(missing)
        };
        Ok(Terms {
            customer: only(Role::Client)?,
            enclave: only(Role::Server)?,
            workers: self.of_role(Role::Worker).cloned().collect(),
            blinding: match blinding {
                Blinding::Masked => enclave::Blinding::Masked,
                Blinding::Permute => enclave::Blinding::Permute {
                    rekey_every: rekey_every.unwrap_or(1),
                },
                Blinding::None => enclave::Blinding::None,
            },
            simulated: !attestation.is_real(),
        })
    }

    /// The section `[enclave]`.
    pub(crate) fn enclave_settings(&self) -> Result<Enclave, Error> {
        self.enclave.ok_or_else(|| {
            let problem = "protocol enclave needs it: say at least attestation = \"tdx\", \"sev-snp\", \"sgx\" or \"simulated\"";
            Error::configuration("enclave", problem)
        })
    }

    pub(super) fn enclave_leaks(&self) -> Vec<Leak> {
        let Ok(terms) = self.enclave_terms() else { return Vec::new() };
        let mut leaks = terms.leaks();
        let public = self
            .enclave
            .is_some_and(|enclave| enclave.initial_weights == InitialWeights::Public);
        leaks.extend(public.then(|| {
            Leak {
                party: terms
                    .workers
                    .iter()
                    .map(|worker| worker.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                learns: "the weights that training begins with: they come from the job's seed".into(),
            }
        }));
        leaks
    }

    /// Whether an enclave's job makes sense: the key that is wrong, and why.
    pub(super) fn check_enclave(&self) -> Result<(), (&'static str, String)> {
        let workers = self.of_role(Role::Worker).count();
        if self.protocol != Protocol::Enclave {
            let foreign = |key, problem: &str| Err((key, format!("protocol {} has no {problem}", self.protocol.name())));
            return match (&self.enclave, workers) {
                (Some(_), _) => foreign("enclave", "such setting"),
                (None, 0) => Ok(()),
                (None, _) => foreign("parties", "workers"),
            };
        }
        let count = |role| self.of_role(role).count();
        let others = self.parties.len() - count(Role::Client) - count(Role::Server) - workers;
        if count(Role::Client) != 1 || count(Role::Server) != 1 || others > 0 || workers > MAX_WORKERS {
            let problem = format!("protocol enclave needs one client, one server (the enclave) and up to {MAX_WORKERS} workers");
            return Err(("parties", problem));
        }
        let settings = self.enclave_settings().map_err(|error| ("enclave", error.to_string()))?;
        let needed = match settings.blinding {
            Blinding::Masked => cloven_accel::masked::WORKERS,
            Blinding::Permute | Blinding::None => 1,
        };
        if workers < needed {
            let problem = format!("this blinding needs {needed} workers (role worker), the job has {workers}");
            return Err(("enclave.blinding", problem));
        }
        match (settings.blinding, settings.rekey_every) {
            (Blinding::Permute, Some(0)) => Err(("enclave.rekey_every", "expected at least 1 batch".into())),
            (Blinding::Masked | Blinding::None, Some(_)) => {
                Err(("enclave.rekey_every", "only blinding = \"permute\" has keys that stay".into()))
            }
            _ if self.model.server_layers.is_some() => {
                let problem = "under protocol enclave the enclave has all layers: leave it out";
                Err(("model.server_layers", problem.into()))
            }
            _ if self.training.class_weights.is_some() => {
                Err(("training.class_weights", "protocol enclave does not weigh classes".into()))
            }
            (Blinding::Masked, None) => self.check_depth(),
            _ => Ok(()),
        }
    }

    /// Whether weight gradients have no more terms than sums of residues can have: a term for every row of a batch and position of a sample.
    fn check_depth(&self) -> Result<(), (&'static str, String)> {
        let cut = self.cut().map_err(|error| ("model", error.to_string()))?;
        let shapes = cut.model.shapes().map_err(|error| ("model", error.to_string()))?;
        let layers = cut.model.layers.iter().zip(shapes.windows(2));
        let positions = layers.map(|(layer, shapes)| match (layer, &shapes[0][..], &shapes[1][..]) {
            (LayerSpec::Conv1d { .. } | LayerSpec::Conv2d { .. }, _, [_, places @ ..]) => places.iter().product(),
            // At most: its layers may have strides.
            (LayerSpec::Residual { .. }, [_, places @ ..], _) if places.len() == 2 => places.iter().product(),
            (_, [tokens, _], [_, _]) => *tokens,
            _ => 1,
        });
        let positions: usize = positions.max().unwrap_or(1);
        let most = cloven_accel::MAX_DEPTH / positions;
        match self.training.batch > most {
            true => Err((
                "training.batch",
                format!(
                    "blinding = \"masked\" can sum the weight gradients of at most {most} samples with {positions} positions each"
                ),
            )),
            false => Ok(()),
        }
    }

    /// All layers at the server, which sees everything.
    pub(super) fn unprotected_enclave(&self) -> Self {
        let mut job = Self {
            protocol: Protocol::Plain,
            enclave: None,
            ..self.clone()
        };
        job.parties.retain(|_, role| *role != Role::Worker);
        job.model.server_layers = self.cut().ok().map(|cut| cut.server.collect());
        job
    }
}

/// What this version of the program claims to be where attestation is simulated.
pub(crate) fn simulated_measurement() -> Digest<48> {
    let mut measurement = [0; 48];
    let mut hasher = blake3::Hasher::new_derive_key("cloven v1 simulated enclave");
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    hasher.finalize_xof().fill(&mut measurement);
    Digest(measurement)
}

#[cfg(test)]
mod tests;
