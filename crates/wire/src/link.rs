//! Typed messages over a channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracing::{debug, trace};

use crate::{
    AbortReason, Channel, DecodeError, Direction, Entry, FIRST_PIECE, Header, MAX_PAYLOAD, Party, Reader, Traffic, Transcript,
    WireError, keep_alive::Signs, recording::Recorder,
};

/// A message of a protocol.
///
/// The receiver always knows from its own state what a message must look like (shapes, counts); that knowledge is `Expect`, and both
/// the length cap and the decoder take it, so that a decoded message is already valid.
pub trait Message: Sized {
    /// Unique within the protocol; not [`Header::ABORT`] or [`Header::KEEP_ALIVE`].
    const KIND: u8;
    /// The name used in errors, counters and transcripts.
    const NAME: &'static str;
    /// What the receiver knows beforehand.
    type Expect: ?Sized;

    /// The longest payload a valid message can have, in bytes.
    fn max_len(expect: &Self::Expect) -> usize;
    /// Appends the payload.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads and validates the payload.
    fn decode(reader: &mut Reader<'_>, expect: &Self::Expect) -> Result<Self, DecodeError>;

    /// [`Self::decode`] of a whole payload.
    fn decode_whole(payload: &[u8], expect: &Self::Expect) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let message = Self::decode(&mut reader, expect)?;
        reader.finish().map(|()| message)
    }

    /// What [`Self::encode`] appends, where the message has it as it is: a long payload is then not copied.
    fn payload(&self) -> Option<&[u8]> {
        None
    }

    /// [`Self::decode_whole`]. A message that is bytes as they came may keep the payload's memory, where a copy would be all there is to do.
    fn from_payload(payload: &mut Vec<u8>, expect: &Self::Expect) -> Result<Self, DecodeError> {
        Self::decode_whole(payload, expect)
    }
}

/// How often one kind of message crossed a link, and with how many payload and header bytes (TLS not counted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageTraffic {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A channel with typed messages, counters by message and, on request, a transcript.
pub struct Link<C> {
    pub(crate) channel: C,
    pub(crate) signs: Signs,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    sent: BTreeMap<&'static str, MessageTraffic>,
    transcript: Option<Transcript>,
    recorder: Option<Recorder>,
}

impl<C: Channel> Link<C> {
    /// Wraps a channel.
    pub fn new(channel: C) -> Self {
        Self {
            channel,
            signs: Signs::default(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            sent: BTreeMap::new(),
            transcript: None,
            recorder: None,
        }
    }

    /// Starts recording a transcript.
    pub fn record(mut self) -> Self {
        self.transcript = Some(Transcript::new());
        self
    }

    /// Also writes every message that arrives to `recorder`.
    pub fn recorded(mut self, recorder: Option<Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// The channel, for what is no message.
    pub fn channel_mut(&mut self) -> &mut C {
        &mut self.channel
    }

    /// The channel itself, to close it.
    pub fn into_channel(self) -> C {
        self.channel
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &Party {
        self.channel.peer()
    }

    /// Bytes at the channel so far.
    pub fn traffic(&self) -> Traffic {
        self.channel.traffic()
    }

    /// What this party sent so far, by message name.
    pub fn sent_by_message(&self) -> &BTreeMap<&'static str, MessageTraffic> {
        &self.sent
    }

    /// The transcript, if one is recorded.
    pub fn transcript(&self) -> Option<&Transcript> {
        self.transcript.as_ref()
    }

    /// Tells the peer that this party stops, and why; best effort.
    pub async fn abort(&mut self, reason: AbortReason) {
        debug!(peer = %self.peer(), ?reason, "telling the peer that this party stops");
        self.channel.abort(reason).await;
    }

    /// Sends a message.
    pub async fn send<M: Message>(&mut self, round: u64, message: &M) -> Result<(), WireError> {
        let rest = self.encode(round, message)?;
        self.channel.send(M::NAME, round, [&self.outgoing, rest]).await?;
        self.note_sent(M::NAME, round, rest);
        Ok(())
    }

    /// Receives the message that the protocol's state demands; anything else is an error that says what came instead. Keep-alives
    /// before it are skipped, within [`crate::Deadlines::total`].
    pub async fn receive<M: Message>(&mut self, round: u64, expect: &M::Expect) -> Result<M, WireError> {
        let Self {
            channel,
            signs,
            incoming,
            ..
        } = self;
        arrived::<M, C>(channel, signs, round, expect, incoming).await?;
        self.decode(round, expect)
    }

    /// Sends a message and receives the peer's, both at the same time: neither waits for the other, however long they are.
    pub async fn exchange<M: Message>(&mut self, round: u64, message: &M, expect: &M::Expect) -> Result<M, WireError> {
        let rest = self.encode(round, message)?;
        let Self {
            channel,
            signs,
            outgoing,
            incoming,
            ..
        } = self;
        let (channel, signs) = (&*channel, &mut *signs);
        // Why the peer stopped says more than that it takes nothing: only what arrives, or does not, ends both.
        let send = async { Ok(channel.send(M::NAME, round, [outgoing, rest]).await) };
        let (sent, ()) = tokio::try_join!(send, arrived::<M, C>(channel, signs, round, expect, incoming))?;
        sent?;
        self.note_sent(M::NAME, round, rest);
        self.decode(round, expect)
    }

    /// Writes the frame of a message that is about to be sent: all of it, or its first piece, and gives the other one.
    fn encode<'m, M: Message>(&mut self, round: u64, message: &'m M) -> Result<&'m [u8], WireError> {
        let frame = &mut self.outgoing;
        frame.clear();
        frame.extend_from_slice(&[0; Header::LEN]);
        let rest = match message.payload() {
            Some(payload) => {
                let (first, rest) = payload.split_at(payload.len().min(FIRST_PIECE - Header::LEN));
                frame.extend_from_slice(first);
                rest
            }
            None => {
                message.encode(frame);
                &[]
            }
        };
        let len = frame.len() - Header::LEN + rest.len();
        if len > MAX_PAYLOAD {
            return Err(WireError::Local {
                what: format!("sending {} to {}", M::NAME, self.peer()),
                cause: format!("{len} bytes exceed the cap of {MAX_PAYLOAD}; use smaller batches"),
            });
        }
        let header = Header {
            len: len as u32,
            kind: M::KIND,
            round,
        };
        frame[..Header::LEN].copy_from_slice(&header.to_bytes());
        let counter = self.sent.entry(M::NAME).or_default();
        counter.messages += 1;
        counter.bytes += (Header::LEN + len) as u64;
        if let Some(transcript) = &mut self.transcript {
            let whole = [&frame[Header::LEN..], rest].concat();
            transcript.push(entry(Direction::Sent, M::NAME, round, &whole));
        }
        Ok(rest)
    }

