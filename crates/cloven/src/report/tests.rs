use std::fs;

use super::*;

const JOB: &str = r#"protocol = "plain"
[parties]
hospital = "client"
cloud = "server"
[data]
name = "<script>alert(1)</script>"
shape = [2]
classes = 2
[model]
server_layers = [0]
layers = [{ type = "dense", outputs = 2 }]
[training]
epochs = 2
batch = 4
loss = "cross-entropy"
optimiser = { type = "sgd", learning_rate = 0.1 }
"#;

const METRICS: &str = r#"{"party":"hospital","at":0.1,"event":"started","epochs":2,"train_rows":1300,"test_rows":10,"batches":3}
{"party":"hospital","at":0.2,"event":"epoch","epoch":1,"loss":0.7,"seconds":0.5,"traffic":{"sent":1000,"received":500}}
{"party":"cloud","at":0.2,"event":"epoch","epoch":1,"seconds":0.6,"traffic":{"sent":500,"received":1000}}
{"party":"hospital","at":0.3,"event":"evaluated","epoch":1,"evaluation":{"loss":0.6,"accuracy":0.8,"recall":[0.75,null],"auc":null,"confusion":[[6,2],[0,2]]},"seconds":0.1,"traffic":{"sent":10,"received":5}}
"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn bytes_of_all_parties_are_what_each_sent_and_of_one_alone_both_directions() {
    let both = folder(&[("metrics.jsonl", METRICS)]);
    let facts = Report::read(both.path()).unwrap().facts;
    assert_eq!((facts.epochs[0].bytes, facts.epochs[0].seconds), (1500, 0.6));
    assert_eq!(facts.epochs[0].accuracy, Some(0.8));
    let alone: String = METRICS
        .lines()
        .filter(|l| l.contains("hospital"))
        .map(|l| format!("{l}\n"))
        .collect();
    let alone = folder(&[("metrics.jsonl", &alone)]);
    let report = Report::read(alone.path()).unwrap();
    assert_eq!((report.facts.epochs[0].bytes, report.facts.epochs[0].seconds), (1500, 0.5));
    assert!(report.html().contains("Recorded by hospital alone"));
}

#[test]
fn texts_of_files_never_become_markup() {
    let folder = folder(&[
        ("job.toml", JOB),
        ("metrics.jsonl", METRICS),
        (
            "failure.json",
            r#"{"message":"cloud: <img onerror=alert(2)> & 'more'","exit_code":8}"#,
        ),
    ]);
    let page = fs::read_to_string(Report::read(folder.path()).unwrap().write().unwrap()).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "the data's name is shown");
    assert!(
        page.contains("This run failed</strong> (exit code 8): cloud: &lt;img"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains("<img"));
    // Self-contained: nothing is loaded from anywhere.
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_run_that_ended_early_says_so_and_shows_what_it_has() {
    let cut = &METRICS[..METRICS.len() - 40];
    let cut = folder(&[("job.toml", JOB), ("metrics.jsonl", cut)]);
    let report = Report::read(cut.path()).unwrap();
    assert_eq!(report.facts.state, State::Unfinished);
    let page = report.html();
    assert!(
        page.contains("This run has no summary") && page.contains("one epoch is recorded"),
        "{page}"
    );
    assert!(page.contains("1,300 training and 10 test rows"));
    let empty = folder(&[("job.toml", JOB), ("metrics.jsonl", "")]);
    assert!(Report::read(empty.path()).unwrap().html().contains("no epoch is recorded"));
}

#[test]
fn other_folders_and_damaged_files_are_errors_that_name_the_place() {
    let none = folder(&[]);
    assert!(Report::read(none.path()).unwrap_err().to_string().contains("run folder"));
    let damaged = folder(&[("metrics.jsonl", &format!("{METRICS}{{\"party\":3}}\n"))]);
    let error = Report::read(damaged.path()).unwrap_err();
    assert!(error.to_string().contains("metrics.jsonl:5"), "{error}");
    assert_eq!(error.exit_code(), 3);
    let long = folder(&[("metrics.jsonl", &"x".repeat(3 << 20))]);
    assert_eq!(Report::read(long.path()).unwrap().facts.epochs, []);
}

#[test]
fn the_confusion_matrix_and_recall_are_on_the_page() {
    let folder = folder(&[("job.toml", JOB), ("metrics.jsonl", METRICS)]);
    let page = Report::read(folder.path()).unwrap().html();
    assert!(page.contains("75.00 % of class 0 taken for class 0: 6"), "{page}");
    assert!(page.contains("does not occur"));
}

#[test]
fn an_audit_is_shown_with_signals_as_lines_and_images_as_squares() {
    let example = |shape: &str, n: usize| {
        let values = vec!["0.5"; n].join(",");
        format!(r#"{{"shape":{shape},"input":[{values}],"received":[1,2,3],"reconstruction":[{values}]}}"#)
    };
    let audit = format!(
        r#"{{"job":"j","protocol":"plain","mode":null,"parties":{{"cloud":{{"recording":"all of it","rows":4000,"received":"numbers","findings":
        [{{"attack":"a < b","messages":"activation","target":"inputs","rows":9,"measure":"m","value":-0.25,"chance":0,"bound":0.1,"succeeded":false,"verdict":"v"}}],
        "not_tried":["nothing & more"],"examples":[{},{},{},{}]}}}}}}"#,
        example("[1,8]", 8),
        example("[1,3,4]", 12),
        // Shapes that are none of what they belong to.
        example("[1,3,0]", 2),
        example("[1,4294967296,4294967296]", 2)
    );
    let folder = folder(&[("job.toml", JOB), ("metrics.jsonl", METRICS), ("audit.json", &audit)]);
    let page = fs::read_to_string(Report::read(folder.path()).unwrap().write().unwrap()).unwrap();
    for part in [
        "cloud as the attacker",
        "4,000 rows",
        "a &lt; b",
        "−0.250",
        "did not succeed",
        "nothing &amp; more",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // Input and reconstruction of 3 x 4 squares.
    assert_eq!(page.matches("<rect").count(), 24);
    assert!(page.contains(r#"class="behind""#));
}
