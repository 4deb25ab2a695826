use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::annotations::decode;
use super::*;
use crate::source::{BeatClasses, Column, Normalise};

/// A folder with one record `r` of the given header line for its only signal and content.
fn record(signal: &str, samples: usize, content: &[u8], annotations: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("r.hea"), format!("r 1 100 {samples}\nr.dat {signal}\n")).unwrap();
    fs::write(folder.path().join("r.dat"), content).unwrap();
    fs::write(folder.path().join("r.atr"), annotations).unwrap();
    let file = folder.path().join("r.hea");
    (folder, file)
}

/// The samples in units of the converter.
fn samples(format: u16, count: usize, content: &[u8]) -> Vec<f32> {
    let (_folder, file) = record(&format!("{format} 1"), count, content, &[0, 0]);
    let header = Header::read(&file).unwrap();
    signal::read(&file, &header, 0).unwrap()
}

fn refused(signal: &str, count: usize, content: &[u8]) -> String {
    let (folder, file) = record(signal, count, content, &[0, 0]);
    let read = Header::read(&file).and_then(|header| signal::read(&file, &header, 0));
    let error = read.unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_format_of_samples() {
    assert_eq!(samples(16, 3, &[1, 0, 0xff, 0xff, 0, 1]), [1.0, -1.0, 256.0]);
    assert_eq!(samples(61, 2, &[0, 1, 0xff, 0xfe]), [1.0, -2.0]);
    assert_eq!(samples(24, 2, &[1, 0, 0, 0xfe, 0xff, 0xff]), [1.0, -2.0]);
    assert_eq!(samples(32, 1, &[0xfd, 0xff, 0xff, 0xff]), [-3.0]);
    assert_eq!(samples(80, 2, &[128, 3]), [0.0, -125.0]);
    // 0x123 and -1, then 0x7ff alone.
    assert_eq!(samples(212, 3, &[0x23, 0xf1, 0xff, 0xff, 0x07]), [291.0, -1.0, 2047.0]);
    assert!(samples(16, 1, &[0, 0x80])[0].is_nan() && samples(212, 1, &[0, 0x08, 0])[0].is_nan());
}

#[test]
fn two_signals_take_turns_and_have_gain_baseline_and_checksum() {
    let text =
        "r 2 360/720(5) 2 12:00:00 01/02/2003\nr.dat 16x1+4 200(100)/mV 11 7 0 10 0 lead one\nr.dat 16+4 0 11 3\n# a comment\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.hea");
    fs::write(&file, text).unwrap();
    let values: Vec<u8> = [9i16, 9, 300, 3, -290, 203]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs::write(folder.path().join("r.dat"), &values).unwrap();
    let header = Header::read(&file).unwrap();
    assert_eq!((header.frequency, header.samples), (360.0, Some(2)));
    assert_eq!(header.lead(&file, Some(&Column::Name("lead one".into()))).unwrap(), 0);
    assert_eq!(signal::read(&file, &header, 0).unwrap(), [1.0, -1.95]);
    assert_eq!(signal::read(&file, &header, 1).unwrap(), [0.0, 1.0]);
    fs::write(&file, text.replace(" 10 0 lead", " 11 0 lead")).unwrap();
    let error = signal::read(&file, &Header::read(&file).unwrap(), 0).unwrap_err().to_string();
    assert!(
        error.ends_with("the samples of signal lead one add up to 10, the header says 11"),
        "{error}"
    );
}

