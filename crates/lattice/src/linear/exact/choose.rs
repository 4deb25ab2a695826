//! Which layout.

use crate::{
    LatticeError,
    linear::{layout::Layout, shares::shares},
};

/// The layout of least cost among all numbers of blocks of inner and of columns, with as many rows to a polynomial as fit.
pub(super) fn choose(
    degree: usize,
    [rows, inner, columns]: [usize; 3],
    cost: impl Fn(&Layout) -> usize,
) -> Result<Layout, LatticeError> {
    let mut best: Option<(usize, Layout)> = None;
    for block_outputs in shares(columns) {
        for block_inputs in shares(inner) {
            let room = degree / block_inputs.saturating_mul(block_outputs).max(1);
            if room == 0 {
                continue;
            }
            let layout = Layout {
                degree,
                inputs: inner,
                outputs: columns,
                // As few groups as fit, of equal size.
                samples: rows.div_ceil(rows.div_ceil(room)),
                block_inputs,
                block_outputs,
            };
            let cost = cost(&layout);
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, layout));
            }
        }
    }
    best.map(|(_, layout)| layout).ok_or(LatticeError::NoLayout {
        inputs: inner,
        outputs: columns,
        degree,
    })
}
