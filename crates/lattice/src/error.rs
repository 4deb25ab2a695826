//! Errors of the encryption.

use cloven_ring::RingError;

/// Why an object cannot be built, encoded or decoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LatticeError {
    /// The parameters are outside the security table.
    #[error("ring degree 2^{log2_degree} allows a modulus of at most {allowed} bits for 128-bit security, got {log2_modulus:.2}")]
    Insecure {
        /// Base-2 logarithm of the ring degree.
        log2_degree: u32,
        /// The table's bound on log2 of the whole modulus.
        allowed: u32,
        /// What was asked for.
        log2_modulus: f64,
    },
    /// The table has no row for this degree.
    #[error("ring degree 2^{log2_degree} is not in the security table (2^10 to 2^15)")]
    Degree {
        /// Base-2 logarithm of the ring degree.
        log2_degree: u32,
    },
    /// The ring refused.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// Encoded bytes of a wrong length.
    #[error("expected {expected} bytes, got {actual}")]
    Length {
        /// Bytes that the shape demands.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// Unused bits at the end are not zero.
    #[error("unused bits at the end are not zero")]
    Padding,
    /// A coefficient is not reduced.
    #[error("coefficient {position}: expected less than {modulus}, got {actual}")]
    Coefficient {
        /// Its index.
        position: usize,
        /// The modulus.
        modulus: u64,
        /// The value.
        actual: u64,
    },
    /// A matrix or batch of a wrong size.
    #[error("{what}: expected {expected} numbers, got {actual}")]
    Size {
        /// Which operand.
        what: &'static str,
        /// What the layout demands.
        expected: usize,
        /// What was given.
        actual: usize,
    },
    /// A number is too large for its scale, or not finite.
    #[error("{what}: {value} at position {position} lies outside +-{bound}, the range of its fixed-point scale")]
    Range {
        /// Which operand or result.
        what: &'static str,
        /// Its index.
        position: usize,
        /// The number.
        value: f64,
        /// The largest magnitude allowed.
        bound: f64,
    },
    /// No way of packing fits the ring.
    #[error("no packing of {inputs} inputs and {outputs} outputs fits ring degree {degree}")]
    NoLayout {
        /// Inputs of the layer.
        inputs: usize,
        /// Outputs of the layer.
        outputs: usize,
        /// The ring degree.
        degree: usize,
    },
    /// The modulus cannot hold message and flooding.
    #[error(
        "flooding of deviation 2^{log2_deviation:.1} needs {missing} bits more than the modulus of {log2_modulus:.1} bits has"
    )]
    Flooding {
        /// Bits by which the modulus is too short.
        missing: u32,
        /// log2 of the deviation that the stated secrecy demands.
        log2_deviation: f64,
        /// log2 of the whole modulus.
        log2_modulus: f64,
    },
    /// Noise beyond what the flooding hides.
    #[error("the noise of a response may reach {actual:.3e}, its flooding hides {bound:.3e}")]
    Noise {
        /// What the flooding was made for.
        bound: f64,
        /// What the operand may cause.
        actual: f64,
    },
    /// Parts of one encoded matrix with different histories.
    #[error("the part of an encoded matrix belongs to updates of energy {actual:e}, the parts before it to {expected:e}")]
    Energy {
        /// Of the parts before.
        expected: f64,
        /// Of this part.
        actual: f64,
    },
    /// An operand that was prepared with other sizes or parameters.
    #[error("{what} was prepared for a product of other sizes or parameters")]
    OtherProduct {
        /// Which operand.
        what: &'static str,
    },
    /// Responses are merged, and there are no keys for it.
    #[error("the responses of this layout are merged: the key holder's merging keys are missing")]
    NoMergeKeys,
    /// A number has more bits than the arithmetic holds.
    #[error("{what}: expected at most {allowed} bits, got {actual}")]
    Wide {
        /// Which number.
        what: &'static str,
        /// The limit.
        allowed: u32,
        /// What was asked for.
        actual: u32,
    },
    /// A setting outside its limits.
    #[error("{what}: expected {least} to {most}, got {actual}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
        /// What was asked for, or would be needed.
        actual: u64,
    },
}
