//! Where the server keeps encrypted rows: they are too many for its memory.

use super::Upload;
use crate::CheckpointError;

/// Keeps the rows of one upload, in order: training rows, then test rows. Every row has the same length.
pub trait RowStore {
    /// What is held, and how many rows of it; survives the loss of a connection, and should survive the process.
    fn held(&self) -> Option<(Upload, u64)>;
    /// Holds nothing of anything else from now on.
    fn begin(&self, upload: Upload) -> Result<(), CheckpointError>;
    /// Adds whole rows.
    fn append(&self, rows: &[u8]) -> Result<(), CheckpointError>;
    /// Returns when all that was added will be there whatever happens.
    fn flush(&self) -> Result<(), CheckpointError>;
    /// One row, appended to `into`.
    fn read(&self, row: usize, into: &mut Vec<u8>) -> Result<(), CheckpointError>;
}
