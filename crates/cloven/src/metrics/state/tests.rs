use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::Position;

fn job(settings: &[&str]) -> Job {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/02_wdbc.toml");
    let settings = settings.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    Job::read(example.as_ref(), &crate::parse_settings(&settings).unwrap()).unwrap()
}

fn state(settings: &[&str], party: &str) -> State {
    State::new(
        &job(settings),
        &party.parse().unwrap(),
        UNIX_EPOCH + Duration::from_secs(1000),
    )
    .unwrap()
}

fn tell(state: &mut State, at: f64, update: Update) {
    let party = state.party.clone();
    state.absorb(&Stamped { party, at, update }, UNIX_EPOCH + Duration::from_secs(2000));
}

fn traffic(sent: u64, received: u64) -> Traffic {
    Traffic { sent, received }
}

fn evaluation(accuracy: f64) -> Evaluation {
    let text = format!(r#"{{"loss":0.25,"accuracy":{accuracy},"recall":[],"auc":0.75,"confusion":[]}}"#);
    serde_json::from_str(&text).unwrap()
}

fn started(from: Position, connection: Traffic) -> Update {
    Update::Started {
        epochs: 3,
        train_rows: 100,
        test_rows: 20,
        batches: 10,
        from,
        connection,
    }
}

fn batch(epoch: u32, batch: usize, rows: usize, traffic: Traffic) -> Update {
    Update::Batch {
        epoch,
        batch,
        rows,
        loss: Some(0.5),
        traffic,
    }
}

fn epoch(epoch: u32, rows: usize, connection: Traffic) -> Update {
    Update::Epoch {
        epoch,
        loss: Some(0.4),
        seconds: 99.0,
        traffic: traffic(77, 77),
        rows,
        connection,
    }
}

/// Samples by name and labels after the common ones. Fails where the page breaks the format: every metric has its help and type before its
/// samples, all in one place, and no sample comes twice.
pub(super) fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families: Vec<(&str, &str)> = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(
                help.ends_with('.') && families.iter().all(|(other, _)| *other != name),
                "{line}"
            );
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            families.push((name, kind));
            assert!(lines.peek().unwrap().starts_with(name));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        assert_eq!(families.last().unwrap().0, name, "{line}");
        assert!(name.starts_with("cloven_"), "{line}");
        let labels = labels.strip_suffix('}').unwrap();
        let (party, labels) = labels.split_once(",protocol=\"plain\"").unwrap();
        assert!(party.starts_with("party=\""), "{line}");
        let key = format!("{name}{{{}}}", labels.trim_start_matches(','));
        assert!(samples.insert(key, value.parse().unwrap()).is_none(), "{line} comes twice");
    }
    samples
}

fn all_are(state: &State, expected: &[(&str, f64)]) {
    let samples = samples(&state.page());
    for (name, value) in expected {
        assert_eq!(samples.get(*name), Some(value), "{name} in {samples:#?}");
    }
}

