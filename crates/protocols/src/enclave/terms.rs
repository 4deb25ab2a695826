//! What the parties agree on, and what each learns.

use cloven_wire::Party;

use crate::Leak;

/// How operands of products are hidden from workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blinding {
    /// Shares of degree 1 at three workers.
    Masked,
    /// Signed permutations.
    Permute {
        /// Batches after which those of the layers are drawn anew.
        rekey_every: u64,
    },
    /// Not at all.
    None,
}

/// What every party knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Data, labels, model.
    pub customer: Party,
    /// The enclave.
    pub enclave: Party,
    /// The accelerators, in the order of names. Under [`Blinding::Masked`] the first three hold shares 1, 2 and 3, whoever else there is.
    pub workers: Vec<Party>,
    /// How operands are hidden from them.
    pub blinding: Blinding,
    /// Whether the customer accepts an enclave that is none.
    pub simulated: bool,
}

impl Terms {
    /// Workers that take part.
    pub fn at_work(&self) -> &[Party] {
        match self.blinding {
            Blinding::Masked => &self.workers[..self.workers.len().min(cloven_accel::masked::WORKERS)],
            Blinding::Permute { .. } | Blinding::None => &self.workers,
        }
    }

    /// What each party learns.
    pub fn leaks(&self) -> Vec<Leak> {
        let enclave = self.enclave.as_str();
        let mut all = vec![match self.simulated {
            true => Leak::new(
                enclave,
                "everything: samples, labels, weights. The attestation is simulated: this is an ordinary process, and whoever runs it can read it",
            ),
            false => Leak::new(
                enclave,
                "everything, inside memory that its hardware protects; the operator of the machine sees the sizes and times of messages",
            ),
        }];
        let workers: Vec<&str> = self.at_work().iter().map(Party::as_str).collect();
        let shapes = "the shapes of all layers, the sizes of batches, and when they are computed";
        match self.blinding {
            Blinding::Masked => {
                let one = format!("{shapes}; no sample, label, weight or gradient");
                all.extend(workers.iter().map(|worker| Leak::new(worker, &one)));
                all.push(Leak::new(
                    &workers.join(", "),
                    "if any two of them put together what they have: every operand of every product, and so samples, weights and gradients",
                ));
            }
            Blinding::Permute { .. } => {
                let one = format!(
                    "{shapes}; operands of every product with rows and columns permuted and signs changed: whoever knows the initial weights, or enough of the data, can find the \
                     permutations, and so samples and weights"
                );
                all.extend(workers.iter().map(|worker| Leak::new(worker, &one)));
            }
            Blinding::None => {
                let one = "every operand of every product in the clear: activations, weights and gradients, of the first layer the samples";
                all.extend(workers.iter().map(|worker| Leak::new(worker, one)));
            }
        }
        all
    }
}
