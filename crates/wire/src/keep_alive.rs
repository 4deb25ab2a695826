//! Keep-alives: how a party that makes its peer wait for good reason says so.
//!
//! A keep-alive is a frame of kind [`Header::KEEP_ALIVE`] without payload. It restarts the receiver's message deadline. A dishonest peer
//! gains little: the receiver's [`crate::Deadlines::total`] ends the wait, and more keep-alives than an honest peer has reason
//! to send are an error.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::trace;

use crate::{Channel, Header, Link, Party, WireError};

/// What errors call a keep-alive.
const NAME: &str = "keep-alive";
/// No keep-alives are sent at a shorter interval.
const SHORTEST: Duration = Duration::from_millis(100);
/// A receiver accepts twice as many over the life of a link, and this many more: a party that computed for long finds many at once.
const SPARE: u32 = 16;

/// When this party last gave a sign of life, and how many keep-alives the peer sent.
pub(crate) struct Signs {
    begun: Instant,
    sent: Instant,
    received: u32,
}

impl Default for Signs {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            sent: now,
            received: 0,
        }
    }
}

impl Signs {
    pub(crate) fn sent(&mut self) {
        self.sent = Instant::now();
    }

    /// Counts a keep-alive of the peer's; false when it is one too many.
    fn count(&mut self) -> bool {
        self.received = self.received.saturating_add(1);
        let paid = u128::from(self.received.saturating_sub(SPARE)) * SHORTEST.as_nanos();
        paid <= 2 * self.begun.elapsed().as_nanos()
    }

    /// The next header that is no keep-alive.
    pub(crate) async fn next_header<C: Channel>(
        &mut self,
        channel: &C,
        what: &'static str,
        round: u64,
    ) -> Result<Header, WireError> {
        let begun = Instant::now();
        loop {
            let header = channel.receive_header(what, round).await?;
            if header.kind != Header::KEEP_ALIVE {
                return Ok(header);
            }
            self.admit(channel.peer(), header, what, round)?;
            trace!(peer = %channel.peer(), awaited = what, round, "received a keep-alive");
            let total = channel.deadlines().total;
            if begun.elapsed() >= total {
                return Err(WireError::late(channel.peer(), what, "from", round, total));
            }
        }
    }

    fn admit(&mut self, peer: &Party, header: Header, what: &'static str, round: u64) -> Result<(), WireError> {
        let got = match header {
            Header { len: 0, round: 0, .. } if self.count() => return Ok(()),
            Header { len: 0, round: 0, .. } => format!("too many keep-alives ({})", self.received),
            Header { len, round, .. } => format!("a keep-alive of round {round} with {len} bytes"),
        };
        Err(WireError::Unexpected {
            party: peer.clone(),
            round,
            expected: what.to_owned(),
            got,
        })
    }
}

impl<C: Channel> Link<C> {
    /// Asks the peer, who waits for a message, for more time: its message deadline begins anew.
    pub async fn keep_alive(&mut self) -> Result<(), WireError> {
        let header = Header {
            len: 0,
            kind: Header::KEEP_ALIVE,
            round: 0,
        };
        self.channel.send(NAME, 0, [&header.to_bytes(), &[]]).await?;
        trace!(peer = %self.peer(), "sent a keep-alive");
        self.signs.sent();
        Ok(())
    }

    /// Awaits `work` while this link's peer waits; see [`wait_while`].
    pub async fn wait_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        wait_while([self], work).await
    }

    /// When the peer should next hear of this party: a quarter of its deadline after the last sign of life.
    fn due(&self) -> Instant {
        self.signs.sent + (self.channel.deadlines().peer / 4).max(SHORTEST)
    }
}

/// Awaits `work` while the peers of `links` wait for this party: each gets a keep-alive whenever it has heard nothing for a quarter of its
/// deadline, also when that time passes over several calls. So a server waits for the slowest of its clients while the others wait for the
/// server:
///
/// ```text
/// let output = wait_while(others, link.receive::<Output>(round, &shape)).await?;
/// ```
///
/// A peer that is gone does not disturb `work`; it is noticed when its own link is used next.
pub async fn wait_while<'l, C, T>(links: impl IntoIterator<Item = &'l mut Link<C>>, work: impl Future<Output = T>) -> T
where
    C: Channel + 'l,
{
    let mut links: Vec<_> = links.into_iter().collect();
    let mut work = pin!(work);
    loop {
        remind(&mut links).await;
        let Some(next) = links.iter().map(|link| link.due()).min() else {
            return work.await;
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(next) => (),
        }
    }
}

/// Sends the keep-alives that are due; a link that fails is left out from here on.
async fn remind<C: Channel>(links: &mut Vec<&mut Link<C>>) {
    let mut index = 0;
    while index < links.len() {
        let link = &mut links[index];
        if link.due() <= Instant::now() && link.keep_alive().await.is_err() {
            links.swap_remove(index);
        } else {
            index += 1;
        }
    }
}
