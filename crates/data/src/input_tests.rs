use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn zipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Everything that a file with these bytes yields, or the error as text without the folder.
fn read(name: &str, bytes: &[u8], cap: u64) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    let mut content = Vec::new();
    let outcome = open_capped(&file, cap).and_then(|mut input| {
        input
            .read_to_end(&mut content)
            .map_err(|error| read_error(&file, Format::Idx, error))
    });
    let shown = |error: DataError| error.to_string().replace(&file.display().to_string(), name);
    outcome.map_err(shown).map(|_| content)
}

#[test]
fn gzip_is_told_by_content() {
    let text = b"some text".as_slice();
    assert_eq!(read("plain", text, 100).unwrap(), text);
    assert_eq!(read("zipped", &zipped(text), 100).unwrap(), text);
    let twice = [zipped(b"some "), zipped(b"text")].concat();
    assert_eq!(read("members.gz", &twice, 100).unwrap(), text);
    assert_eq!(
        read("lie.gz", text, 100).unwrap_err(),
        "lie.gz: the gzip stream is damaged: the file does not begin with the gzip mark"
    );
}

#[test]
fn bytes_after_the_stream_are_an_error() {
    for tail in [&b"x"[..], b"ten bytes and more", &[0; 40]] {
        let error = read("t.gz", &[&zipped(b"some text"), tail].concat(), 100).unwrap_err();
        assert!(error.starts_with("t.gz: the gzip stream is damaged: "), "{error}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = zipped(b"some text that is a little longer, a little longer");
    for length in 0..bytes.len() {
        assert!(
            read("t.gz", &bytes[..length], 100).is_err(),
            "{length} of {} bytes",
            bytes.len()
        );
    }
}

#[test]
fn a_bomb_stops_at_the_cap() {
    let bomb = zipped(&vec![0; 1 << 24]);
    assert!(bomb.len() < 1 << 15);
    assert!(read("t.gz", &bomb, 1 << 20).unwrap_err().contains("more than the limit"));
    assert_eq!(read("t.gz", &zipped(&[7; 64]), 64).unwrap(), [7; 64]);
    assert!(read("t", &[7; 65], 64).is_err());
}

#[test]
fn a_wrong_path_is_named() {
    let error = open(Path::new("no/such.csv")).err().unwrap().to_string();
    assert_eq!(
        error,
        "no/such.csv: no such file or folder; relative paths start at the folder of local.toml"
    );
    let folder = tempfile::tempdir().unwrap();
    assert!(
        open(folder.path())
            .err()
            .unwrap()
            .to_string()
            .ends_with("cannot be read: it is a folder, expected a file")
    );
}
