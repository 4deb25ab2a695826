//! Test accuracy with encrypted activations minus plain, paired over seeds.

use cloven::{Error, Summary};

use crate::{
    row::Row,
    training::{Pair, no_data},
};

const PART: &str = "seeds";
/// The most seeds of one comparison.
pub const MOST: u32 = 30;
/// 97.5 % quantiles of Student's t for 1 to 29 degrees of freedom.
const STUDENT: [f64; MOST as usize - 1] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
    2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
];
const WHAT: [&str; 2] = [
    "accuracy, sealed minus plain, whole test set",
    "accuracy, sealed minus plain, disjoint rows",
];

/// Mean differences in points, with 95 % intervals.
pub fn rows(seeds: u32, epochs: u32) -> Result<Vec<Row>, Error> {
    let why = match (seeds, no_data()) {
        (0, _) => Some("pass --seeds 5"),
        (_, no_data) => no_data,
    };
    if let Some(why) = why {
        return Ok(WHAT.map(|what| Row::not_measured(PART, what, "points", why)).into());
    }
    let mut differences = [const { Vec::new() }; 2];
    for seed in 1..=seeds {
        eprintln!("accuracy: seed {seed} of {seeds}");
        let pair = Pair::train(seed.into(), epochs)?;
        let of: [fn(&Summary) -> Option<f64>; 2] = [|s| s.test_accuracy, |s| s.test_accuracy_subsets.get("disjoint").copied()];
        for (differences, of) in differences.iter_mut().zip(of) {
            differences.extend(
                of(&pair.sealed)
                    .zip(of(&pair.plain))
                    .map(|(sealed, plain)| 100.0 * (sealed - plain)),
            );
        }
    }
    Ok(WHAT
        .into_iter()
        .zip(differences)
        .map(|(what, points)| row(what, &points, epochs))
        .collect())
}

fn row(what: &str, points: &[f64], epochs: u32) -> Row {
    let Some(student) = points.len().checked_sub(2).and_then(|at| STUDENT.get(at)) else {
        return Row::not_measured(PART, what, "points", "too few runs report it");
    };
    let count = points.len() as f64;
    let mean = points.iter().sum::<f64>() / count;
    let variance = points.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = student * (variance / count).sqrt();
    let detail = format!(
        "95 % interval {:+.2} to {:+.2}, {count} seeds, {epochs} epochs",
        mean - half,
        mean + half
    );
    Row::new(PART, what, mean, "points").detail(detail)
}
