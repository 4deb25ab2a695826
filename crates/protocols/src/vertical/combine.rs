//! The first layer from what all holders have of it, where all of them show it.

use cloven_mpc::shares::{FixedPoint, Matrix, reconstruct};
use ndarray::{Array2, Axis};

use super::{FirstLayer, Terms, scales};
use crate::{CheckpointError, ProtocolError};

/// The first layer's weights, `[columns of all holders in the order of names + 1, width]`, the bias last. `shares` are those that the holders of columns
/// ended with ([`super::TrainedHolder::shares`]), in the order of names.
///
/// # Errors
/// [`ProtocolError::Checkpoint`] for shares of another length than the job's, or not one of each holder.
pub fn combined_weights(terms: &Terms, shares: &[&[u8]]) -> Result<Array2<f64>, ProtocolError> {
    let rows = terms.features() + 1;
    let wrong = |got: String| -> ProtocolError {
        let why = format!(
            "expected first-layer shares of {} holders for {rows} x {} weights, got {got}",
            terms.columns.len(),
            terms.width
        );
        CheckpointError { why }.into()
    };
    if shares.len() != terms.columns.len() {
        return Err(wrong(format!("those of {}", shares.len())));
    }
    let values: Vec<f64> = match terms.first_layer {
        // Each has the weights of its own columns, as they are.
        FirstLayer::Plain => {
            let bytes = shares.concat();
            let (values, []) = bytes.as_chunks() else {
                return Err(wrong(format!("{} bytes", bytes.len())));
            };
            values.iter().map(|value| f64::from(f32::from_le_bytes(*value))).collect()
        }
        FirstLayer::Shares | FirstLayer::HomomorphicEncryption => {
            let len = 8 * rows * terms.width;
            if let Some(other) = shares.iter().find(|share| share.len() != len) {
                return Err(wrong(format!("{} bytes", other.len())));
            }
            let shares: Vec<Matrix> = shares
                .iter()
                .map(|share| Matrix::decode(rows, terms.width, share))
                .collect::<Result<_, _>>()?;
            FixedPoint::new(scales::WEIGHTS)?.decode_all(&reconstruct(&shares)?)
        }
    };
    let got = values.len();
    let all = Array2::from_shape_vec((rows, terms.width), values).map_err(|_| wrong(format!("{got} numbers")))?;
    // The bias stands after the first holder's columns.
    let bias = terms.columns.values().next().copied().unwrap_or(0);
    let order: Vec<usize> = (0..rows).filter(|row| *row != bias).chain([bias]).collect();
    Ok(all.select(Axis(0), &order))
}
