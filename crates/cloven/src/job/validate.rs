//! Whether a job makes sense, as far as one party can tell without its data.

use cloven_nn::Loss;

use super::{Encryption, Job, Mode, Protocol, Role, Samples};
use crate::Error;

/// Every client is a connection and a session at the server.
const MAX_CLIENTS: usize = 64;

impl Job {
    /// Whether the job makes sense; `place` names it in errors.
    pub(crate) fn validate(&self, place: &str) -> Result<(), Error> {
        let wrong = |key: &str, problem: String| Err(Error::configuration(format!("{place}: {key}"), problem));
        let count = |role| self.parties.values().filter(|r| **r == role).count();
        self.check_vertical()
            .and_then(|()| self.check_enclave())
            .or_else(|(key, problem)| wrong(key, problem))?;
        let pair = (1..=MAX_CLIENTS).contains(&count(Role::Client)) && count(Role::Server) == 1;
        let others = self.parties.len() - count(Role::Client) - count(Role::Server);
        if !matches!(self.protocol, Protocol::Vertical | Protocol::Enclave) && (!pair || others > 0) {
            return wrong(
                "parties",
                format!(
                    "protocol {} needs one to {MAX_CLIENTS} clients and one server",
                    self.protocol.name()
                ),
            );
        }
        let t = &self.training;
        if t.epochs == 0 || t.batch == 0 || t.evaluation_batch == 0 {
            return wrong("training", "epochs, batch and evaluation_batch must be at least 1".into());
        }
        if !(0.0..1.0).contains(&self.data.test_fraction) {
            return wrong(
                "data.test_fraction",
                format!("expected 0 or more and below 1, got {}", self.data.test_fraction),
            );
        }
        t.optimiser.validate()?;
        self.check_encryption()
            .or_else(|(key, problem)| wrong(&format!("encryption{key}"), problem))?;
        if self.protocol == Protocol::EncryptedModel {
            match self.samples() {
                Samples::Clear => drop((self.layer_encryption()?, self.product_layers()?)),
                Samples::Encrypted => drop(self.first_product()?),
            }
            if count(Role::Client) != 1 {
                return wrong(
                    "parties",
                    "encrypted-model has one client: the server's layer is under its key".into(),
                );
            }
            if self.samples() == Samples::Clear && !t.optimiser.is_memoryless() {
                return wrong(
                    "training.optimiser",
                    "encrypted-model with samples in the clear needs sgd without momentum: the server's layer is ciphertexts that steps are \
                     added to"
                        .into(),
                );
            }
        }
        if self.protocol == Protocol::EncryptedActivation {
            self.sealing()?;
            if self.mode() == Mode::Sealed && self.training.optimiser.weight_decay() != 0.0 {
                return wrong(
                    "training.optimiser.weight_decay",
                    "encrypted-activation needs 0: the client does not hold the weights that decay".into(),
                );
            }
        }
        let cut = self.cut()?;
        let shapes = cut.model.shapes()?;
        let output = shapes.last().map(Vec::as_slice).unwrap_or_default();
        self.check_output(output).or_else(|problem| wrong("model", problem))?;
        self.check_class_weights()
            .or_else(|problem| wrong("training.class_weights", problem))
    }

    /// Whether the settings of the encryption are those of the protocol, and in range.
    fn check_encryption(&self) -> Result<(), (&'static str, String)> {
        let Some(Encryption {
            mode,
            input_bits,
            packing,
            precision,
            initial_weights,
            samples,
        }) = self.encryption
        else {
            return Ok(());
        };
        let of_model = [
            (".input_bits", input_bits.is_some()),
            (".packing", packing.is_some()),
            (".precision", precision.is_some()),
            (".initial_weights", initial_weights.is_some()),
            (".samples", samples.is_some()),
        ];
        let foreign = |key| Err((key, format!("protocol {} has no such setting", self.protocol.name())));
        match self.protocol {
            Protocol::Plain | Protocol::Vertical | Protocol::Enclave => {
                return Err(("", format!("protocol {} has no encryption", self.protocol.name())));
            }
            Protocol::EncryptedActivation => {
                if let Some((key, _)) = of_model.into_iter().find(|(_, given)| *given) {
                    return foreign(key);
                }
            }
            Protocol::EncryptedModel if mode.is_some() => return foreign(".mode"),
            Protocol::EncryptedModel if samples == Some(Samples::Encrypted) => {
                if let Some((key, _)) = of_model[..3].iter().find(|(_, given)| *given) {
                    return Err((key, "samples that are encrypted have no such setting".into()));
                }
            }
            Protocol::EncryptedModel => (),
        }
        if packing.is_some_and(|packing| !packing.is_power_of_two() || packing > 256) {
            return Err((".packing", "expected a power of two up to 256".into()));
        }
        match precision {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err((".precision", format!("expected a positive number, got {value}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the network's output fits the loss and the classes.
    fn check_output(&self, output: &[usize]) -> Result<(), String> {
        let expected = match (self.training.loss, self.data.classes) {
            (Loss::CrossEntropy | Loss::Mse, _) if self.data.multi_label => {
                return Err("data.multi_label needs loss bce".into());
            }
            (Loss::CrossEntropy, Some(classes)) => vec![classes],
            (Loss::Bce, Some(2)) if !self.data.multi_label => vec![1],
            (Loss::Bce, Some(classes)) => vec![classes],
            (Loss::CrossEntropy | Loss::Bce, None) => return Err("this loss needs data.classes".into()),
            (Loss::Mse, Some(_)) => return Err("loss mse is for regression: leave data.classes out".into()),
            (Loss::Mse, None) => return Ok(()),
        };
        match output == expected {
            true => Ok(()),
            false => Err(format!(
                "the last layer gives {output:?}, the loss and data.classes need {expected:?}"
            )),
        }
    }

    /// Whether every batch of so many training rows has as many rows as the model needs.
    pub(crate) fn check_batches(&self, rows: usize) -> Result<(), Error> {
        let least = self.cut()?.model.least_rows()?;
        match self.schedule().training_sizes(rows).min() {
            Some(smallest) if smallest < least => {
                let batch = self.training.batch;
                let problem = format!(
                    "{rows} training rows in batches of {batch} leave a batch of {smallest}, of which the model's batch normalisation \
                     cannot learn: choose another number"
                );
                Err(Error::configuration("training.batch", problem))
            }
            _ => Ok(()),
        }
    }
}
