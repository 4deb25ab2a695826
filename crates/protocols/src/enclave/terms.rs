//! What the parties agree on, and what each learns.

use cloven_wire::Party;

use crate::Leak;

const SHARES: usize = cloven_accel::masked::WORKERS;

/// How operands of products are hidden from workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blinding {
    /// Shares of degree 1 at three workers; see [`Terms::share`] for spares.
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
    /// The accelerators, in an order that stays the same for the customer; all of them connect. Under [`Blinding::Masked`] the fourth and further ones are
    /// spares ([`Terms::share`]).
    pub workers: Vec<Party>,
    /// How operands are hidden from them.
    pub blinding: Blinding,
    /// Whether the customer accepts an enclave that is none.
    pub simulated: bool,
}

impl Terms {
    /// Under [`Blinding::Masked`] the only share, 0 to 2, that worker `number` (from 0) may ever have: its number modulo three. So the fourth worker takes the place
    /// of the first one and of no other, and six workers cover the loss of any one.
    ///
    /// That two shares of an operand never reach one worker depends on this rule alone: not on what is remembered across a lost connection, a crash or a
    /// checkpoint, and not on masks being fresh. Were a spare given whichever share is missing, who runs the machines could bring an enclave back to an earlier state,
    /// with its masks, and end another worker this time.
    pub fn share(number: usize) -> usize {
        number % SHARES
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
        let workers: Vec<&str> = self.workers.iter().map(Party::as_str).collect();
        let shapes = "the shapes of all layers, the sizes of batches, and when they are computed";
        match self.blinding {
            Blinding::Masked => {
                let one = format!("{shapes}; no sample, label, weight or gradient");
                for (number, worker) in workers.iter().enumerate() {
                    all.push(match workers[..number].get(Self::share(number)) {
                        None => Leak::new(worker, &one),
                        Some(first) => Leak::new(
                            worker,
                            &format!("nothing, unless {first} fails and it takes its place: then the same as {first}"),
                        ),
                    });
                }
                let alike = |share: usize| {
                    workers
                        .iter()
                        .skip(share)
                        .step_by(SHARES)
                        .copied()
                        .collect::<Vec<_>>()
                        .join(" or ")
                };
                let shares: Vec<String> = (0..SHARES.min(workers.len())).map(alike).collect();
                all.push(Leak::new(
                    &shares.join(", "),
                    "if any two of them put together what they have: every operand of every product, and so samples, weights and gradients",
                ));
            }
            Blinding::Permute { .. } => {
                let one = format!(
                    "{shapes}; operands of every product with rows and columns permuted and signs changed, pictures with their pixels in place: what they show can be seen. Whoever knows the initial \
                     weights, or enough of the data, can find the permutations, and so samples and weights"
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
