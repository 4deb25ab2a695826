//! Work on the threads of the current pool, where it is worth waking them.
//!
//! Pools belong to the caller: nothing here builds one. How work is cut does not depend on the number of threads, so results do not either.

use rayon::prelude::*;
use std::ops::Range;

/// Nanoseconds of work that are worth a thread: waking one costs tens of microseconds.
const WORTH: usize = 100_000;

/// Whether `count` tasks of about `cost` nanoseconds each are worth several threads.
fn worth(count: usize, cost: usize) -> bool {
    count > 1 && rayon::current_num_threads() > 1 && count.saturating_mul(cost) >= 2 * WORTH
}

/// Runs `task` on every item, each of which takes about `cost` nanoseconds.
pub(crate) fn for_each<T: Send>(items: Vec<T>, cost: usize, task: impl Fn(T) + Sync + Send) {
    match worth(items.len(), cost) {
        true => {
            let least = (WORTH / 4 / cost.max(1)).max(1);
            items.into_par_iter().with_min_len(least).for_each(task);
        }
        false => items.into_iter().for_each(task),
    }
}

/// Runs `task` on every item, each of which takes about `cost` nanoseconds, with what `init` made for the items before it on the same thread.
pub(crate) fn for_each_with<T: Send, S>(
    items: Vec<T>,
    cost: usize,
    init: impl Fn() -> S + Sync + Send,
    task: impl Fn(&mut S, T) + Sync + Send,
) {
    match worth(items.len(), cost) {
        true => items.into_par_iter().for_each_init(init, task),
        false => {
            let mut scratch = init();
            items.into_iter().for_each(|item| task(&mut scratch, item));
        }
    }
}

/// What `task` gives for every part of `count` items, `size` in all parts but the last; an item takes about `cost` nanoseconds.
pub(crate) fn map_parts<T: Send>(
    count: usize,
    size: usize,
    cost: usize,
    task: impl Fn(Range<usize>) -> T + Sync + Send,
) -> Vec<T> {
    let part = |index: usize| index * size..count.min((index + 1) * size);
    let parts = count.div_ceil(size);
    match worth(parts, size.saturating_mul(cost)) {
        true => (0..parts).into_par_iter().map(|index| task(part(index))).collect(),
        false => (0..parts).map(|index| task(part(index))).collect(),
    }
}

/// Cuts `items` into pieces of the given lengths, which add up to no more than there are.
pub(crate) fn pieces<T>(mut items: &mut [T], lengths: impl IntoIterator<Item = usize>) -> Vec<&mut [T]> {
    let cut = |length| {
        let (piece, rest) = std::mem::take(&mut items).split_at_mut(length);
        items = rest;
        piece
    };
    lengths.into_iter().map(cut).collect()
}
