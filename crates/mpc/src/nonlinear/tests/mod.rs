pub(crate) mod collusion;
mod costs;
mod engines;
mod hostile;
pub(crate) mod simulation;

use super::*;
use crate::circuit::Goal;

const FEW: Engine = Engine::Boolean(Goal::FewAnds);
const LOW: Engine = Engine::Boolean(Goal::LowDepth);

fn ring(bits: usize, truncation: usize) -> Ring {
    Ring { bits, truncation }
}

/// A script that waits for messages may go on in another thread.
const _: fn() = || {
    fn travels<T: Send>() {}
    travels::<(Next<Setup>, Preparer, Prepared)>();
    travels::<Next<Preparation<'_, '_>>>();
    travels::<Next<Online<'_>>>();
};
