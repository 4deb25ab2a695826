//! The zip archives that `numpy.savez` writes: members stored or deflated, with 64-bit sizes where needed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::error::DataError;
use crate::input::{self, MAX_BYTES};
use crate::source::Format;

/// The most members of an archive.
const MAX_MEMBERS: u64 = 1000;
/// The most bytes of the directory: [`MAX_MEMBERS`] with long names.
const MAX_DIRECTORY: u64 = 1 << 20;
/// Bytes of the record that ends an archive, without its comment.
const END: u64 = 22;
/// That record's longest comment.
const MAX_COMMENT: u64 = u16::MAX as u64;

/// An open archive.
pub(super) struct Archive {
    pub(super) file: PathBuf,
    handle: File,
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
struct Member {
    /// Without `.npy`.
    name: String,
    encrypted: bool,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    /// Where the member's own header begins.
    offset: u64,
}

impl Archive {
    /// Reads the directory at the end of the file.
    pub(super) fn open(mut handle: File, file: &Path) -> Result<Self, DataError> {
        let members = directory(&mut handle)
            .and_then(|bytes| members(&bytes))
            .map_err(|fault| fault.at(file))?;
        let total = members.iter().fold(0u128, |total, member| total + u128::from(member.size));
        if total > u128::from(MAX_BYTES) {
            return Err(DataError::TooLarge {
                file: file.into(),
                what: "the archive, unpacked,".into(),
                actual: total,
                limit: MAX_BYTES,
            });
        }
        Ok(Archive {
            file: file.into(),
            handle,
            members,
        })
    }

    /// The names of the arrays, in the archive's order.
    pub(super) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The decompressed content of a member; its end is reached only if its length and check sum are right.
    pub(super) fn entry(&mut self, name: &str) -> Result<impl Read + use<'_>, DataError> {
        let file = self.file.clone();
        let member = self.members.iter().find(|member| member.name == name).cloned();
        let member = member.ok_or_else(|| Fault::Invalid(format!("it has no member {name}")).at(&file))?;
        let opened = seek_to(&mut self.handle, &member);
        opened.map_err(|fault| fault.at(&file))?;
        let packed = BufReader::new((&self.handle).take(member.compressed));
        let reader: Box<dyn Read> = match member.method {
            0 => Box::new(packed),
            _ => Box::new(DeflateDecoder::new(packed)),
        };
        Ok(Checked {
            reader,
            crc: Crc::new(),
            member,
        })
    }
}

fn seek_to(handle: &mut File, member: &Member) -> Result<(), Fault> {
    let invalid = |what: &str| Err(Fault::Invalid(format!("its member {} {what}", member.name)));
    if member.encrypted {
        return invalid("is encrypted");
    }
    if !matches!(member.method, 0 | 8) {
        return invalid("is neither stored nor deflated");
    }
    handle.seek(SeekFrom::Start(member.offset))?;
    let mut head = [0; 30];
    handle.read_exact(&mut head)?;
    if !head.starts_with(b"PK\x03\x04") {
        return invalid("is not where the directory says");
    }
    // The name and the extra field come between header and content.
    let skipped = u16::from_le_bytes([head[26], head[27]]) as i64 + u16::from_le_bytes([head[28], head[29]]) as i64;
    handle.seek(SeekFrom::Current(skipped))?;
    Ok(())
}

/// The bytes of the central directory.
fn directory(handle: &mut File) -> Result<Vec<u8>, Fault> {
    let length = handle.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(END + MAX_COMMENT);
    let tail = read_at(handle, start, length - start)?;
    let end = (0..=tail.len().saturating_sub(END as usize))
        .rev()
        .find(|&at| is_end(&tail[at..]));
    let Some(end) = end else {
        return Err(Fault::Invalid("it does not end as a zip archive does".into()));
    };
    let mut fields = Fields(&tail[end + 4..]);
    fields.skip(4)?;
    let (_, members) = (fields.u16()?, fields.u16()?);
    let (mut members, mut size, mut offset) = (u64::from(members), u64::from(fields.u32()?), u64::from(fields.u32()?));
    if members == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff {
        (members, size, offset) = end_64(handle, start + end as u64)?;
    }
    if members > MAX_MEMBERS || size > MAX_DIRECTORY {
        return Err(Fault::Invalid(format!(
            "it announces {members} members, more than the limit of {MAX_MEMBERS}"
        )));
    }
    read_at(handle, offset, size)
}

