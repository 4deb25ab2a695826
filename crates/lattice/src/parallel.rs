//! Work on the threads of the current pool, where it is worth waking them.
//!
//! Pools belong to the caller: nothing here builds one. Every piece is computed alone and put where it belongs, so that results do not depend
//! on the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::LatticeError;

/// Nanoseconds of work that are worth a thread: waking one costs tens of microseconds.
const WORTH: usize = 100_000;
/// Pieces to a thread: a core that is busy with something else takes fewer.
const PIECES: usize = 4;

/// How many of `count` tasks of about `cost` nanoseconds each are to be done in one go: all of them where threads are not worth it.
pub(crate) fn share(count: usize, cost: usize) -> usize {
    let pieces = count.saturating_mul(cost) / WORTH;
    match rayon::current_num_threads() {
        threads if threads > 1 && pieces > 1 => {
            let pieces = pieces.min(PIECES * threads);
            // As many for every thread, unless that makes pieces of one or two tasks coarser.
            let even = match pieces > threads && count > 2 * pieces {
                true => pieces - pieces % threads,
                false => pieces,
            };
            count.div_ceil(even)
        }
        _ => count.max(1),
    }
}

/// The results of tasks 0 to `count`, in order, or the first error.
pub(crate) fn map<T: Send>(
    count: usize,
    cost: usize,
    task: impl Fn(usize) -> Result<T, LatticeError> + Sync,
) -> Result<Vec<T>, LatticeError> {
    let done = shares(count, share(count, cost), |tasks| {
        tasks.map(&task).collect::<Result<Vec<T>, LatticeError>>()
    });
    let mut results = Vec::with_capacity(count);
    for part in done {
        results.extend(part?);
    }
    Ok(results)
}

/// Appends what tasks 0 to `count` write, in order, or returns the first error.
pub(crate) fn append(
    count: usize,
    cost: usize,
    out: &mut Vec<u8>,
    task: impl Fn(usize, &mut Vec<u8>) -> Result<(), LatticeError> + Sync,
) -> Result<(), LatticeError> {
    let share = share(count, cost);
    if share >= count {
        return (0..count).try_for_each(|index| task(index, out));
    }
    let done = shares(count, share, |mut tasks| {
        let mut bytes = Vec::new();
        tasks.try_for_each(|index| task(index, &mut bytes)).map(|()| bytes)
    });
    for bytes in done {
        out.extend_from_slice(&bytes?);
    }
    Ok(())
}

/// Runs `task` on chunks of `size` (but the last) of `items`, with the number of their first; the error of the first chunk that has one.
pub(crate) fn chunks_mut<T: Send>(
    items: &mut [T],
    size: usize,
    task: impl Fn(usize, &mut [T]) -> Result<(), LatticeError> + Sync,
) -> Result<(), LatticeError> {
    if size >= items.len() {
        return task(0, items);
    }
    let chunks = items.par_chunks_mut(size).enumerate();
    let done: Vec<_> = chunks.map(|(index, chunk)| task(index * size, chunk)).collect();
    done.into_iter().collect()
}

fn shares<T: Send>(count: usize, share: usize, run: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let of = |index: usize| index * share..count.min((index + 1) * share);
    match count.div_ceil(share) {
        ..=1 => vec![run(0..count)],
        number => (0..number).into_par_iter().map(|index| run(of(index))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(work)
    }

    #[test]
    fn order_and_the_first_error_do_not_depend_on_threads() {
        for threads in [1, 2, 3] {
            let [numbers, error] = [100, 60].map(|bound| {
                in_pool(threads, || {
                    map(100, WORTH, |i| match i < bound {
                        true => Ok(i),
                        false => Err(LatticeError::Length {
                            expected: bound,
                            actual: i,
                        }),
                    })
                })
            });
            assert_eq!(numbers.unwrap(), (0..100).collect::<Vec<_>>());
            assert_eq!(
                error,
                Err(LatticeError::Length {
                    expected: 60,
                    actual: 60
                })
            );
            let mut bytes = vec![7];
            in_pool(threads, || {
                append(90, WORTH, &mut bytes, |i, out| {
                    out.extend([i as u8; 2]);
                    Ok(())
                })
            })
            .unwrap();
            assert!(bytes[1..].chunks(2).enumerate().all(|(i, pair)| pair == [i as u8; 2]) && bytes.len() == 181);
            let mut items = vec![0; 50];
            in_pool(threads, || {
                chunks_mut(&mut items, 7, |first, chunk| {
                    chunk.iter_mut().enumerate().for_each(|(i, item)| *item = first + i);
                    Ok(())
                })
            })
            .unwrap();
            assert_eq!(items, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn little_work_stays_where_it_is() {
        in_pool(8, || {
            assert_eq!(share(10, WORTH / 10), 10);
            assert_eq!(share(0, WORTH), 1);
            assert_eq!(share(10, WORTH), 1);
            assert_eq!(share(1000, WORTH), 32);
        });
        in_pool(2, || {
            // Three pieces would leave a thread idle for a third of the time.
            assert_eq!(share(64, WORTH / 20), 32);
            assert_eq!(share(70, WORTH / 10), 12);
        });
        assert_eq!(in_pool(1, || share(1000, WORTH)), 1000);
    }
}
