//! Plain loops.

use crate::shape::Lines;
use std::ops::Range;

pub(super) fn multiply(left: Lines<i8>, right: Lines<i8>, rows: Range<usize>, out: &mut [i32]) {
    for (row, out) in rows.zip(out.chunks_mut(right.count.max(1))) {
        for (column, out) in out.iter_mut().enumerate() {
            let terms = (0..left.depth).map(|depth| i32::from(left.get(row, depth)) * i32::from(right.get(column, depth)));
            *out = terms.fold(*out, i32::wrapping_add);
        }
    }
}
