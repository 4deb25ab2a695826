//! The header of an npy file: a Python dictionary with the element type, the order and the shape.

use std::path::Path;

use crate::error::DataError;
use crate::source::Format;

/// NumPy itself reads no longer ones.
pub(super) const MAX_HEADER: u32 = 10_000;
/// No known file has more; it bounds the shape.
const MAX_DIMENSIONS: usize = 8;

/// What precedes the elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) element: Element,
    /// Whether the first index runs fastest.
    pub(super) fortran: bool,
    pub(super) shape: Vec<usize>,
}

/// An element type that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) kind: Kind,
    /// Bytes of one element.
    pub(super) size: u8,
    pub(super) big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
}

impl Element {
    /// Such as "i64".
    pub(super) fn name(self) -> String {
        let bits = u32::from(self.size) * 8;
        match self.kind {
            Kind::Bool => "bool".into(),
            Kind::Signed => format!("i{bits}"),
            Kind::Unsigned => format!("u{bits}"),
            Kind::Float => format!("f{bits}"),
        }
    }
}

/// Parses the dictionary; `place` names the array in errors.
pub(super) fn parse(text: &[u8], place: &str, file: &Path) -> Result<Header, DataError> {
    let malformed = |reason: &str| DataError::Malformed {
        file: file.into(),
        format: Format::Npy,
        reason: format!("{place}: {reason}"),
    };
    let text = std::str::from_utf8(text).map_err(|_| malformed("its header is not text"))?;
    let fields = Parser { rest: text }.dictionary().map_err(|reason| malformed(&reason))?;
    let element = match &fields.descr {
        Descr::Simple(descr) => element(descr),
        Descr::Structured => Err("structured elements".into()),
    };
    let element = element.map_err(|actual| DataError::ElementType {
        file: file.into(),
        place: place.into(),
        expected: "integers, booleans or 32- or 64-bit floats",
        actual,
    })?;
    Ok(Header {
        element,
        fortran: fields.fortran,
        shape: fields.shape,
    })
}

/// The element type that NumPy's short name stands for, such as `<f4`; an error says what the elements are instead.
fn element(descr: &str) -> Result<Element, String> {
    let other = || format!("elements of type {descr:?}");
    let (order, code) = descr.split_at_checked(1).ok_or_else(other)?;
    let (kind, size) = match code {
        "b1" => (Kind::Bool, 1),
        "i1" => (Kind::Signed, 1),
        "i2" => (Kind::Signed, 2),
        "i4" => (Kind::Signed, 4),
        "i8" => (Kind::Signed, 8),
        "u1" => (Kind::Unsigned, 1),
        "u2" => (Kind::Unsigned, 2),
        "u4" => (Kind::Unsigned, 4),
        "u8" => (Kind::Unsigned, 8),
        "f4" => (Kind::Float, 4),
        "f8" => (Kind::Float, 8),
        _ if code.starts_with(['U', 'S']) => return Err("text".into()),
        _ if code.starts_with('O') => return Err("pickled Python objects".into()),
        _ => return Err(other()),
    };
    let big_endian = match order {
        ">" => true,
        "<" => false,
        "|" if size == 1 => false,
        _ => return Err(other()),
    };
    Ok(Element { kind, size, big_endian })
}

struct Fields {
    descr: Descr,
    fortran: bool,
    shape: Vec<usize>,
}

enum Descr {
    Simple(String),
    Structured,
}

/// Reads just the Python that NumPy writes: no escapes, no nesting but the shape's.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn dictionary(mut self) -> Result<Fields, String> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.eat('}') {
            let key = self.string()?;
            self.expect(':')?;
            let new = match key {
                "descr" if self.peek() == Some('[') => {
                    // The rest of a structured type is not read: nothing of it would be used.
                    return Ok(Fields {
                        descr: Descr::Structured,
                        fortran: false,
                        shape: Vec::new(),
                    });
                }
                "descr" => descr.replace(self.string()?.to_string()).is_none(),
                "fortran_order" => fortran.replace(self.boolean()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                _ => return Err(format!("its header has the unknown field {key:?}")),
            };
            if !new {
                return Err(format!("its header has the field {key:?} twice"));
            }
            if !self.eat(',') {
                self.expect('}')?;
                break;
            }
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) if self.peek().is_none() => Ok(Fields {
                descr: Descr::Simple(descr),
                fortran,
                shape,
            }),
            (Some(_), Some(_), Some(_)) => Err("its header goes on after the closing brace".into()),
            _ => Err("its header lacks one of descr, fortran_order and shape".into()),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.eat(')') {
            if shape.len() == MAX_DIMENSIONS {
                return Err(format!("its shape has more than {MAX_DIMENSIONS} dimensions"));
            }
            shape.push(self.number()?);
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<usize, String> {
        self.skip_blanks();
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().map_err(|_| "its shape is no list of sizes".into())
    }

    fn boolean(&mut self) -> Result<bool, String> {
        self.skip_blanks();
        for (text, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(text) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err("its fortran_order is neither True nor False".into())
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.eat('\'') {
            '\''
        } else {
            self.expect('"').map(|()| '"')?
        };
        let (string, rest) = self.rest.split_once(quote).ok_or("its header has an open quote")?;
        self.rest = rest;
        Ok(string)
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.eat(wanted) {
            return Ok(());
        }
        let found = self.peek().map_or("its end".into(), |found| format!("{found:?}"));
        Err(format!("its header has {found} where {wanted:?} is expected"))
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => (self.rest = rest, true).1,
            None => false,
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.rest.chars().next()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }
}
