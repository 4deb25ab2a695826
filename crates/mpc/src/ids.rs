//! Columns of ids as 32-byte digests.
//!
//! **The rule.** Each field in turn:
//!
//! 1. White space, as Unicode defines it, is cut off at both ends, none inside.
//! 2. With [`Form::Nfc`] it is put in Unicode's normalisation form C, so that `é` as one character and as `e` with an accent are one.
//! 3. With [`Case::Fold`] it is put in lower case as Unicode defines it without a locale, and with [`Form::Nfc`] then in form C again, as lower-case letters
//!    may compose where upper-case ones did not.
//!
//! Nothing else is changed: `7` and `07` are different ids, and so are `ß` and `ss`, a full-width `７` and `7`, `σ` and `ς`. A row with an absent or empty field
//! has no id. Fields are joined with their lengths before them, so ("ab", "c") and ("a", "bc") differ. All parties choose the same options; that their
//! versions of Unicode differ matters only for characters that one of them does not know. The digest is BLAKE3 keyed with a salt that all parties know: it
//! protects no id by itself, and never leaves its owner in the clear.

use std::{borrow::Cow, collections::HashSet};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

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

/// Whether different sequences of characters that Unicode holds for the same text are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Keep,
    /// Normalisation form C.
    Nfc,
}

/// What is done to a field before it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalisation {
    /// Upper and lower case.
    pub case: Case,
    /// Sequences of characters.
    pub form: Form,
}

impl Normalisation {
    /// The field as it is compared; `None` if nothing is left of it.
    pub fn apply(self, field: &str) -> Option<Cow<'_, str>> {
        let trimmed = Some(field.trim()).filter(|field| !field.is_empty())?;
        let composed = self.form.apply(trimmed.into());
        Some(match self.case {
            Case::Keep => composed,
            Case::Fold => self.form.apply(composed.to_lowercase().into()),
        })
    }
}

impl From<Case> for Normalisation {
    /// This case, and characters as they are.
    fn from(case: Case) -> Self {
        let form = Form::Keep;
        Self { case, form }
    }
}

impl Form {
    fn apply(self, text: Cow<str>) -> Cow<str> {
        match self {
            Self::Nfc if is_nfc_quick(text.chars()) != IsNormalized::Yes => text.nfc().collect::<String>().into(),
            _ => text,
        }
    }
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
    /// The ids of `rows` of fields under a public salt. A [`Case`] alone leaves characters as they are.
    pub fn new<'a, R>(rows: impl IntoIterator<Item = R>, normalisation: impl Into<Normalisation>, salt: &[u8]) -> Self
    where
        R: IntoIterator<Item = Option<&'a str>>,
    {
        let key = blake3::derive_key("cloven mpc 2026 ids", salt);
        let normalisation = normalisation.into();
        let mut set = Self::default();
        let mut seen = HashSet::new();
        for (row, fields) in rows.into_iter().enumerate() {
            match digest(&key, fields, normalisation) {
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

fn digest<'a>(key: &[u8; 32], fields: impl IntoIterator<Item = Option<&'a str>>, normalisation: Normalisation) -> Option<Id> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    let mut any = false;
    for field in fields {
        let field = normalisation.apply(field?)?;
        hasher.update(&(field.len() as u64).to_le_bytes()).update(field.as_bytes());
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

    #[test]
    fn the_rule_says_which_fields_are_one() {
        let rules: Vec<Normalisation> = [Case::Keep, Case::Fold]
            .into_iter()
            .flat_map(|case| [Form::Keep, Form::Nfc].map(|form| Normalisation { case, form }))
            .collect();
        let one = |left: &str, right: &str| -> Vec<bool> {
            let same = |rule: &Normalisation| {
                let ids = IdSet::new([[Some(left)], [Some(right)]], *rule, b"salt");
                ids.ids.len() == 1 && ids.duplicates == 1
            };
            rules.iter().map(same).collect()
        };
        // As they are, form C, lower case, both.
        assert_eq!(one("caf\u{e9}", "cafe\u{301}"), [false, true, false, true]);
        assert_eq!(one("caf\u{e9}", "CAFE\u{301}"), [false, false, false, true]);
        assert_eq!(one("Caf\u{e9}", "caf\u{c9} "), [false, false, true, true]);
        // No upper-case letter is composed of H and a line below, but a lower-case one is.
        assert_eq!(one("H\u{331}", "\u{1e96}"), [false, false, false, true]);
        // Two marks in either order; the Angstrom sign.
        assert_eq!(one("q\u{307}\u{323}", "q\u{323}\u{307}"), [false, true, false, true]);
        assert_eq!(one("\u{212b}", "\u{c5}"), [false, true, true, true]);
        for (left, right) in [
            ("7", "07"),
            ("\u{df}", "ss"),
            ("\u{ff17}", "7"),
            ("a b", "a  b"),
            ("\u{3c3}", "\u{3c2}"),
        ] {
            assert_eq!(one(left, right), [false; 4], "{left} {right}");
        }
        assert_eq!(one("\u{a0}x\u{2003}", "x"), [true; 4]);
    }
}
