//! Mutants of valid inputs, the same in every run.

/// A stream of mutants.
pub(super) struct Mutants<'a> {
    state: u64,
    valid: &'a [Vec<u8>],
}

/// Values at which decoders tend to go wrong.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX,
    1 << 31,
    1 << 63,
    0x7fc0_0000,
];

impl<'a> Mutants<'a> {
    pub(super) fn new(valid: &'a [Vec<u8>]) -> Self {
        Self { state: 0, valid }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(super) fn next_mutant(&mut self) -> Vec<u8> {
        let index = self.below(self.valid.len());
        let mut bytes = self.valid.get(index).cloned().unwrap_or_default();
        for _ in 0..=self.below(3) {
            self.mutate(&mut bytes);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let span = at..(at + 1 + self.below(16)).min(bytes.len());
        match self.below(8) {
            _ if bytes.is_empty() => bytes.push(self.next() as u8),
            0 | 1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes[at] = self.next() as u8,
            3 => {
                let edge = EDGES[self.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&edge[..width]);
            }
            4 => bytes.truncate(at),
            5 => {
                let more = self.below(40);
                bytes.extend((0..more).map(|_| self.next() as u8));
            }
            6 => drop(bytes.drain(span)),
            _ => {
                let copy = bytes[span].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}
