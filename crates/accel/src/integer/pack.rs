//! Lines in the order in which a tile reads them: groups of `G` consecutive depths of `L` lines side by side.

use crate::shape::Lines;
use std::ops::Range;

/// Fills `out` with lines `first..first + L` at `depth`; what lies beyond either is zero before `map`.
#[inline(always)]
pub(super) fn pack<T: Copy, const L: usize, const G: usize>(
    lines: &Lines<i8>,
    first: usize,
    depth: Range<usize>,
    map: impl Fn(i8) -> T + Copy,
    out: &mut [[[T; G]; L]],
) {
    let count = L.min(lines.count - first);
    if count < L || !depth.len().is_multiple_of(G) {
        out.fill([[map(0); G]; L]);
    }
    match lines.along {
        1 => {
            for line in 0..count {
                let values = &lines.values[(first + line) * lines.across + depth.start..][..depth.len()];
                pack_line(values, line, map, out);
            }
        }
        _ => pack_columns(lines, first..first + count, depth, map, out),
    }
}

/// One line whose depths stand side by side.
#[inline(always)]
fn pack_line<T: Copy, const L: usize, const G: usize>(
    values: &[i8],
    line: usize,
    map: impl Fn(i8) -> T + Copy,
    out: &mut [[[T; G]; L]],
) {
    let (groups, rest) = values.as_chunks::<G>();
    for (out, group) in out.iter_mut().zip(groups) {
        out[line] = group.map(map);
    }
    for (depth, value) in rest.iter().enumerate() {
        out[groups.len()][line][depth] = map(*value);
    }
}

/// Lines that stand side by side at each depth.
#[inline(always)]
fn pack_columns<T: Copy, const L: usize, const G: usize>(
    lines: &Lines<i8>,
    range: Range<usize>,
    depth: Range<usize>,
    map: impl Fn(i8) -> T + Copy,
    out: &mut [[[T; G]; L]],
) {
    let row = |depth: usize| &lines.values[depth * lines.along + range.start..][..range.len()];
    for (group, out) in out.iter_mut().enumerate() {
        let first = depth.start + group * G;
        let whole: Option<[&[i8; L]; G]> = match first + G <= depth.end && range.len() == L {
            true => Some(std::array::from_fn(|g| {
                row(first + g).first_chunk().expect("a row has L lines")
            })),
            false => None,
        };
        match whole {
            Some(rows) => out
                .iter_mut()
                .enumerate()
                .for_each(|(line, out)| *out = rows.map(|row| map(row[line]))),
            None => {
                for g in 0..G.min(depth.end - first) {
                    row(first + g)
                        .iter()
                        .zip(out.iter_mut())
                        .for_each(|(value, out)| out[g] = map(*value));
                }
            }
        }
    }
}