#[test]
fn faulty_records_are_refused() {
    assert!(refused("16", 3, &[0; 5]).contains("r.dat: not a valid WFDB file: expected 3 samples of each of 1 signals, found 2"));
    assert!(refused("8", 1, &[0; 5]).contains("its format is 8, expected 16, 24"));
    assert!(refused("16", usize::MAX, &[]).contains("the announced signals needs 73786976294838206460 bytes"));
    assert!(refused("16x10", 1, &[0; 2]).contains("several samples per frame or a skew"));
    assert!(refused("16:4", 1, &[0; 2]).contains("several samples per frame or a skew"));
    assert!(refused("16 nan", 1, &[0; 2]).contains("no finite gain"));
    for (text, expected) in [
        ("", "no line that describes"),
        ("r/2 1 100", "several segments"),
        ("r 0 100", "1 to 256"),
        ("r 999999999 100", "1 to 256"),
        ("r 1 -3", "no number above 0"),
        ("r 1 nan", "no number above 0"),
        ("r 1 100 many", "its number of samples is \"many\""),
        ("r 2 100 5\nr.dat 16", "announces 2 signals and describes 1"),
        ("r 1 100 5\n../r.dat 16", "a file in the same folder"),
        ("r 1 100 5\nr.dat word", "names no format"),
        ("r 1 100 5\nr.dat 16 200(x)", "its baseline"),
    ] {
        let error = header::parse(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn word(code: u16, interval: u16) -> u16 {
    code << 10 | interval
}

#[test]
fn annotations_with_long_intervals_and_texts() {
    let bytes = words(&[
        word(28, 18),
        word(63, 3),
        u16::from_le_bytes(*b"(N"),
        0,
        word(1, 59),
        word(60, 2),
        word(59, 0),
        1,
        5,
        word(5, 1),
        0,
    ]);
    let read = decode(&bytes).unwrap();
    let found: Vec<(i64, &str)> = read
        .iter()
        .map(|annotation| (annotation.sample, annotation.symbol()))
        .collect();
    assert_eq!(found, [(18, ""), (77, "N"), (77 + 65_536 + 5 + 1, "V")]);
    assert!(decode(&bytes[..bytes.len() - 2]).is_err() && decode(&[]).is_err());
}

#[test]
fn beats_are_cut_interpolated_and_normalised() {
    let options = |normalise| WfdbOptions {
        before: 0.01,
        after: 0.03,
        points: 8,
        normalise,
        ..WfdbOptions::default()
    };
    let signal = vec![5.0, 1.0, 2.0, 4.0, 2.0, f32::NAN, 1.0, 1.0, 1.0, 1.0, 1.0];
    let cut = |normalise, sample| {
        let mut values = vec![9.0];
        let whole = Cutter::new(signal.clone(), 100.0, &options(normalise)).cut(sample, &mut values);
        assert_eq!((values[0], values.len()), (9.0, if whole { 9 } else { 1 }));
        whole.then(|| values[1..].to_vec())
    };
    // From sample 0, one before the beat, to 3.5, in steps of half a sample.
    assert_eq!(cut(Normalise::None, 1).unwrap(), [5.0, 3.0, 1.0, 1.5, 2.0, 3.0, 4.0, 3.0]);
    assert_eq!(cut(Normalise::MinMax, 1).unwrap()[..4], [1.0, 0.5, 0.0, 0.125]);
    assert_eq!(cut(Normalise::MinMax, 7).unwrap(), [0.0; 8]);
    let z = cut(Normalise::ZScore, 1).unwrap();
    assert!(z.iter().sum::<f32>().abs() < 1e-5 && (z.iter().map(|v| v * v).sum::<f32>() - 8.0).abs() < 1e-4);
    assert_eq!(
        [0, 2, 5, 9, 10, i64::MAX, i64::MIN].map(|sample| cut(Normalise::None, sample)),
        [const { None }; 7]
    );
}

#[test]
fn classes_follow_the_documented_mapping() {
    let of = |classes| {
        "NLRejAaJSVEF/fQB"
            .chars()
            .map(|symbol| class(&symbol.to_string(), classes).unwrap_or("-"))
            .collect::<String>()
    };
    assert_eq!(of(BeatClasses::Nlrav), "NLR--A---V------");
    assert_eq!(of(BeatClasses::Aami), "NNNNNSSSSVVFQQQ-");
    for classes in [BeatClasses::Nlrav, BeatClasses::Aami] {
        let names = class_names(classes);
        assert!(
            of(classes)
                .chars()
                .all(|class| class == '-' || names.contains(&class.to_string()))
        );
    }
}

#[test]
fn rows_to_predict_from_are_beats_of_every_class() {
    // An N that is too early, an F, a change of rhythm, an N.
    let annotations = words(&[word(1, 1), word(6, 20), word(28, 1), word(1, 20), 0]);
    let (folder, file) = record("80 1", 60, &(0..60).map(|v| 100 + v).collect::<Vec<u8>>(), &annotations);
    let options = WfdbOptions {
        before: 0.05,
        after: 0.05,
        points: 5,
        normalise: Normalise::None,
        ..WfdbOptions::default()
    };
    for path in [file.as_path(), folder.path()] {
        let features = read_features(path, &options).unwrap();
        assert_eq!((features.x.shape(), features.rows.as_slice()), (&[2, 1, 5][..], &[1, 2][..]));
        assert_eq!(features.x.iter().take(2).copied().collect::<Vec<_>>(), [-12.0, -10.0]);
    }
    for wrong in [
        WfdbOptions {
            points: 1,
            ..options.clone()
        },
        WfdbOptions {
            after: f64::NAN,
            ..options.clone()
        },
        WfdbOptions {
            before: -1.0,
            ..options.clone()
        },
        WfdbOptions {
            annotator: "../x".into(),
            ..options.clone()
        },
    ] {
        assert!(matches!(read_features(&file, &wrong), Err(DataError::Option { .. })));
    }
    let none = WfdbOptions {
        annotator: "qrs".into(),
        ..options
    };
    let error = read_features(folder.path(), &none).unwrap_err().to_string();
    assert!(
        error.ends_with("expected records, .hea files with an .qrs file beside each, found none"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_annotations_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn any_text_is_a_header_or_an_error(text in "[r0-9 x:+/().#na\n-]{0,80}") {
        let _ = header::parse(&text);
    }
}
