//! A TLS stream as a channel, with its bytes counted below TLS and a deadline on every wait.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsStream,
    rustls::{self, AlertDescription},
};

use super::{emulation::Emulation, shaped::Shaped};
use crate::{AbortReason, Channel, Deadlines, FIRST_PIECE, Header, Party, Traffic, WireError};

/// Long messages go in steps of this size. Memory for a payload is taken step by step, so that a claimed length alone costs nothing; and
/// each step has the message deadline for itself, so that a slow link is no dead one.
const STEP: usize = FIRST_PIECE;
/// Room that is made for a payload before it comes: untouched memory, which a claim may have.
const AT_ONCE: usize = 1 << 20;
/// The longest TLS record's content, and what a record adds to it: header, content type and tag.
const RECORD: u64 = 1 << 14;
const RECORD_EXTRA: u64 = 5 + 1 + 16;
/// What is read from the socket at a time: TLS itself asks for 4 KiB each time, a system call for a quarter of a record.
const READ: usize = 1 << 16;
/// A wait that is likely to be this short is spent polling: waking a sleeping core costs as much as the peer's whole step on a small
/// batch. (Measured on a virtual machine: 0.31 ms a step of `m1` at batch 4 without polling, 0.18 ms with it.)
const POLL: Duration = Duration::from_micros(300);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a frame of so many bytes, header included, is at the socket: TLS included.
pub fn at_socket(frame: u64) -> u64 {
    let records = |step: u64| step.div_ceil(RECORD);
    let (steps, rest) = (frame / STEP as u64, frame % STEP as u64);
    frame + RECORD_EXTRA * (steps * records(STEP as u64) + records(rest))
}

/// A TCP stream that counts its bytes.
pub(super) struct Counted {
    stream: Stream,
    counters: Arc<Counters>,
}

enum Stream {
    Direct(BufReader<TcpStream>),
    Emulated(BufReader<Shaped>),
}

/// The same call on whichever stream it is.
macro_rules! on_stream {
    ($counted:ident, $stream:ident => $call:expr) => {
        match &mut $counted.stream {
            Stream::Direct($stream) => $call,
            Stream::Emulated($stream) => $call,
        }
    };
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counted {
    pub(super) fn new(stream: TcpStream, emulation: Option<Emulation>) -> io::Result<Self> {
        let stream = match emulation {
            None => Stream::Direct(BufReader::with_capacity(READ, stream)),
            Some(emulation) => Stream::Emulated(BufReader::with_capacity(READ, Shaped::new(stream, emulation)?)),
        };
        Ok(Self {
            stream,
            counters: Arc::default(),
        })
    }

    /// How long what was sent is still under way on an emulated link.
    fn lag(&self) -> Duration {
        match &self.stream {
            Stream::Direct(_) => Duration::ZERO,
            Stream::Emulated(shaped) => shaped.get_ref().lag(),
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(on_stream!(self, stream => Pin::new(stream).poll_read(cx, buf)));
        self.counters
            .received
            .fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(result)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// Several TLS records in one system call.
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = ready!(on_stream!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs)));
        self.counters
            .sent
            .fetch_add(*result.as_ref().unwrap_or(&0) as u64, Ordering::Relaxed);
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Direct(stream) => stream.is_write_vectored(),
            Stream::Emulated(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A mutually authenticated TLS session with one peer.
pub struct TcpChannel {
    peer: Party,
    /// Locked for a poll at a time: one task reads and writes by turns.
    stream: Mutex<TlsStream<Counted>>,
    counters: Arc<Counters>,
    deadlines: Deadlines,
    /// Whether the last wait was short; a peer that is far away or computes for long is waited for asleep. Never on an emulated link.
    poll: Option<AtomicBool>,
}

/// The stream, for reading beside writing.
struct Half<'a>(&'a Mutex<TlsStream<Counted>>);

impl Half<'_> {
    fn lock(&self) -> MutexGuard<'_, TlsStream<Counted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends so many bytes.
    async fn append(&self, into: &mut Vec<u8>, mut count: usize) -> io::Result<()> {
        while count > 0 {
            count -= poll_fn(|cx| self.poll_append(cx, into, count)).await?;
        }
        Ok(())
    }

    /// Appends what has arrived, at most so many bytes.
    fn poll_append(&self, cx: &mut Context<'_>, into: &mut Vec<u8>, most: usize) -> Poll<io::Result<usize>> {
        let mut stream = self.lock();
        let arrived = ready!(Pin::new(&mut *stream).poll_fill_buf(cx))?;
        let count = arrived.len().min(most);
        into.extend_from_slice(&arrived[..count]);
        Pin::new(&mut *stream).consume(count);
        match count {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            count => Poll::Ready(Ok(count)),
        }
    }
}

impl AsyncRead for Half<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Half<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}

impl TcpChannel {
    pub(super) fn new(peer: Party, stream: TlsStream<Counted>, deadlines: Deadlines) -> Self {
        let counted = stream.get_ref().0;
        let poll = matches!(counted.stream, Stream::Direct(_)).then(|| AtomicBool::new(true));
        let counters = counted.counters.clone();
        Self {
            peer,
            stream: Mutex::new(stream),
            counters,
            deadlines,
            poll,
        }
    }

    /// Ends the session cleanly: the peer sees an end that no attacker on the path can forge.
    pub async fn close(self) {
        let _ = timeout(self.farewell(), self.half().shutdown()).await;
    }

    /// Waits until the peer ends the session, no longer than for a message. False: the connection broke, or the peer takes this party for lost, and
    /// may come back. One that says something else instead, or nothing, is there and has no need to.
    pub async fn ended_by_peer(&mut self) -> bool {
        self.ended_by_peer_within(self.deadlines.message).await
    }

