//! The harness finds what it is there to find.

use std::panic::catch_unwind;

use super::*;
use crate::{DecodeError, Reader};

/// What a careless decoder does with its one byte.
#[derive(Clone, Copy)]
enum Careless {
    AnyNonZeroIsTrue,
    PanicsOnSeven,
    Fine,
}

struct Flag(bool);

impl Message for Flag {
    const KIND: u8 = 1;
    const NAME: &'static str = "flag";
    type Expect = Careless;

    fn max_len(_: &Careless) -> usize {
        1
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0.into());
    }

    fn decode(reader: &mut Reader<'_>, careless: &Careless) -> Result<Self, DecodeError> {
        match (reader.u8()?, careless) {
            (0, _) => Ok(Self(false)),
            (1, _) | (_, Careless::AnyNonZeroIsTrue) => Ok(Self(true)),
            (7, Careless::PanicsOnSeven) => std::panic::panic_any("seven"),
            (got, _) => Err(DecodeError::Field {
                field: "flag",
                expected: "0 or 1".into(),
                got: got.to_string(),
            }),
        }
    }
}

#[test]
fn careless_decoders_are_found() {
    let found = |careless| catch_unwind(|| fuzz_message(Duration::from_millis(250), &Flag(true), &careless)).is_err();
    assert!(found(Careless::AnyNonZeroIsTrue));
    assert!(found(Careless::PanicsOnSeven));
    assert!(!found(Careless::Fine));
}

#[test]
fn changed_bytes_are_found_and_the_sentence_says_what_to_do() {
    let path = std::env::temp_dir().join(format!("cloven-wire-format-{}.txt", std::process::id()));
    let frames = |byte| vec![("flag".to_owned(), vec![byte]), ("bulk".to_owned(), vec![byte; 1000])];
    let kept = format!("wire version {WIRE_VERSION}\nflag: 01\nbulk: {}\n", written(&[1; 1000]));
    fs::write(&path, kept).unwrap();
    assert_wire_format(&path, &frames(1));
    let said = catch_unwind(|| assert_wire_format(&path, &frames(2))).unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(
        said.contains(r#"["flag", "bulk"]"#) && said.contains("raise WIRE_VERSION"),
        "{said}"
    );
    assert!(catch_unwind(|| assert_wire_format(&path, &[("new".to_owned(), vec![1])])).is_err());
    fs::remove_file(&path).unwrap();
}
