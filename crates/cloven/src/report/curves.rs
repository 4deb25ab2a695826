//! Loss, accuracy, time and bytes by epoch.

use super::{
    Facts,
    charts::{Axes, Series, lines},
    facts::EpochRow,
    markup::{Markup, markup},
    numbers,
};

/// The charts; none of a single epoch, which is no curve.
pub(super) fn curves(facts: &Facts, plain: Option<&Facts>) -> Markup {
    if facts.epochs.len() < 2 {
        return Markup::default();
    }
    let seconds = [series("training time", &facts.epochs, |row| Some(row.seconds))];
    let bytes = [series("training bytes", &facts.epochs, |row| Some(row.bytes as f64))];
    let axes = |y, from_zero, form| Axes {
        x: "epoch",
        y,
        from_zero,
        form,
    };
    let share = |v: f64| format!("{:.1}", v * 100.0);
    let charts = vec![
        lines("Loss", &axes("mean loss", false, two_decimals), &losses(facts, plain)),
        lines(
            "Accuracy",
            &axes("share of test rows, %", false, share),
            &accuracies(facts, plain),
        ),
        lines("Training time by epoch", &axes("seconds", true, two_decimals), &seconds),
        lines(
            "Bytes by epoch",
            &axes("MB, all parties", true, |v| numbers::digits(v / 1e6)),
            &bytes,
        ),
    ];
    markup!(r#"<section><h2>By epoch</h2><div class="pair">{}</div></section>"#, charts)
}

/// Training loss of each party that knows it, test loss, and test loss of the plain run.
fn losses(facts: &Facts, plain: Option<&Facts>) -> Vec<Series> {
    let knows = |party| facts.epochs.iter().any(|row| row.loss.contains_key(party));
    let knowing: Vec<_> = facts.parties.iter().filter(|party| knows(*party)).collect();
    let name = |party| {
        if knowing.len() == 1 {
            "training".to_owned()
        } else {
            format!("training, {party}")
        }
    };
    let training = knowing
        .iter()
        .map(|party| series(name(*party), &facts.epochs, |row| row.loss.get(*party).copied()));
    let test = series("test", &facts.epochs, |row| row.test_loss);
    let plain = plain.map(|plain| series("test, plain", &plain.epochs, |row| row.test_loss));
    with_points(training.chain([test]).chain(plain))
}

/// Accuracy on all test rows, on their subsets, and of the plain run.
fn accuracies(facts: &Facts, plain: Option<&Facts>) -> Vec<Series> {
    let all = series("test rows", &facts.epochs, |row| row.accuracy);
    let subsets = facts
        .epochs
        .iter()
        .rev()
        .find(|row| row.accuracy.is_some())
        .into_iter()
        .flat_map(|row| row.subsets.keys());
    let subsets = subsets.map(|name| series(format!("{name} rows"), &facts.epochs, |row| row.subsets.get(name).copied()));
    let plain = plain.map(|plain| series("test rows, plain", &plain.epochs, |row| row.accuracy));
    with_points([all].into_iter().chain(subsets).chain(plain))
}

fn series(name: impl Into<String>, rows: &[EpochRow], value: impl Fn(&EpochRow) -> Option<f64>) -> Series {
    let points = rows.iter().filter_map(|row| Some((f64::from(row.epoch), value(row)?)));
    Series {
        name: name.into(),
        points: points.collect(),
    }
}

fn with_points(series: impl Iterator<Item = Series>) -> Vec<Series> {
    series.filter(|s| !s.points.is_empty()).collect()
}

fn two_decimals(value: f64) -> String {
    format!("{value:.2}")
}
