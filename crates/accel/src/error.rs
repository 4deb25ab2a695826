//! The one error of the crate.

use thiserror::Error;

/// Why a product, a blinding or a message is refused.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum AccelError {
    /// Two things that belong together differ in size.
    #[error("{what}: expected {expected}, got {actual}")]
    Size {
        /// What is counted.
        what: &'static str,
        /// How many belong there.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// Something exceeds its cap.
    #[error("{what}: expected at most {max}, got {actual}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The cap.
        max: usize,
        /// How many there are.
        actual: usize,
    },
    /// A residue is not centred.
    #[error("residue {index} modulo {prime}: expected at most {max} in magnitude, got {actual}")]
    Residue {
        /// Its place in the plane of its prime.
        index: usize,
        /// The prime.
        prime: i32,
        /// (prime - 1) / 2.
        max: i8,
        /// The refused number.
        actual: i8,
    },
    /// A word is not below M.
    #[error("word {index}: expected less than 3368562317, got {actual}")]
    Word {
        /// Its place.
        index: usize,
        /// The refused word.
        actual: u32,
    },
    /// A number is infinite or not a number.
    #[error("value {index}: expected a finite number, got {actual}")]
    NotFinite {
        /// Its place.
        index: usize,
        /// The refused number.
        actual: f32,
    },
    /// A number is too large for its scale.
    #[error("value {index}: expected at most {max} in magnitude at its scale, got {actual}")]
    Overflow {
        /// Its place.
        index: usize,
        /// The largest magnitude.
        max: i32,
        /// The number times its scale.
        actual: f32,
    },
    /// The scales of two operands do not leave room for their product.
    #[error("scales 2^{left} and 2^{right}: expected a product of at most {max} bits, got a bound of {actual:.1}")]
    Scale {
        /// Exponent of the left operand's scale.
        left: i32,
        /// Exponent of the right operand's scale.
        right: i32,
        /// Most bits of a product.
        max: u32,
        /// Bits of the bound.
        actual: f64,
    },
    /// An exponent of a scale is outside its range.
    #[error("scale: expected an exponent of magnitude at most {max}, got {actual}")]
    Exponent {
        /// The largest magnitude.
        max: i32,
        /// The refused exponent.
        actual: i32,
    },
    /// A decoded product is not what the operands give.
    #[error("product {index} of the batch is not the product of its operands")]
    WrongProduct {
        /// Its place in the batch.
        index: usize,
    },
    /// A part of a message has a tag that means nothing.
    #[error("{what}: expected a tag of at most {max}, got {actual}")]
    Tag {
        /// What is tagged.
        what: &'static str,
        /// The largest tag.
        max: u8,
        /// The refused tag.
        actual: u8,
    },
    /// A message ends early or late.
    #[error("{what}: expected {expected} bytes more, got {actual}")]
    Bytes {
        /// What is read.
        what: &'static str,
        /// Bytes that it takes.
        expected: usize,
        /// Bytes that are there.
        actual: usize,
    },
    /// A window that has no patches or is too large.
    #[error("window: expected one with patches, of sizes up to 16384, got {actual}")]
    Window {
        /// The refused window.
        actual: crate::convolution::Window,
    },
    /// A job names a slot that holds nothing, or holds numbers of another form.
    #[error("slot {slot}: expected {expected}, got {actual}")]
    Slot {
        /// The slot.
        slot: u32,
        /// What the product needs.
        expected: &'static str,
        /// What is there.
        actual: &'static str,
    },
    /// A device was handed a tensor of another form than it computes on.
    #[error("operand: expected {expected}, got {actual}")]
    Operand {
        /// What it computes on.
        expected: &'static str,
        /// What it was handed.
        actual: &'static str,
    },
    /// No such device is at hand.
    #[error("no {kind} device: {cause}")]
    NoDevice {
        /// Which kind was wanted.
        kind: &'static str,
        /// Why there is none.
        cause: String,
    },
    /// A device failed.
    #[error("device {name}: {cause}")]
    Device {
        /// Its name.
        name: String,
        /// What it said.
        cause: String,
    },
    /// All mask numbers of a key are used up.
    #[error("masks: expected at most {max} elements under one key, got more; draw another")]
    MasksUsedUp {
        /// Elements that one key serves.
        max: u64,
    },
    /// A block to be put together is missing, overlaps another or has another shape.
    #[error("piece {index}: expected {expected}, got {actual}")]
    Piece {
        /// Its place.
        index: usize,
        /// What belongs there.
        expected: String,
        /// What is there.
        actual: String,
    },
}

impl AccelError {
    /// Whether this machine's device failed, not what it was asked for.
    pub fn is_of_the_device(&self) -> bool {
        matches!(self, Self::Device { .. } | Self::NoDevice { .. })
    }

    /// A device's failure, of which no more than a sentence is kept.
    pub fn device(name: &str, cause: impl std::fmt::Display) -> Self {
        Self::Device {
            name: name.to_owned(),
            cause: one_line(&cause.to_string()),
        }
    }

    /// That there is no device of a kind.
    pub fn no_device(kind: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::NoDevice {
            kind,
            cause: one_line(&cause.to_string()),
        }
    }
}

/// Drivers write pages.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(400).collect()
}

/// That two sizes are equal.
pub(crate) fn expect(what: &'static str, expected: usize, actual: usize) -> Result<(), AccelError> {
    match expected == actual {
        true => Ok(()),
        false => Err(AccelError::Size { what, expected, actual }),
    }
}

/// That a size is within its cap.
pub(crate) fn at_most(what: &'static str, max: usize, actual: usize) -> Result<(), AccelError> {
    match actual <= max {
        true => Ok(()),
        false => Err(AccelError::TooMany { what, max, actual }),
    }
}