    /// The same, waiting no longer than `patience`.
    pub async fn ended_by_peer_within(&mut self, patience: Duration) -> bool {
        let mut frame = [0; Header::LEN + 1];
        match timeout(patience, self.half().read(&mut frame)).await {
            Ok(Ok(len)) => {
                let mut lost = [AbortReason::PeerLost, AbortReason::Deadline, AbortReason::Interrupted].into_iter();
                !lost.any(|reason| Header::abort_frame(reason)[..] == frame[..len])
            }
            Ok(Err(_)) => false,
            Err(_) => true,
        }
    }

    fn half(&self) -> Half<'_> {
        Half(&self.stream)
    }

    fn farewell(&self) -> Duration {
        FAREWELL + self.half().lock().get_ref().0.lag()
    }

    /// The error of a wait that began at `begun`, or had progress since.
    fn late(&self, what: &'static str, verb: &'static str, round: u64, begun: Instant) -> WireError {
        let Deadlines { message, total, .. } = self.deadlines;
        let waited = if begun.elapsed() < total { message } else { total };
        WireError::late(&self.peer, what, verb, round, waited)
    }

    /// How long the next step of what began at `begun` may take.
    fn patience(&self, begun: Instant) -> Duration {
        let Deadlines { message, total, .. } = self.deadlines;
        message.min(total.saturating_sub(begun.elapsed()))
    }

    fn closed(&self, what: &'static str, round: u64, cause: &io::Error) -> WireError {
        // The dialling side of TLS 1.3 learns only after its own handshake that the peer turned it away.
        if let Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) = cause.get_ref().and_then(|e| e.downcast_ref())
        {
            return WireError::CertificateRefused {
                party: self.peer.clone(),
            };
        }
        let cause = match cause.kind() {
            io::ErrorKind::UnexpectedEof => "the stream ended".to_owned(),
            _ => cause.to_string(),
        };
        WireError::Closed {
            party: self.peer.clone(),
            what,
            round,
            cause,
        }
    }

    pub(super) fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }
}

/// Waits for `work`, until `until` without letting the core sleep.
async fn polled<T>(work: impl Future<Output = T>, until: Option<Instant>) -> T {
    tokio::pin!(work);
    while until.is_some_and(|until| Instant::now() < until) {
        tokio::select! {
            biased;
            done = &mut work => return done,
            // Looks for events without blocking.
            () = tokio::task::yield_now() => std::thread::yield_now(),
        }
    }
    work.await
}

impl Channel for TcpChannel {
    fn peer(&self) -> &Party {
        &self.peer
    }

    async fn send(&self, what: &'static str, round: u64, frame: [&[u8]; 2]) -> Result<(), WireError> {
        let begun = Instant::now();
        let mut stream = self.half();
        for step in frame.into_iter().flat_map(|piece| piece.chunks(STEP)) {
            let patience = self.patience(begun);
            let write = async {
                stream.write_all(step).await?;
                stream.flush().await
            };
            match timeout(patience, write).await {
                Ok(result) => result.map_err(|e| self.closed(what, round, &e))?,
                Err(_) => return Err(self.late(what, "to reach", round, begun)),
            }
        }
        Ok(())
    }

    async fn receive_header(&self, what: &'static str, round: u64) -> Result<Header, WireError> {
        let mut bytes = [0; Header::LEN];
        let begun = Instant::now();
        let soon = self.poll.as_ref().is_some_and(|poll| poll.load(Ordering::Relaxed));
        let mut stream = self.half();
        let read = polled(stream.read_exact(&mut bytes), soon.then_some(begun + POLL));
        let result = timeout(self.deadlines.message, read).await;
        if let Some(poll) = &self.poll {
            poll.store(begun.elapsed() < POLL, Ordering::Relaxed);
        }
        match result {
            Ok(Ok(_)) => Header::from_bytes(bytes).map_err(|cause| WireError::bad_header(&self.peer, what, round, cause)),
            Ok(Err(e)) => Err(self.closed(what, round, &e)),
            Err(_) => Err(self.late(what, "from", round, begun)),
        }
    }

    async fn receive_payload(&self, what: &'static str, header: Header, into: &mut Vec<u8>) -> Result<(), WireError> {
        into.clear();
        let begun = Instant::now();
        let stream = self.half();
        let len = header.len as usize;
        into.reserve(len.min(AT_ONCE));
        while into.len() < len {
            let step = STEP.min(len - into.len());
            let patience = self.patience(begun);
            match timeout(patience, stream.append(into, step)).await {
                Ok(Ok(())) => (),
                Ok(Err(e)) => return Err(self.closed(what, header.round, &e)),
                Err(_) => return Err(self.late(what, "from", header.round, begun)),
            }
        }
        Ok(())
    }

    fn exporter(&mut self, label: &[u8], context: &[u8]) -> Result<[u8; 32], WireError> {
        let exported = match &*self.half().lock() {
            TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], label, Some(context)),
            TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], label, Some(context)),
        };
        exported.map_err(|cause| WireError::Local {
            what: "binding to the TLS session".into(),
            cause: cause.to_string(),
        })
    }

    fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.counters.sent.load(Ordering::Relaxed),
            received: self.counters.received.load(Ordering::Relaxed),
        }
    }

    async fn abort(&mut self, reason: AbortReason) {
        let frame = Header::abort_frame(reason);
        let patience = self.farewell();
        let farewell = async {
            let mut stream = self.half();
            stream.write_all(&frame).await?;
            stream.shutdown().await
        };
        let _ = timeout(patience, farewell).await;
    }
}
