//! A TCP stream whose outgoing bytes travel over an emulated line.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::{self, Shutdown},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::emulation::{Emulation, Line};

/// Bytes that wait before the line, as in a socket's send buffer; a sender that is further ahead waits.
const BUFFER: usize = 4 << 20;
/// How long to leave a socket alone that takes no more bytes, and when to give it up.
const REST: Duration = Duration::from_micros(500);
const STALLED: Duration = Duration::from_secs(300);

/// Reads pass through; writes are delivered by a thread of their own when they are due, so that a party that computes does not hold its
/// own bytes back, as a network card would not.
pub(super) struct Shaped {
    stream: TcpStream,
    shared: Arc<Shared>,
    emulation: Emulation,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    line: Line,
    /// Bytes and when they arrive, in order.
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    end: End,
    failed: Option<io::ErrorKind>,
    /// The writer, when it waits for room or for the end.
    writer: Option<Waker>,
}

/// How far the stream is from its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// Nothing more comes: deliver, then shut down.
    Asked,
    /// The owner is gone: deliver, then close.
    Dropped,
    Done,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shaped {
    pub(super) fn new(stream: TcpStream, emulation: Emulation) -> io::Result<Self> {
        let stream = stream.into_std()?;
        let out = stream.try_clone()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                line: Line::new(emulation, Instant::now()),
                queue: VecDeque::new(),
                queued: 0,
                end: End::Open,
                failed: None,
                writer: None,
            }),
            changed: Condvar::new(),
        });
        let carrier = shared.clone();
        thread::Builder::new()
            .name("emulated link".into())
            .spawn(move || deliver(&carrier, out))?;
        Ok(Self {
            stream: TcpStream::from_std(stream)?,
            shared,
            emulation,
        })
    }

    /// How long what is queued, and a word after it, is under way.
    pub(super) fn lag(&self) -> Duration {
        let last = self.shared.lock().queue.back().map(|(due, _)| *due);
        let queued = last.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        queued + self.emulation.rtt()
    }
}

impl Drop for Shaped {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.end != End::Done {
            state.end = End::Dropped;
        }
        self.shared.changed.notify_one();
    }
}

/// The line's far end: writes what is due until nothing more can come.
fn deliver(shared: &Shared, mut out: net::TcpStream) {
    let mut state = shared.lock();
    loop {
        if let Some(&(due, _)) = state.queue.front() {
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                drop(state);
                thread::sleep(left);
                state = shared.lock();
                continue;
            }
            let Some((_, bytes)) = state.queue.pop_front() else { continue };
            drop(state);
            let result = write_all(&mut out, &bytes);
            state = shared.lock();
            state.queued -= bytes.len();
            if let Err(error) = result {
                state.failed = Some(error.kind());
                state.queue.clear();
                state.queued = 0;
            }
        } else if state.end != End::Open {
            if state.end == End::Asked {
                let _ = out.shutdown(Shutdown::Write);
            }
            state.end = End::Done;
        } else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
        if state.end == End::Done {
            return;
        }
    }
}

/// The socket does not block, because its other half belongs to the runtime.
fn write_all(out: &mut net::TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let mut moved = Instant::now();
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                moved = Instant::now();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && moved.elapsed() < STALLED => thread::sleep(REST),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl AsyncRead for Shaped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Shaped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        if let Some(kind) = state.failed {
            return Poll::Ready(Err(kind.into()));
        }
        if state.end != End::Open {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.queued >= BUFFER + self.emulation.in_flight() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let due = state.line.carry(buf.len(), Instant::now());
        state.queue.push_back((due, buf.to_vec()));
        state.queued += buf.len();
        self.shared.changed.notify_one();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.shared.lock().failed {
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.lock();
        if state.end == End::Done {
            return Poll::Ready(Ok(()));
        }
        state.end = End::Asked;
        state.writer = Some(cx.waker().clone());
        self.shared.changed.notify_one();
        Poll::Pending
    }
}
