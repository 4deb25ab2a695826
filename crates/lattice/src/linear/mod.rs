//! The linear core: matrix products on encrypted data without rotation, relinearisation or rescaling.
//!
//! [`Product`] is encrypted rows times a plaintext matrix: the key holder encrypts x, the other party multiplies by W and returns a
//! compressed response of which the key holder reads y = x W. x stands at scale 2^sx, W at 2^sw, y at 2^(sx+sw); |y| must stay below
//! 2^(log2 q - 1 - sx - sw), and the key holder refuses results beyond half of that, since a wrap would be silent.
//!
//! [`WeightProduct`] is plaintext rows times an encrypted matrix that is updated in place, in a layout for speed or one for few bytes.
//!
//! [`EncryptedProduct`] is the three products of training with all operands encrypted under the same key, of dense layers and convolutions
//! ([`LinearShape`]).
//!
//! [`ExactProduct`] is a plaintext matrix times an encrypted one modulo 2^64, every bit of it, the result in additive shares of the two parties.
//!
//! [`PrivateInputLinear`] is a layer with weights in the clear on an encrypted input modulo 2^k, convolutions too, the result in additive shares.
//!
//! [`SharedProduct`] is one product of two encrypted matrices whose ciphertexts share masks, [`SharedTraining`] the three of a dense layer: fewer and shorter
//! answers, for operands that are encrypted for one product.
//!
//! A response is switched from q to 2^B and holds all of c1 but only the wanted coefficients of c0. Unless it is hidden
//! ([`Product::respond_hidden`], [`WeightProduct::forward_hidden`]), the key holder can compute the plaintext operand (W, or the rows) from
//! c1 and the seeds it sent: protocols use a bare response only where the key holder may learn it.

mod compression;
mod convolution;
pub(crate) mod direct;
mod encrypted_product;
mod encrypted_weights;
mod exact;
pub(crate) mod fixed;
mod hide;
pub(crate) mod layer_layout;
mod layout;
pub(crate) mod noise;
mod outputs;
mod private_input;
mod product;
mod respond;
mod shape;
mod shared_masks;
pub(crate) mod shares;
#[cfg(test)]
mod tests;

pub use encrypted_product::{EncryptedDelta, EncryptedMatrix, EncryptedProduct, OperandNorms, RowSource, TrainingScales};
pub use encrypted_weights::{EncodedRows, EncryptedWeights, WeightProduct};
pub use exact::{ExactPlaintext, ExactProduct, ExactResponse, Masking, STATISTICAL_BITS, WANTED_BITS, WHOLE_BITS};
pub use hide::Hiding;
pub use layout::Layout;
pub use noise::Norms;
pub use private_input::{MaskedResponse, PreparedWeights, PrivateInputLinear};
pub use product::{Product, Scales};
pub use respond::Weights;
pub use shape::LinearShape;
pub use shared_masks::{
    Encrypted, EncryptedFactor, FactorScales, SharedDelta, SharedProduct, SharedRows, SharedSecrets, SharedTraining,
    SharedWeights,
};
