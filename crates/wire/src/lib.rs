//! Parties, typed messages, and the channels that carry them.
//!
//! A protocol script is generic over [`Channel`], a point-to-point link to one named peer. Two channels exist: [`memory`] for tests,
//! and [`tcp`], the only module that opens a socket. A script never touches a channel directly but through a [`Link`], which frames
//! typed [`Message`]s, checks kind, round and length before anything is allocated or decoded, and counts what crossed.
//!
//! On the wire a frame is a 16-byte header (payload length `u32`, kind `u8`, three zero bytes, round `u64`, all little-endian)
//! followed by the payload.

mod channel;
mod codec;
mod error;
mod frame;
mod keep_alive;
mod link;
pub mod memory;
mod party;
pub mod recording;
pub mod tcp;
pub mod testing;
mod transcript;

pub use channel::{Channel, Deadlines, FIRST_PIECE, Traffic};
pub use codec::{DecodeError, Reader, f32_array_len, put_f32_array};
pub use error::{AbortReason, Particulars, WireError};
pub use frame::{Header, MAX_PAYLOAD};
pub use keep_alive::wait_while;
pub use link::{Link, Message, MessageTraffic};
pub use party::{Party, PartyError};
pub use transcript::{Direction, Entry, Transcript};
