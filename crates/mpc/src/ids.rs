//! Columns of ids as 32-byte digests.
//!
//! **The rule.** Each field is trimmed of white space as Unicode defines it at both ends; with [`Case::Fold`] it is then put in lower case as Unicode
//! defines it without a locale. Nothing else is changed: `é` as one character and as two are different ids, and so are `7` and `07`. A row with an
//! absent or empty field has no id. Fields are joined with their lengths before them, so ("ab", "c") and ("a", "bc") differ. The digest is BLAKE3 keyed with
//! a salt that all parties know: it protects no id by itself, and never leaves its owner in the clear.

use std::collections::HashSet;

/// The digest of one id.
pub type Id = [u8; 32];

/// Whether upper and lower case are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// As it is.
    Keep,
    /// Lower case.
    Fold,
}

/// The distinct ids of a table and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet {
    /// Digests, each once.
    pub ids: Vec<Id>,
    /// The row of each digest: the first that has it.
    pub rows: Vec<usize>,
    /// Rows whose id an earlier row has.
    pub duplicates: usize,
    /// Rows without an id.
    pub missing: usize,
}

impl IdSet {
    /// The ids of `rows` of fields under a public salt.
    pub fn new<'a, R>(rows: impl IntoIterator<Item = R>, case: Case, salt: &[u8]) -> Self
    where
        R: IntoIterator<Item = Option<&'a str>>,
    {
        let key = blake3::derive_key("cloven mpc 2026 ids", salt);
        let mut set = Self::default();
        let mut seen = HashSet::new();
        for (row, fields) in rows.into_iter().enumerate() {
            match digest(&key, fields, case) {
                None => set.missing += 1,
                Some(id) if !seen.insert(id) => set.duplicates += 1,
                Some(id) => {
                    set.ids.push(id);
                    set.rows.push(row);
                }
            }
        }
        set
    }
}

fn digest<'a>(key: &[u8; 32], fields: impl IntoIterator<Item = Option<&'a str>>, case: Case) -> Option<Id> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    let mut any = false;
    for field in fields {
        let field = field.map(str::trim).filter(|field| !field.is_empty())?;
        let folded = match case {
            Case::Keep => field.into(),
            Case::Fold => std::borrow::Cow::from(field.to_lowercase()),
        };
        hasher.update(&(folded.len() as u64).to_le_bytes()).update(folded.as_bytes());
        any = true;
    }
    any.then(|| *hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised_joined_and_counted() {
        let rows = [
            [Some("ab"), Some("c")],
            [Some("a"), Some("bc")],
            [Some(" AB\t"), Some("c\u{a0}")],
            [Some("ab"), None],
            [Some("  "), Some("c")],
            [Some("\u{2003}ab"), Some("c")],
        ];
        let kept = IdSet::new(rows, Case::Keep, b"salt");
        assert_eq!((kept.rows.as_slice(), kept.duplicates, kept.missing), (&[0, 1, 2][..], 1, 2));
        let folded = IdSet::new(rows, Case::Fold, b"salt");
        assert_eq!(
            (folded.rows.as_slice(), folded.duplicates, folded.missing),
            (&[0, 1][..], 2, 2)
        );
        assert_eq!(folded.ids, kept.ids[..2]);
        assert_ne!(IdSet::new(rows, Case::Keep, b"other").ids[0], kept.ids[0]);
        assert_eq!(IdSet::new([[None; 0]], Case::Keep, b"salt").missing, 1);
    }
}
