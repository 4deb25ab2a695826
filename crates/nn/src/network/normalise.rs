//! What both normalisations share: sums of many f32 in f64, in an order that depends on nothing but their number.

const LANES: usize = 8;

/// The sum of `term` over the values.
pub fn sum(values: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += term(f64::from(*value));
        }
    }
    rest.iter()
        .fold(lanes.iter().sum(), |sum, value| sum + term(f64::from(*value)))
}

/// The sum of the products of two slices of one length.
pub fn dot(left: &[f32], right: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    for (l, r) in left.iter().zip(right) {
        for (lane, (l, r)) in lanes.iter_mut().zip(l.iter().zip(r)) {
            *lane += f64::from(*l) * f64::from(*r);
        }
    }
    let rest = left_rest.iter().zip(right_rest);
    rest.fold(lanes.iter().sum(), |sum, (l, r)| sum + f64::from(*l) * f64::from(*r))
}
