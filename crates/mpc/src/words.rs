//! Loops over words that are worth wider vectors than every x86-64 has: the same portable code, compiled once more for AVX2 and AVX-512 and chosen
//! at run time.

/// Compiles `$body` for three levels of vectors and calls the best that the machine has.
macro_rules! widened {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name($($argument: $kind),*) {
            #[inline(always)]
            fn portable($($argument: $kind),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($argument: $kind),*) {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $kind),*) {
                    portable($($argument),*)
                }
                if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the features were just detected; every machine with these has avx512f.
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature was just detected.
                    return unsafe { avx2($($argument),*) };
                }
            }
            portable($($argument),*)
        }
    };
}

widened! {
    /// `left ^= right`, as far as both reach.
    xor_assign(left: &mut [u128], right: &[u128]) {
        left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right);
    }
}

widened! {
    /// `left ^= right & mask`, as far as both reach.
    xor_masked(left: &mut [u128], right: &[u128], mask: u128) {
        left.iter_mut().zip(right).for_each(|(left, right)| *left ^= right & mask);
    }
}

widened! {
    /// Folds a leaf's words into a parent: `plane ^= current`, then `current ^= sibling`.
    fold(plane: &mut [u128], current: &mut [u128], sibling: &[u128]) {
        for ((plane, current), sibling) in plane.iter_mut().zip(current).zip(sibling) {
            *plane ^= *current;
            *current ^= sibling;
        }
    }
}

widened! {
    /// Transposes a matrix of 128 x 128 bits in place: bit `c` of row `r` and bit `r` of row `c` change places.
    transpose(rows: &mut [[u64; 2]; 128]) {
        for i in 0..64 {
            let (low, high) = (rows[i][1], rows[i + 64][0]);
            rows[i][1] = high;
            rows[i + 64][0] = low;
        }
        swap_blocks::<32>(rows, 0x0000_0000_ffff_ffff);
        swap_blocks::<16>(rows, 0x0000_ffff_0000_ffff);
        swap_blocks::<8>(rows, 0x00ff_00ff_00ff_00ff);
        swap_blocks::<4>(rows, 0x0f0f_0f0f_0f0f_0f0f);
        swap_blocks::<2>(rows, 0x3333_3333_3333_3333);
        swap_blocks::<1>(rows, 0x5555_5555_5555_5555);
    }
}

/// In every block of 2S x 2S bits, swaps the two blocks of S x S off the diagonal.
#[inline(always)]
fn swap_blocks<const S: usize>(rows: &mut [[u64; 2]; 128], low: u64) {
    let mut base = 0;
    while base < 128 {
        for i in base..base + S {
            let (low_row, high_row) = (rows[i], rows[i + S]);
            let differing = [0, 1].map(|half| ((low_row[half] >> S) ^ high_row[half]) & low);
            rows[i + S] = [high_row[0] ^ differing[0], high_row[1] ^ differing[1]];
            rows[i] = [low_row[0] ^ (differing[0] << S), low_row[1] ^ (differing[1] << S)];
        }
        base += 2 * S;
    }
}
