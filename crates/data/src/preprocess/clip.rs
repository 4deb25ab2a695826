//! How far from the mean a standardised number may lie.

use serde::{Deserialize, Serialize};

/// The largest distance from the mean, in standard deviations: a positive number, or `"off"`.
///
/// Without a limit one row can carry a number of hundreds of deviations into a network, where it outweighs all others, and into fixed-point
/// arithmetic, where there is no room for it. The usual limit is [`Clip::USUAL`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub enum Clip {
    /// Numbers farther away are moved to this distance.
    At(f32),
    /// Numbers stay where they are.
    Off,
}

impl Clip {
    /// The limit unless another is given. However a column is distributed, at most one training value in 1,024 lies farther out (Chebyshev's inequality), and of a column that
    /// looks normal none does; and it is an eighth of the 256 that `vertical` has room for, so that a sum of several such columns still fits.
    pub const USUAL: f32 = 32.0;

    /// The value within the limit, and whether it was moved.
    pub(super) fn apply(self, value: f64) -> (f64, bool) {
        match self {
            Clip::At(limit) if value.abs() > f64::from(limit) => (f64::from(limit).copysign(value), true),
            _ => (value, false),
        }
    }
}

impl Default for Clip {
    fn default() -> Self {
        Clip::At(Clip::USUAL)
    }
}

/// As in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of standard deviations, or \"off\"")]
enum Text {
    Number(f32),
    Word(String),
}

impl TryFrom<Text> for Clip {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let expected = |got: String| {
            Err(format!(
                "expected a positive number of standard deviations, or \"off\", got {got}"
            ))
        };
        match text {
            Text::Number(limit) if limit.is_finite() && limit > 0.0 => Ok(Clip::At(limit)),
            Text::Number(limit) => expected(limit.to_string()),
            Text::Word(word) if word == "off" => Ok(Clip::Off),
            Text::Word(word) => expected(format!("{:?}", word.chars().take(40).collect::<String>())),
        }
    }
}

impl From<Clip> for Text {
    fn from(clip: Clip) -> Self {
        match clip {
            Clip::At(limit) => Text::Number(limit),
            Clip::Off => Text::Word("off".into()),
        }
    }
}