#[test]
fn a_run_from_its_beginning_to_its_end() {
    let mut state = state(&[], "hospital");
    all_are(
        &state,
        &[
            ("cloven_run_state{state=\"connecting\"}", 1.0),
            ("cloven_peer_connected{peer=\"cloud\"}", 0.0),
            ("cloven_start_time_seconds{}", 1000.0),
            ("cloven_epochs_planned{}", 20.0),
        ],
    );
    assert!(!state.page().contains("cloven_batch_loss"), "unknown figures are left out");
    let peer = "cloud".parse().unwrap();
    tell(&mut state, 0.5, Update::Connected { peer });
    tell(&mut state, 1.0, started(Position::START, traffic(5, 6)));
    tell(&mut state, 2.0, batch(1, 4, 40, traffic(105, 206)));
    all_are(
        &state,
        &[
            ("cloven_run_state{state=\"training\"}", 1.0),
            ("cloven_run_state{state=\"connecting\"}", 0.0),
            ("cloven_epoch{}", 1.0),
            ("cloven_epochs_done{}", 0.0),
            ("cloven_epoch_batches_done{}", 4.0),
            ("cloven_batches_total{}", 4.0),
            ("cloven_rows_total{}", 40.0),
            ("cloven_batch_loss{}", 0.5),
            ("cloven_sent_bytes_total{peer=\"cloud\",phase=\"setup\"}", 5.0),
            ("cloven_sent_bytes_total{peer=\"cloud\",phase=\"training\"}", 100.0),
            ("cloven_received_bytes_total{peer=\"cloud\",phase=\"training\"}", 200.0),
            ("cloven_phase_seconds_total{phase=\"training\"}", 1.0),
            ("cloven_last_update_time_seconds{}", 2000.0),
        ],
    );
    tell(&mut state, 4.0, epoch(1, 100, traffic(305, 406)));
    let evaluated = Update::Evaluated {
        epoch: 1,
        evaluation: Some(evaluation(0.9)),
        subsets: [("disjoint".to_owned(), evaluation(0.8))].into(),
        seconds: 88.0,
        traffic: traffic(88, 88),
        connection: traffic(315, 426),
    };
    tell(&mut state, 4.5, evaluated);
    let position = Position { epoch: 2, batch: 0 };
    tell(&mut state, 4.6, Update::Checkpoint { position, written: 3 });
    tell(&mut state, 5.0, batch(2, 1, 10, traffic(415, 526)));
    all_are(
        &state,
        &[
            ("cloven_epoch{}", 2.0),
            ("cloven_epochs_done{}", 1.0),
            ("cloven_batches_total{}", 11.0),
            ("cloven_rows_total{}", 110.0),
            ("cloven_epoch_loss{}", 0.4),
            ("cloven_test_accuracy_ratio{rows=\"all\"}", 0.9),
            ("cloven_test_accuracy_ratio{rows=\"disjoint\"}", 0.8),
            ("cloven_test_auroc_ratio{rows=\"all\"}", 0.75),
            ("cloven_test_loss{rows=\"all\"}", 0.25),
            ("cloven_sent_bytes_total{peer=\"cloud\",phase=\"training\"}", 400.0),
            ("cloven_sent_bytes_total{peer=\"cloud\",phase=\"evaluation\"}", 10.0),
            ("cloven_received_bytes_total{peer=\"cloud\",phase=\"evaluation\"}", 20.0),
            ("cloven_phase_seconds_total{phase=\"training\"}", 3.5),
            ("cloven_phase_seconds_total{phase=\"evaluation\"}", 0.5),
            ("cloven_checkpoints_written_total{}", 3.0),
            ("cloven_resumes_total{}", 0.0),
        ],
    );
    assert!(samples(&state.page()).contains_key("cloven_resident_memory_bytes{}") || !cfg!(target_os = "linux"));
    state.fail(7, UNIX_EPOCH + Duration::from_secs(3000));
    all_are(
        &state,
        &[
            ("cloven_run_state{state=\"failed\"}", 1.0),
            ("cloven_run_state{state=\"training\"}", 0.0),
            ("cloven_exit_code{}", 7.0),
            ("cloven_last_update_time_seconds{}", 3000.0),
        ],
    );
}

/// Counters never go down while the process lives, also where the training goes back to a checkpoint.
#[test]
fn a_lost_party_and_the_way_back() {
    let mut state = state(&[], "cloud");
    let peer: Party = "hospital".parse().unwrap();
    tell(&mut state, 0.0, started(Position::START, traffic(5, 5)));
    tell(&mut state, 1.0, batch(1, 8, 80, traffic(85, 85)));
    let why = "it closed the connection".to_owned();
    tell(
        &mut state,
        2.0,
        Update::Lost {
            peer: peer.clone(),
            why,
            seconds: 600,
        },
    );
    all_are(&state, &[("cloven_run_state{state=\"waiting\"}", 1.0)]);
    tell(&mut state, 9.0, Update::Connected { peer });
    tell(&mut state, 9.0, started(Position { epoch: 1, batch: 5 }, traffic(7, 7)));
    all_are(&state, &[("cloven_epoch_batches_done{}", 5.0)]);
    tell(&mut state, 10.0, batch(1, 7, 20, traffic(27, 27)));
    tell(&mut state, 11.0, epoch(1, 50, traffic(57, 57)));
    all_are(
        &state,
        &[
            ("cloven_run_state{state=\"training\"}", 1.0),
            ("cloven_resumes_total{}", 1.0),
            ("cloven_peer_lost_total{peer=\"hospital\"}", 1.0),
            ("cloven_peer_connected{peer=\"hospital\"}", 1.0),
            ("cloven_batches_total{}", 13.0),
            ("cloven_rows_total{}", 130.0),
            ("cloven_sent_bytes_total{peer=\"hospital\",phase=\"setup\"}", 12.0),
            ("cloven_sent_bytes_total{peer=\"hospital\",phase=\"training\"}", 130.0),
            ("cloven_phase_seconds_total{phase=\"training\"}", 3.0),
        ],
    );
}

#[test]
fn several_peers_have_one_figure_of_bytes() {
    let settings = ["parties={north='client',south='client',cloud='server'}"];
    let mut state = state(&settings, "cloud");
    tell(&mut state, 0.0, started(Position::START, traffic(5, 5)));
    all_are(
        &state,
        &[
            ("cloven_sent_bytes_total{phase=\"setup\"}", 5.0),
            ("cloven_peer_connected{peer=\"north\"}", 0.0),
            ("cloven_peer_connected{peer=\"south\"}", 0.0),
        ],
    );
}