    fn note_sent(&mut self, name: &'static str, round: u64, rest: &[u8]) {
        let bytes = self.outgoing.len() + rest.len();
        trace!(peer = %self.peer(), name, round, bytes, "sent");
        self.signs.sent();
    }

    /// Reads the message that arrived.
    fn decode<M: Message>(&mut self, round: u64, expect: &M::Expect) -> Result<M, WireError> {
        let payload = &self.incoming;
        let bytes = Header::LEN + payload.len();
        trace!(peer = %self.peer(), name = M::NAME, round, bytes, "received");
        if let Some(transcript) = &mut self.transcript {
            transcript.push(entry(Direction::Received, M::NAME, round, payload));
        }
        if let Some(recorder) = &self.recorder {
            let written = recorder.received(self.channel.peer(), M::NAME, M::KIND, round, payload);
            written.map_err(|e| WireError::Local {
                what: "recording what was received".into(),
                cause: e.to_string(),
            })?;
        }
        M::from_payload(&mut self.incoming, expect).map_err(|cause| WireError::Malformed {
            party: self.channel.peer().clone(),
            round,
            what: M::NAME,
            cause,
        })
    }
}

/// Waits for a message and reads its payload into `incoming`; the peer's word that it stops is an error.
async fn arrived<M: Message, C: Channel>(
    channel: &C,
    signs: &mut Signs,
    round: u64,
    expect: &M::Expect,
    incoming: &mut Vec<u8>,
) -> Result<(), WireError> {
    let header = signs.next_header(channel, M::NAME, round).await?;
    check::<M>(channel.peer(), round, header, M::max_len(expect).min(MAX_PAYLOAD))?;
    channel.receive_payload(M::NAME, header, incoming).await?;
    if header.kind != Header::ABORT {
        return Ok(());
    }
    let (party, reason) = (
        channel.peer().clone(),
        AbortReason::from_byte(incoming.first().copied().unwrap_or(0)),
    );
    debug!(peer = %party, %reason, "the peer stopped");
    Err(WireError::Aborted { party, reason })
}

/// Kind, round and length, before anything is allocated.
fn check<M: Message>(peer: &Party, round: u64, header: Header, cap: usize) -> Result<(), WireError> {
    let unexpected = |expected: String, got: String| {
        Err(WireError::Unexpected {
            party: peer.clone(),
            round,
            expected,
            got,
        })
    };
    if header.kind == Header::ABORT && header.len <= 1 {
        return Ok(());
    }
    if header.kind != M::KIND {
        return unexpected(format!("{} (kind {})", M::NAME, M::KIND), format!("kind {}", header.kind));
    }
    if header.round != round {
        return unexpected(format!("{} of round {round}", M::NAME), format!("round {}", header.round));
    }
    if header.len as usize > cap {
        return unexpected(format!("{} of at most {cap} bytes", M::NAME), format!("{} bytes", header.len));
    }
    Ok(())
}

fn entry(direction: Direction, what: &'static str, round: u64, payload: &[u8]) -> Entry {
    Entry {
        direction,
        what,
        round,
        len: payload.len(),
        digest: *blake3::hash(payload).as_bytes(),
    }
}
