//! The linear core: matrix products on encrypted data without rotation, relinearisation or rescaling.
//!
//! [`Product`] is encrypted rows times a plaintext matrix: the key holder encrypts x, the other party multiplies by W and returns a
//! compressed response of which the key holder reads y = x W. x stands at scale 2^sx, W at 2^sw, y at 2^(sx+sw); |y| must stay below
//! 2^(log2 q - 1 - sx - sw), and the key holder refuses results beyond half of that, since a wrap would be silent.
//!
//! A response is switched from q to 2^B and holds all of c1 but only the wanted coefficients of c0. It is *not* re-randomised: from c1 and
//! the seed it sent, the key holder can compute W. Protocols use it only where the key holder may learn W.

mod layout;
mod product;
mod respond;
#[cfg(test)]
mod tests;

pub use layout::Layout;
pub use product::{Product, Scales};
pub use respond::Weights;
