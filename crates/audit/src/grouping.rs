//! Labels from gradients: rows of one class have gradients of one direction.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::algebra::eigenvectors;

/// Rounds of reassignment.
const ROUNDS: usize = 20;

/// The group of each row, out of `groups`, by direction (spherical k-means from far-apart rows). Rows of zeros are in group 0.
pub fn by_direction(rows: &Array2<f32>, groups: usize) -> Vec<u32> {
    let units: Vec<Array1<f32>> = rows.rows().into_iter().map(unit).collect();
    let mut centres = far_apart(&units, groups);
    let mut group = vec![0; units.len()];
    for _ in 0..ROUNDS {
        let next: Vec<u32> = units.iter().map(|row| nearest(row, &centres)).collect();
        if next == group {
            break;
        }
        group = next;
        for (index, centre) in centres.iter_mut().enumerate() {
            let members = units.iter().zip(&group).filter(|(_, g)| **g as usize == index);
            let sum = members.fold(Array1::zeros(centre.len()), |sum: Array1<f32>, (row, _)| sum + row);
            if sum.dot(&sum) > 0.0 {
                *centre = unit(sum.view());
            }
        }
    }
    group
}

/// Two groups: the sign of each row along the first principal direction, that of most squares. Rows of zeros are in group 0.
pub fn by_first_direction(rows: &Array2<f32>) -> Vec<u32> {
    let rows = rows.mapv(f64::from);
    let (values, vectors) = eigenvectors(&rows.t().dot(&rows));
    let first = (0..values.len()).max_by(|&i, &j| values[i].total_cmp(&values[j]));
    let along = first.map_or_else(|| Array1::zeros(rows.nrows()), |first| rows.dot(&vectors.row(first)));
    along.iter().map(|v| u32::from(*v > 0.0)).collect()
}

/// Groups named by the most frequent label of their rows in the first half; the share of right labels in the second half.
pub fn agreement_after_naming(group: &[u32], labels: &[u32], groups: usize) -> f64 {
    let half = labels.len() / 2;
    let names: Vec<Option<u32>> = (0..groups as u32)
        .map(|g| {
            let known = group.iter().zip(labels).take(half).filter(|(of, _)| **of == g);
            most_frequent(known.map(|(_, label)| *label))
        })
        .collect();
    let rest = group.iter().zip(labels).skip(half);
    let right = rest.filter(|(g, label)| names[**g as usize] == Some(**label)).count();
    right as f64 / (labels.len() - half).max(1) as f64
}

/// The most frequent label.
pub fn most_frequent(labels: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts = std::collections::BTreeMap::new();
    labels.for_each(|label| *counts.entry(label).or_insert(0u32) += 1);
    counts
        .into_iter()
        .max_by_key(|(label, count)| (*count, std::cmp::Reverse(*label)))
        .map(|(label, _)| label)
}

fn far_apart(units: &[Array1<f32>], groups: usize) -> Vec<Array1<f32>> {
    let Some(first) = units.iter().find(|u| u.dot(*u) > 0.0) else {
        return vec![Array1::zeros(units.first().map_or(0, Array1::len)); groups];
    };
    let mut centres = vec![first.clone()];
    while centres.len() < groups {
        let likeness = |row: &Array1<f32>| centres.iter().map(|c| c.dot(row)).fold(f32::MIN, f32::max);
        let rows = units.iter().filter(|u| u.dot(*u) > 0.0);
        let next = rows
            .min_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .unwrap_or(first)
            .clone();
        centres.push(next);
    }
    centres
}

fn nearest(row: &Array1<f32>, centres: &[Array1<f32>]) -> u32 {
    let likeness = |index: &usize| centres[*index].dot(row);
    // The first of equals.
    (0..centres.len())
        .rev()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .unwrap_or(0) as u32
}

fn unit(row: ArrayView1<f32>) -> Array1<f32> {
    let norm = row.dot(&row).sqrt();
    if norm > 0.0 { &row / norm } else { Array1::zeros(row.len()) }
}

/// The length of each row.
pub fn norms(rows: &Array2<f32>) -> Vec<f64> {
    rows.axis_iter(Axis(0)).map(|row| f64::from(row.dot(&row)).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_found_whatever_their_length() {
        let directions = [[1.0, 0.1, 0.0], [-0.2, 1.0, 0.1], [0.0, -0.1, -1.0]];
        let labels: Vec<u32> = (0..60).map(|i| [2, 0, 1][i % 3]).collect();
        let rows = Array2::from_shape_fn((60, 3), |(i, j)| directions[i % 3][j] * (1.0 + i as f32) + 0.01 * j as f32);
        let group = by_direction(&rows, 3);
        assert_eq!(agreement_after_naming(&group, &labels, 3), 1.0);
        // One group for all tells nothing but the commonest label.
        assert!((agreement_after_naming(&[0; 60], &labels, 3) - 1.0 / 3.0).abs() < 1e-9);
    }
}
