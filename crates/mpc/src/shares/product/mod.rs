//! Products of matrices with wrap-around: one walk over tiles, and an implementation of a tile for each kind of vector, chosen at run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use zeroize::Zeroizing;

/// An implementation of products that this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Backend {
    /// The plain loops that the others are compared with.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// All that this machine can run, the fastest last.
    pub fn available() -> Vec<Self> {
        [
            Some(Self::SCALAR),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx2").then_some(Self(Kind::Avx2)),
            #[cfg(target_arch = "x86_64")]
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")).then_some(Self(Kind::Avx512)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The fastest that this machine can run.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::SCALAR)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }
}

/// The left factor, as it stands or transposed: element (r, p) is word `r * across + p * along`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    words: &'a [u64],
    /// Rows of the product.
    pub(super) count: usize,
    depth: usize,
    across: usize,
    along: usize,
}

impl<'a> Left<'a> {
    /// A matrix as it stands.
    pub(super) fn rows(words: &'a [u64], rows: usize, columns: usize) -> Self {
        Self {
            words,
            count: rows,
            depth: columns,
            across: columns,
            along: 1,
        }
    }

    /// A matrix transposed.
    pub(super) fn columns(words: &'a [u64], rows: usize, columns: usize) -> Self {
        Self {
            words,
            count: columns,
            depth: rows,
            across: 1,
            along: columns,
        }
    }
}

/// Depth that one panel of the right factor covers: with eight columns 16 KiB of it.
const PANEL: usize = 256;

/// Elements (r, p) of the left factor for `R` rows r and a range of depths p.
pub(super) struct Block<'a, const R: usize> {
    words: &'a [u64],
    /// Where each row begins; a row beyond the last is the last.
    starts: [usize; R],
    along: usize,
}

impl<'a, const R: usize> Block<'a, R> {
    /// `depth` elements of the rows from `row` on, from depth `first` on.
    fn new(left: Left<'a>, row: usize, first: usize, depth: usize) -> Self {
        let starts = std::array::from_fn(|r| (row + r).min(left.count - 1) * left.across + first * left.along);
        let end = |start: &usize| start + (depth - 1) * left.along < left.words.len();
        assert!(depth > 0 && starts.iter().all(end), "tiles lie inside the left factor");
        Self {
            words: left.words,
            starts,
            along: left.along,
        }
    }

    /// One element.
    ///
    /// # Safety
    /// `row < R`, and `depth` below the one that the block was made for.
    #[inline(always)]
    unsafe fn get(&self, row: usize, depth: usize) -> u64 {
        // SAFETY: `new` checked the last element of each row; the others stand before it.
        unsafe { *self.words.get_unchecked(self.starts[row] + depth * self.along) }
    }
}

/// `out += left right`, where `right` has `columns` columns, as many rows as `left` has depth, and `out` the shape of the product.
pub(super) fn multiply(backend: Backend, left: Left, (right, columns): (&[u64], usize), out: &mut [u64]) {
    match backend.0 {
        Kind::Scalar => scalar::multiply(left, (right, columns), out),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => tiled(left, (right, columns), out, avx2::tile),
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => tiled(left, (right, columns), out, avx512::tile),
    }
}

/// Walks over tiles of `R` rows and `L` columns of the product; `tile` adds up one of them over a panel's depth.
fn tiled<const R: usize, const L: usize>(
    left: Left,
    (right, columns): (&[u64], usize),
    out: &mut [u64],
    tile: impl Fn(&Block<R>, &[[u64; L]]) -> [[u64; L]; R],
) {
    let mut panel = Zeroizing::new(vec![[0; L]; PANEL.min(left.depth)]);
    for depth in (0..left.depth).step_by(PANEL) {
        let panel = &mut panel[..PANEL.min(left.depth - depth)];
        for column in (0..columns).step_by(L) {
            let width = L.min(columns - column);
            for (p, words) in panel.iter_mut().enumerate() {
                words[..width].copy_from_slice(&right[(depth + p) * columns + column..][..width]);
            }
            for row in (0..left.count).step_by(R) {
                let sums = tile(&Block::new(left, row, depth, panel.len()), panel);
                for (r, sums) in sums.iter().enumerate().take(left.count - row) {
                    let out = &mut out[(row + r) * columns + column..][..width];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = out.wrapping_add(*sum));
                }
            }
        }
    }
}
