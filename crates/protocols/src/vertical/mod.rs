//! Vertical training: holders of different columns about the same people (SPNN).
//!
//! Paper: "Towards Scalable and Privacy-Preserving Deep Neural Network via Algorithmic-Cryptographic Co-design" (arXiv 2012.09364).
//!
//! **Parties.** P >= 2 *holders* of columns, each of its own; a *label holder* (one of them, or a further party) with the last layers and the
//! loss; a *server* with the hidden layers; perhaps a *dealer* of random numbers, who sees no data; perhaps a *coordinator* ([`coordinator()`]), who says where to begin
//! and when an epoch is settled, as else the server does; what happens when is in the job file. All are connected with each other.
//!
//! **Numbers** are fixed-point integers modulo 2^64 ([`scales`]): X at 2^12, the first layer's weights theta at 2^42, its output h1 at 2^54, the gradient
//! at h1 times the learning rate at 2^30, so that a product lands where it is added. Nothing is truncated.
//!
//! **Flow.** Before: [`align`]. Theta is shared additively: [theta_i]_k is holder k's share of the weights of holder i's columns; so is the
//! bias. Per batch (paper: Algorithm 1, 2):
//!
//! 0. holders, with `gradient = "shared"`: each two shares of X_i^T R_j, where R_j is holder j's share of the gradient to come: random, from a seed that the server
//!    gave it; and triples for step 1. By the dealer's triples or by encryption ([`products`](self))
//! 1. holders: shares of X_i [theta_i]_j for each two of them
//! 2. each holder: its shares' sum, plus its share of a fresh zero and noise in the lowest bits → `share of the first layer's output`
//! 3. server: h1, the hidden layers                                                → `hidden output` to the label holder
//! 4. label holder: last layers, loss, their update                                → `hidden gradient`
//! 5. server: backwards, update, delta = learning rate x dL/dh1                     → delta less all R_j, to every holder (`gradient = "shared"`), or delta itself (`"open"`)
//! 6. holders: theta_i -= X_i^T delta. Shared: holder i multiplies what it got plus R_i by X_i^T; the rest are the shares of step 0. Open: holder i subtracts it from
//!    its own share, and the products of step 1 with the other shares, which never change, are computed once.
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
//! **Rounds.** [`cost`] declares messages and bytes. One way after the other, a training batch takes 4 messages, and with `gradient = "shared"` those of two products
//! more: 2 exchanges between holders, whether on dealt shares (one for each product) or under encryption (operands of both, results of both); 3 with triples made by
//! encryption (operands and results of step 0, then step 1). In an exchange both send at the same time.
//!
//! **Crashes.** Whatever hides something is drawn from secrets that are kept and from a digest of the data: a training that goes on sends the same bytes again. With
//! other rows, other labels or other arithmetic at the server or the label holder it would meet other gradients, and does not go on.
//!
//! **Bias.** Nobody's columns multiply it: each holder adds its share to its outputs, and takes the sum of its share of delta from it, the first that of what all
//! got too.
//!
//! **Assumptions.** All parties follow the protocol (semi-honest); server and holders do not put together what they see; the dealer puts nothing together with
//! anybody. **Non-goals.** Protection from parties that deviate; hiding the number of common rows.

mod align;
mod combine;
mod coordinator;
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
pub use coordinator::coordinator;
pub use dealer::{dealer, predicting_dealer};
pub use holder::{Columns, Holder, Labels, TrainedHolder, holder};
pub use msg::{
    ActivationShare, ActivationStep, AlignmentStep, EncryptedOperand, EncryptedProduct, Hidden, HiddenGradient, MESSAGES,
    MaskedGradient, MaskedOperand, MaskedRows, OpenGradient, OutputShare, PlainGradient, PlainOutput, Positions, ReceiverKey,
    Seed, SetSize, TripleShares, Work,
};
pub use products::encryption_parameters;
pub use server::{Server, server};
pub use terms::{ActivationCircuit, FirstLayer, Gradient, Terms, scales};

/// Names what the last bits of this machine's floating-point sums depend on: a training that goes on elsewhere may meet another gradient in the same round.
fn arithmetic() -> [u8; 32] {
    #[cfg(target_arch = "x86_64")]
    let features = [
        is_x86_feature_detected!("fma"),
        is_x86_feature_detected!("avx2"),
        is_x86_feature_detected!("avx512f"),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features = [false; 3];
    let name = format!("{} {} {features:?}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    blake3::derive_key("cloven v1 vertical: arithmetic", name.as_bytes())
}
