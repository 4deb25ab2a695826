use proptest::prelude::*;

use super::*;

const WIDTH: usize = 2;
const HOLDERS: [&str; 2] = ["bank", "shop"];

fn rounds() -> Rounds {
    use RoundRows::{Test, Training};
    let rows = [
        (1, Training(vec![2, 0])),
        (2, Training(vec![1])),
        (4, Test(vec![0, 1])),
        (6, Training(vec![1, 2])),
        (7, Training(vec![0])),
        (9, Test(vec![0, 1])),
    ];
    Rounds {
        holders: HOLDERS.iter().map(|name| name.parse().unwrap()).collect(),
        width: WIDTH,
        train_rows: 3,
        test_rows: 2,
        rows: rows.into(),
    }
}

fn message(peer: &str, name: &str, round: u64, payload: Vec<u8>) -> Result<Received, AuditError> {
    Ok(Received {
        peer: peer.parse().unwrap(),
        name: name.into(),
        kind: 47,
        round,
        payload,
    })
}

fn bytes(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// What h1 is in the tests.
fn h1(round: u64, row: usize, column: usize) -> f64 {
    -1.5 + round as f64 + 0.25 * row as f64 - 3.0 * column as f64
}

/// The messages of a round: shares whose sum wraps.
fn shares(rounds: &Rounds, round: u64) -> [Result<Received, AuditError>; 2] {
    let (RoundRows::Training(rows) | RoundRows::Test(rows)) = &rounds.rows[&round];
    let all = rows
        .iter()
        .flat_map(|row| (0..WIDTH).map(move |column| h1(round, *row, column)));
    let words: Vec<u64> = all.map(|v| (v * 2f64.powi(54)) as i64 as u64).collect();
    let mask = |at: usize| 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(at as u64 + 3) << 32;
    let [a, b] = [0, 1].map(|first| {
        let part = |(at, word): (usize, &u64)| if first == 0 { mask(at) } else { word.wrapping_sub(mask(at)) };
        // Upper halves.
        words
            .iter()
            .enumerate()
            .flat_map(|word| ((part(word) >> 32) as u32).to_le_bytes())
            .collect()
    });
    [("bank", a), ("shop", b)].map(|(peer, payload)| message(peer, "share of the first layer's output", round, payload))
}

#[test]
fn shares_become_passes_over_rows_in_their_own_order() {
    let rounds = rounds();
    let messages = [1, 2, 4, 6, 7, 9].into_iter().flat_map(|round| shares(&rounds, round));
    let view = VerticalView::read(messages, &rounds).unwrap();
    assert_eq!((view.train.len(), view.test.len(), view.partial_passes), (2, 2, 0));
    // Training row 2 is first in round 1 and second in round 6.
    let line = |round, row| [h1(round, row, 0), h1(round, row, 1)];
    assert_eq!(view.train[0].row(2).to_vec(), line(1, 2));
    assert_eq!(view.train[0].row(1).to_vec(), line(2, 1));
    assert_eq!(view.train[1].row(2).to_vec(), line(6, 2));
    assert_eq!(view.test[1].row(0).to_vec(), line(9, 0));
}

#[test]
fn what_is_recorded_in_part_is_left_out_and_counted() {
    let rounds = rounds();
    // Round 7 is missing, and one share of round 9.
    let mut messages: Vec<_> = [1, 2, 4, 6, 9].into_iter().flat_map(|round| shares(&rounds, round)).collect();
    messages.pop();
    let view = VerticalView::read(messages, &rounds).unwrap();
    assert_eq!((view.train.len(), view.test.len(), view.partial_passes), (1, 1, 1));
}

#[test]
fn open_and_masked_gradients_are_told_apart() {
    let rounds = rounds();
    let words = |v: i64, rows: usize| bytes(vec![v as u64; rows * WIDTH]);
    let messages = [
        message("cloud", "open gradient", 1, words(-1 << 29, 2)),
        message("cloud", "open gradient", 2, words(1 << 30, 1)),
        message("cloud", "masked gradient", 6, words(1 << 62, 2)),
        message("cloud", "masked gradient", 7, words(i64::MIN, 1)),
        message("cloud", "something else", 6, vec![]),
        message("cloud", "open gradient", 3, vec![]),
    ];
    let view = VerticalView::read(messages, &rounds).unwrap();
    assert_eq!(view.gradient, [ndarray::array![[-0.5, -0.5], [1.0, 1.0], [-0.5, -0.5]]]);
    assert_eq!(
        view.masked_gradient,
        [ndarray::array![[-0.5, -0.5], [0.25, 0.25], [0.25, 0.25]]]
    );
}

#[test]
fn unprotected_parts_are_added_up() {
    let rounds = rounds();
    let mut payload = Vec::new();
    cloven_wire::put_f32_array(&mut payload, &ndarray::array![[1.5f32, -2.0], [0.0, 4.0]].into_dyn());
    let part = |peer| message(peer, "part of the first layer's output", 4, payload.clone());
    let view = VerticalView::read([part("bank"), part("shop")], &rounds).unwrap();
    assert_eq!(view.test, [ndarray::array![[3.0, -4.0], [0.0, 8.0]]]);
}

#[test]
fn messages_that_are_something_else_are_named() {
    let rounds = rounds();
    let read = |messages: Vec<Result<Received, AuditError>>| VerticalView::read(messages, &rounds).unwrap_err().to_string();
    let share = |peer: &str, length: usize| message(peer, "share of the first layer's output", 1, vec![0; length]);
    assert!(read(vec![share("bank", 15)]).contains("2 rows of 2 words of 4 bytes, got 15 bytes"));
    assert!(read(vec![share("bank", 20)]).contains("got 20 bytes"));
    assert!(read(vec![share("cloud", 16)]).contains("one from a holder"));
    assert!(read(vec![share("bank", 16), share("bank", 16)]).contains("a second from bank"));
    assert!(read(vec![message("cloud", "open gradient", 2, vec![0; 8])]).contains("open gradient of round 2"));
    let mut tensor = Vec::new();
    cloven_wire::put_f32_array(&mut tensor, &ndarray::array![[1.0f32], [2.0]].into_dyn());
    assert!(read(vec![message("bank", "part of the first layer's output", 1, tensor)]).contains("2 numbers a row, got 1"));
}

#[test]
fn rounds_of_rows_that_there_are_not_are_refused() {
    let with = |round, rows| {
        let mut all = rounds();
        all.rows.insert(round, RoundRows::Training(rows));
        let nothing: [Result<Received, AuditError>; 0] = [];
        VerticalView::read(nothing, &all).unwrap_err().to_string()
    };
    assert!(with(11, vec![3]).contains("rows below 3 in round 11, got 3"));
    // Row 0 is in its first pass, row 1 in its second.
    assert!(with(3, vec![0, 1]).contains("one pass"));
}

proptest! {
    #[test]
    fn any_payload_gives_a_view_or_an_error(
        name in 0usize..5, peer in 0usize..3, round in 0u64..11, payload in proptest::collection::vec(any::<u8>(), 0..80)
    ) {
        let names = ["share of the first layer's output", "part of the first layer's output", "open gradient",
            "gradient at the first layer's output", "masked gradient"];
        let peer = ["bank", "shop", "cloud"][peer];
        let _ = VerticalView::read([message(peer, names[name], round, payload)], &rounds());
    }
}

mod attacked {
    use cloven_wire::recording::RecordingError;
    use ndarray::{Array2, Axis, concatenate};

    use super::super::*;

    const ROWS: usize = 400;

    /// A fixed linear congruential sequence, uniform in -1/2..1/2.
    fn noise(rows: usize, columns: usize, mut state: u32) -> Array2<f64> {
        Array2::from_shape_simple_fn((rows, columns), || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1u32 << 24) - 0.5
        })
    }

    /// Five columns, the first of two values; every third row has label 1.
    fn truth() -> VerticalTruth {
        let mut columns = noise(ROWS, 5, 1).mapv(|v| v as f32);
        columns.column_mut(0).mapv_inplace(|v| f32::from(u8::from(v > 0.1)));
        VerticalTruth {
            train: columns.clone(),
            test: columns,
            names: ["smoker", "a", "b", "c", "d"].map(String::from).to_vec(),
            labels: Some((0..ROWS as u32).map(|row| u32::from(row % 3 == 0)).collect()),
            classes: 2,
        }
    }

    /// One direction, its sign that of the label, its length the row's own; parts of it are cut off, as by units that are not active.
    fn gradient(seed: u32) -> Array2<f64> {
        let (direction, active) = (noise(1, 6, seed), noise(ROWS, 6, seed + 1));
        Array2::from_shape_fn((ROWS, 6), |(row, unit)| {
            let sign = if row % 3 == 0 { -2.0 } else { 0.5 };
            let length = sign * (1.0 + active[[row, 0]]);
            if active[[row, unit]] > -0.3 {
                length * direction[[0, unit]]
            } else {
                0.0
            }
        })
    }

    #[test]
    fn an_open_gradient_tells_binary_labels_and_a_share_of_it_does_not() {
        let truth = truth();
        let open = VerticalView {
            gradient: vec![gradient(20), gradient(30)],
            ..VerticalView::default()
        };
        let found = audit_vertical(&open, &truth).unwrap();
        let by_sign = found.findings.iter().find(|f| f.attack.starts_with("the sign of")).unwrap();
        assert!(
            by_sign.value > 0.98 && by_sign.succeeded && by_sign.messages == "open gradient",
            "{by_sign:?}"
        );
        let shared = VerticalView {
            masked_gradient: vec![noise(ROWS, 6, 5), noise(ROWS, 6, 6)],
            ..VerticalView::default()
        };
        let found = audit_vertical(&shared, &truth).unwrap();
        assert_eq!(found.findings.len(), 3);
        assert!(found.findings.iter().all(|f| !f.succeeded), "{:?}", found.findings);
    }

    #[test]
    fn two_valued_columns_are_scored_by_name() {
        let truth = truth();
        let ones = Array2::ones((ROWS, 1));
        let x = concatenate(Axis(1), &[truth.test.mapv(f64::from).view(), ones.view()]).unwrap();
        let view = VerticalView {
            test: (0..3).map(|pass| x.dot(&noise(6, 2, 50 + pass))).collect(),
            partial_passes: 1,
            ..VerticalView::default()
        };
        let audit = audit_vertical(&view, &truth).unwrap();
        let [finding] = &audit.findings[..] else {
            panic!("{:?}", audit.findings);
        };
        assert_eq!(
            (finding.target.as_str(), finding.value, audit.rows),
            ("column smoker", 1.0, ROWS)
        );
        assert!(
            finding.messages.contains("they span 5 of 5 columns") && finding.attack.contains("exact"),
            "{finding:?}"
        );
        assert!(
            audit.not_tried.iter().any(|why| why.contains("1 passes")),
            "{:?}",
            audit.not_tried
        );
    }

    #[test]
    fn truth_of_other_rows_is_refused_and_an_empty_view_says_so() {
        let truth = truth();
        let other = VerticalView {
            test: vec![noise(ROWS - 1, 2, 3)],
            ..VerticalView::default()
        };
        assert!(
            audit_vertical(&other, &truth)
                .unwrap_err()
                .to_string()
                .contains("399 rows of truth")
        );
        let nothing: [Result<Received, RecordingError>; 0] = [];
        let empty = VerticalView::read(nothing, &super::rounds()).unwrap();
        assert!(audit_vertical(&empty, &truth).unwrap().not_tried[0].contains("no pass"));
    }
}
