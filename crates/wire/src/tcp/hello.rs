//! The first message in each direction: who speaks, which version, which job.

use std::time::Duration;

use tracing::debug;

use super::socket::TcpChannel;
use crate::{Channel, Deadlines, DecodeError, Link, Message, Party, Reader, WireError};

/// The version of the frame format and of every message; parties of different versions refuse each other.
///
/// 2: keep-alives; the hello names the sender's message deadline. 4: shares for an enclave's workers are words. 6: `vertical` makes triples for a whole batch at once.
/// 7: its holders have their shares of a gradient before there is one; outputs go as upper halves of words.
pub const WIRE_VERSION: u16 = 7;

/// What a party says of itself.
#[derive(Clone)]
pub(super) struct Hello {
    pub(super) party: Party,
    pub(super) job: [u8; 32],
    /// How long it waits for a message; whole milliseconds on the wire.
    pub(super) deadline: Duration,
}

/// Version first and alone in its check, so that a later version may change everything after it.
struct Envelope {
    version: u16,
    hello: Option<Hello>,
}

impl Message for Envelope {
    const KIND: u8 = 0;
    const NAME: &'static str = "hello";
    type Expect = ();

    fn max_len((): &()) -> usize {
        1024
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        if let Some(hello) = &self.hello {
            out.extend_from_slice(&hello.job);
            let deadline = u32::try_from(hello.deadline.as_millis()).unwrap_or(u32::MAX);
            out.extend_from_slice(&deadline.to_le_bytes());
            out.push(hello.party.as_str().len() as u8);
            out.extend_from_slice(hello.party.as_str().as_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        let version = reader.u16()?;
        if version != WIRE_VERSION {
            // Whatever follows is that version's business.
            while reader.u8().is_ok() {}
            return Ok(Self { version, hello: None });
        }
        let job = reader.array()?;
        let deadline = Duration::from_millis(reader.u32()?.into());
        let len = reader.u8()? as usize;
        let name = String::from_utf8_lossy(reader.bytes(len)?);
        let party = name.parse().map_err(|_| DecodeError::Field {
            field: "party",
            expected: "a party's name".into(),
            got: name
                .chars()
                .take(Party::MAX_LEN)
                .collect::<String>()
                .escape_debug()
                .to_string(),
        })?;
        Ok(Self {
            version,
            hello: Some(Hello { party, job, deadline }),
        })
    }
}

/// Exchanges hellos. Both sides send before they read, so that both can name a mismatch.
pub(super) async fn exchange(channel: TcpChannel, ours: Hello, deadline: Duration) -> Result<TcpChannel, WireError> {
    let party = channel.peer().clone();
    let later = channel.deadlines();
    let mut link = Link::new(channel.with_deadlines(Deadlines {
        message: deadline,
        total: deadline,
        peer: deadline,
    }));
    let our_job = ours.job;
    link.send(
        0,
        &Envelope {
            version: WIRE_VERSION,
            hello: Some(ours),
        },
    )
    .await?;
    let Envelope { version, hello } = link.receive::<Envelope>(0, &()).await?;
    let Some(hello) = hello else {
        return Err(WireError::WrongVersion {
            party,
            ours: WIRE_VERSION,
            theirs: version,
        });
    };
    if hello.party != party {
        return Err(WireError::WrongParty {
            party,
            got: hello.party.to_string(),
        });
    }
    if hello.job != our_job {
        return Err(WireError::WrongJob {
            party,
            ours: hex(&our_job),
            theirs: hex(&hello.job),
        });
    }
    debug!(peer = %party, version, job = hex(&our_job), deadline = ?hello.deadline, "hello: same version, same job");
    Ok(link.into_channel().with_deadlines(Deadlines {
        peer: hello.deadline,
        ..later
    }))
}

fn hex(digest: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*digest).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests;
