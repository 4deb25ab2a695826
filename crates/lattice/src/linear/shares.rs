//! In how many ways a number of things is shared out evenly.

/// All values of ceil(count / blocks), largest first: about 2 sqrt(count) of them.
pub(crate) fn shares(count: usize) -> impl Iterator<Item = usize> {
    let next = move |&share: &usize| (share > 1).then(|| count.div_ceil(count.div_ceil(share - 1)));
    std::iter::successors((count > 0).then_some(count), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_is_tried_once() {
        for count in [1usize, 2, 12, 42, 1000] {
            let mut slow: Vec<usize> = (1..=count).map(|blocks| count.div_ceil(blocks)).collect();
            slow.dedup();
            assert_eq!(shares(count).collect::<Vec<_>>(), slow, "{count}");
        }
    }
}
