//! Vertical training: holders of different columns about the same people (SPNN).
//!
//! Paper: "Towards Scalable and Privacy-Preserving Deep Neural Network via Algorithmic-Cryptographic Co-design" (arXiv 2012.09364).
//!
//! **Parties.** P >= 2 *holders* of columns, each of its own; a *label holder* (one of them, or a further party) with the last layers and the
//! loss; a *server* with the hidden layers; perhaps a *dealer* of random numbers, who sees no data. What the paper's coordinator does, the job file
//! (what happens when) and the server (where to begin, when an epoch is settled) do. All are connected with each other.
//!
//! **Numbers** are fixed-point integers modulo 2^64 ([`scales`]): X at 2^12, the first layer's weights theta at 2^42, its output h1 at 2^54, the gradient
//! at h1 times the learning rate at 2^30, so that a product lands where it is added. Nothing is truncated.
//!
//! **Flow.** Before: [`align`]. Theta is shared additively: [theta_i]_k is holder k's share of the weights of holder i's columns; so is the
//! bias. Per batch (paper: Algorithm 1, 2):
//!
//! 1. holders: shares of X_i [theta_i]_j for each two of them, by matrix triples or by encryption ([`products`](self)); triples are prepared first, those of
//!    this step and of step 6 together
//! 2. each holder: its shares' sum, plus its share of a fresh zero and noise in the lowest bits → `share of the first layer's output`
//! 3. server: h1, the hidden layers                                                → `hidden output` to the label holder
//! 4. label holder: last layers, loss, their update                                → `hidden gradient`
//! 5. server: backwards, update, delta = learning rate x dL/dh1                     → shares of delta (`gradient = "shared"`), or delta itself (`"open"`)
//! 6. holders: theta_i -= X_i^T delta. Shared: shares of X_i^T [delta]_j as in step 1. Open: holder i subtracts it from its own share, and the
//!    products of step 1 with the other shares, which never change, are computed once.
//!
//! Evaluation is steps 1 to 3. With `private_activation` the holders evaluate the first ReLU on their shares of h1 before step 2, and send shares of its bits: the
//! server goes on with relu(h1), of which ReLU is itself.
//!
//! **Triples.** With a dealer: X_i is the same in every epoch, so its mask A_i is drawn once and E_i = X_i - A_i is sent once. By encryption: holder i
//! multiplies X_i itself, so it needs no mask. In both a product costs one message of the size of the small operand each way, and fresh masks for that
//! operand ([`cloven_mpc::triples`]).
//!
//! **Who learns what.** [`Terms::leaks`] says it in full.
//!
//! **Rounds.** [`cost`] declares messages and bytes. One way after the other, a training batch takes 4 messages, and with `gradient = "shared"` two products
//! more: on dealt shares of one exchange between holders each, under encryption of two. Triples made by encryption take two exchanges for both products, and
//! then one for each. In an exchange both send at the same time.
//!
//! **Bias.** Nobody's columns multiply it: each holder adds its share to its outputs, and takes the sum of its share of delta from it.
//!
//! **Assumptions.** All parties follow the protocol (semi-honest); server and holders do not put together what they see; the dealer puts nothing together with
//! anybody. **Non-goals.** Protection from parties that deviate; hiding the number of common rows.

mod align;
mod combine;
pub mod cost;
mod dealer;
mod holder;
mod layer;
mod msg;
mod peers;
pub mod predict;
mod products;
mod server;
mod terms;
#[cfg(test)]
mod tests;

pub use align::{Aligned, align};
pub use cloven_mpc::ids::Id;
pub use combine::combined_weights;
pub use dealer::{dealer, predicting_dealer};
pub use holder::{Columns, Holder, Labels, TrainedHolder, holder};
pub use msg::{
    ActivationShare, ActivationStep, AlignmentStep, EncryptedOperand, EncryptedProduct, GradientSeed, GradientShare, Hidden,
    HiddenGradient, MESSAGES, MaskedOperand, MaskedRows, OpenGradient, OutputShare, PlainGradient, PlainOutput, ReceiverKey,
    Seed, SetSize, TripleShares, Work,
};
pub use products::encryption_parameters;
pub use server::{Server, server};
pub use terms::{ActivationCircuit, FirstLayer, Gradient, Terms, scales};
