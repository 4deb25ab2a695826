use super::*;
use crate::{catalogue, init::template};

fn job() -> Job {
    Job::parse(&template("wdbc", None).unwrap(), "test", &[]).unwrap()
}

fn kept() -> Preprocessing {
    let (job, source) = (job(), catalogue::find("wdbc").unwrap());
    Preprocessing::new(&job, &source, &source.load(&job, None).unwrap())
}

fn read(content: &str) -> Result<Preprocessing, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hospital.preprocessing.json");
    std::fs::write(&path, content).unwrap();
    Preprocessing::read(&path, &job())
}

#[test]
fn it_comes_back_bit_for_bit_and_only_its_owner_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hospital.preprocessing.json");
    kept().write(&path).unwrap();
    assert_eq!(Preprocessing::read(&path, &job()).unwrap(), kept());
    assert_eq!(kept().class_names(&job()).unwrap(), ["benign", "malignant"]);
    assert_eq!(kept().features.feature_names.unwrap().len(), 30);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_does_not_fit_the_job_is_refused() {
    let changed = |change: fn(&mut Preprocessing)| {
        let mut kept = kept();
        change(&mut kept);
        let error = read(&serde_json::to_string(&kept).unwrap()).unwrap_err();
        (error.exit_code(), error.to_string())
    };
    for (change, code, expected) in [
        ((|p| p.version = 2) as fn(&mut Preprocessing), 3, "expected version 1, got 2"),
        (|p| p.job = "0".repeat(64), 5, "it belongs to job 000"),
        (|p| p.standardiser = None, 3, "standardise = true"),
        (
            |p| p.standardiser.as_mut().unwrap().mean.truncate(29),
            3,
            "expected the moments of 30 features, got 29",
        ),
        (|p| p.standardiser.as_mut().unwrap().std[0] = 0.0, 3, "positive deviations"),
        (
            |p| p.classes.as_mut().unwrap().push("third".into()),
            3,
            "classes, got Some(3)",
        ),
        (|p| p.classes = None, 3, "classes, got None"),
        (|p| p.classes = Some(vec!["a".into(), "a".into()]), 3, "occurs twice"),
    ] {
        let (got, message) = changed(change);
        assert!(got == code && message.contains(expected), "{got}: {message}");
    }
    for malformed in ["", "{}", "[1]", "{\"version\":1}", "{\"version\":1e3}"] {
        assert_eq!(read(malformed).unwrap_err().exit_code(), 3, "{malformed}");
    }
    // A version that is not ours may hold anything.
    let error = read("{\"version\":7,\"other\":[]}").unwrap_err().to_string();
    assert!(error.contains("got 7"), "{error}");
}

#[test]
fn a_class_that_training_never_met_is_called_by_its_number() {
    let mut kept = kept();
    kept.classes = Some(vec!["1".into()]);
    assert_eq!(kept.class_names(&job()).unwrap(), ["1", "class 1"]);
    kept.classes = Some(vec!["0".into()]);
    assert_eq!(kept.class_names(&job()).unwrap(), ["0", "1"]);
}
