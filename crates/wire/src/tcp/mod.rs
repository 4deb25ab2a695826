//! Mutual TLS 1.3 over TCP between parties that pinned each other's certificate: the only sockets of the project.
//!
//! There is no certificate authority. Each party makes its own key and self-signed certificate ([`Identity::generate`]), gives the
//! certificate to the others by a channel they trust, and pins theirs in its [`Roster`]. A connection is accepted when the peer's
//! certificate is byte for byte the pinned one and the handshake proves possession of its key; names, dates and issuers in the
//! certificate carry no meaning. Either side may dial.

mod connect;
mod dial;
mod door;
mod emulation;
mod hello;
mod identity;
mod shaped;
mod signature;
mod socket;
mod tls;

pub use connect::{Endpoint, Notice, Reach};
pub use door::{Arrival, Reception};
pub use emulation::{Emulation, EmulationError};
pub use hello::WIRE_VERSION;
pub use identity::{Certificate, Identity, IdentityError, Roster};
pub use socket::{TcpChannel, at_socket};

#[cfg(test)]
mod tests;
