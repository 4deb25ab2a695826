//! Party names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a party: 1 to 32 characters out of `a-z`, `0-9` and `-`, beginning with a letter.
///
/// The alphabet is that of a DNS label, so that a name can stand in a certificate, a file name and a TOML key as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Party(String);

/// A text that cannot be a party's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be a party's name: 1 to 32 characters out of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"
)]
pub struct PartyError(String);

impl Party {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Party {
    type Err = PartyError;

    fn from_str(text: &str) -> Result<Self, PartyError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let valid = (1..=Self::MAX_LEN).contains(&text.len())
            && text.chars().all(allowed)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            // A hostile peer may have chosen the text: show a bounded part of it.
            Err(PartyError(text.chars().take(40).collect()))
        }
    }
}

impl TryFrom<String> for Party {
    type Error = PartyError;

    fn try_from(text: String) -> Result<Self, PartyError> {
        text.parse()
    }
}

impl From<Party> for String {
    fn from(party: Party) -> Self {
        party.0
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["hospital", "a", "bank-2"] {
            assert_eq!(good.parse::<Party>().unwrap().as_str(), good);
        }
        let long = "a".repeat(33);
        for bad in ["", "Hospital", "2bank", "-a", "a-", "a_b", "../a", "a b", long.as_str()] {
            assert!(bad.parse::<Party>().is_err(), "{bad}");
        }
    }
}