fn is_end(bytes: &[u8]) -> bool {
    let comment = bytes.len().checked_sub(END as usize);
    comment.is_some_and(|comment| bytes.starts_with(b"PK\x05\x06") && bytes[20..22] == (comment as u16).to_le_bytes())
}

/// Members, size and offset of the directory from the records for 64-bit sizes, which precede the end record.
fn end_64(handle: &mut File, end: u64) -> Result<(u64, u64, u64), Fault> {
    let invalid = || Fault::Invalid("its record of 64-bit sizes is damaged".into());
    let locator = read_at(handle, end.checked_sub(20).ok_or_else(invalid)?, 20)?;
    let mut fields = Fields(&locator);
    if fields.u32()? != 0x0706_4b50 {
        return Err(invalid());
    }
    fields.skip(4)?;
    let record = read_at(handle, fields.u64()?, 56)?;
    let mut fields = Fields(&record);
    if fields.u32()? != 0x0606_4b50 {
        return Err(invalid());
    }
    fields.skip(28)?;
    Ok((fields.u64()?, fields.u64()?, fields.u64()?))
}

/// Reads bytes; memory is taken as they arrive.
fn read_at(handle: &mut File, offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
    handle.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    handle.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(Fault::Invalid("the file ends too early".into()));
    }
    Ok(bytes)
}

/// The members that are arrays.
fn members(directory: &[u8]) -> Result<Vec<Member>, Fault> {
    let mut fields = Fields(directory);
    let mut members: Vec<Member> = Vec::new();
    while !fields.0.is_empty() {
        let (path, member) = member(&mut fields)?;
        let Some(name) = path.strip_suffix(".npy") else { continue };
        if members.iter().any(|other| other.name == name) {
            return Err(Fault::Invalid(format!("it has the member {path} twice")));
        }
        members.push(Member {
            name: name.into(),
            ..member
        });
    }
    Ok(members)
}

fn member(fields: &mut Fields) -> Result<(String, Member), Fault> {
    if fields.u32()? != 0x0201_4b50 {
        return Err(Fault::Invalid("its directory is damaged".into()));
    }
    fields.skip(4)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.skip(4)?;
    let (crc, mut compressed, mut size) = (fields.u32()?, u64::from(fields.u32()?), u64::from(fields.u32()?));
    let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    fields.skip(8)?;
    let mut offset = u64::from(fields.u32()?);
    let name = String::from_utf8_lossy(fields.take(name.into())?).into_owned();
    let extra = fields.take(extra.into())?;
    fields.skip(comment.into())?;
    widen(extra, [&mut size, &mut compressed, &mut offset])?;
    let member = Member {
        name: String::new(),
        encrypted: flags & 1 != 0,
        method,
        crc,
        compressed,
        size,
        offset,
    };
    Ok((name, member))
}

/// Replaces those of the values that are all ones by the 64-bit ones of the extra field, in this order.
fn widen(extra: &[u8], values: [&mut u64; 3]) -> Result<(), Fault> {
    let mut fields = Fields(extra);
    // Fewer bytes than a field's head are padding.
    while fields.0.len() >= 4 {
        let (id, length) = (fields.u16()?, fields.u16()?);
        let mut content = Fields(fields.take(length.into())?);
        if id == 1 {
            for value in values {
                if *value == 0xffff_ffff {
                    *value = content.u64()?;
                }
            }
            return Ok(());
        }
    }
    Ok(())
}

/// Little-endian fields, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let cut = self.0.split_at_checked(count);
        let (taken, rest) = cut.ok_or_else(|| Fault::Invalid("its directory ends too early".into()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.take(count).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Checks length and check sum of a member at its end.
struct Checked<R> {
    reader: R,
    crc: Crc,
    member: Member,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its member {} {what}", self.member.name));
        let count = self.reader.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => damaged("is not a whole deflate stream"),
            _ => error,
        })?;
        self.crc.update(&buffer[..count]);
        // The check sum counts bytes in 32 bits only, but a wrong length beyond that is a wrong array too.
        if count == 0 && !buffer.is_empty() && (self.crc.amount(), self.crc.sum()) != (self.member.size as u32, self.member.crc) {
            return Err(damaged("does not have the length and check sum that the directory says"));
        }
        Ok(count)
    }
}

enum Fault {
    Io(io::Error),
    Invalid(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

impl Fault {
    fn at(self, file: &Path) -> DataError {
        match self {
            Fault::Io(error) => input::read_error(file, Format::Npy, error),
            Fault::Invalid(reason) => DataError::Malformed {
                file: file.into(),
                format: Format::Npy,
                reason,
            },
        }
    }
}
