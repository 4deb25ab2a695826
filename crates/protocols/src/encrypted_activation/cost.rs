//! Declared bytes of `encrypted_activation`: headers and payloads, without TLS.

use cloven_wire::Header;

use super::{
    cipher::{Direction, SealedLen},
    msg::arrays_len,
};
use crate::Cost;

/// One training batch of `rows` rows.
pub fn training_batch(lengths: &impl SealedLen, rows: usize) -> Cost {
    evaluation_batch(lengths, rows) + one_way_and_back(lengths, Direction::Backward, rows)
}

/// One evaluation batch.
pub fn evaluation_batch(lengths: &impl SealedLen, rows: usize) -> Cost {
    one_way_and_back(lengths, Direction::Forward, rows)
}

/// One reveal of parameters of these shapes.
pub fn reveal(shapes: &[Vec<usize>]) -> Cost {
    Cost {
        client_messages: 1,
        client_bytes: (Header::LEN + arrays_len(shapes)) as u64,
        ..Cost::default()
    }
}

fn one_way_and_back(lengths: &impl SealedLen, direction: Direction, rows: usize) -> Cost {
    Cost {
        client_messages: 1,
        server_messages: 1,
        client_bytes: (Header::LEN + lengths.sealed_len(direction, rows)) as u64,
        server_bytes: (Header::LEN + lengths.answer_len(direction, rows)) as u64,
    }
}
