//! A client's connection as the HTTP library sees it: the bytes of one checked request, and no
//! more until its answer is finished.

use super::chunked::Chunked;
use super::frames::Frames;
use super::head::{Framing, Head, HeadBounds, HeadReader};
use crate::data_path::access;
use crate::data_path::connection::Connection;
use crate::data_path::rejection::Reason;
use crate::data_path::worker::Worker;
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};

/// What a client that speaks HTTP/2 says first (RFC 9113, 3.4).
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a buffer begins with: most headers fit.
const FIRST_BUFFER: usize = 1024;
/// A buffer that has grown beyond this is given back between two requests.
const KEPT_BUFFER: usize = 4096;
/// What is read at once where it must be looked at.
const PIECE: usize = 4096;

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// A header that is complete and right.
    Head(Head),
    /// One that goes no further.
    Refused(Reason),
    /// The client is gone.
    Closed,
}

/// A connection that gives out one request at a time.
pub(crate) struct Gate {
    inner: Take<Stream>,
    /// Read, and not yet given out.
    buffer: BytesMut,
    reader: HeadReader,
    phase: Phase,
    /// The request asks for another protocol: bytes pass once the answer agrees.
    upgrade: bool,
    /// Who waits for bytes that do not belong to the request.
    waiting: Option<Waker>,
    connection: Arc<Connection>,
    /// What goes to a client of HTTP/2, and who counts what is refused there.
    frames: Option<(Box<Frames>, Arc<Worker>)>,
    /// Leads from a session to the connection.
    digest: Arc<ProxyDigest>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("phase", &self.phase).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// That many bytes of the header are still to be given out, then the body.
    Header {
        left: usize,
        framing: Framing,
    },
    Length {
        left: u64,
    },
    Chunked(Chunked),
    /// The request is complete, or has not begun.
    Between,
    /// Bytes pass as they are.
    Open,
}

impl Gate {
    /// Before the first request of an HTTP/1 connection.
    pub(crate) fn new(stream: Stream, connection: Arc<Connection>) -> pingora::Result<Self> {
        Self::in_phase(stream, connection, Phase::Between)
    }

    /// Where nothing that comes is checked here: HTTP/2 frames itself.
    pub(crate) fn open(
        stream: Stream,
        connection: Arc<Connection>,
        worker: &Arc<Worker>,
    ) -> pingora::Result<Self> {
        let mut gate = Self::in_phase(stream, connection, Phase::Open)?;
        gate.frames = Some((Box::default(), Arc::clone(worker)));
        Ok(gate)
    }

    fn in_phase(
        stream: Stream,
        connection: Arc<Connection>,
        phase: Phase,
    ) -> pingora::Result<Self> {
        let unused = Box::new(ResponseHeader::build(200, Some(0))?);
        let digest = ProxyDigest::new(unused, Some(Box::new(Arc::clone(&connection))));
        Ok(Gate {
            inner: stream.take(u64::MAX),
            buffer: BytesMut::new(),
            reader: HeadReader::default(),
            phase,
            upgrade: false,
            waiting: None,
            connection,
            frames: None,
            digest: Arc::new(digest),
        })
    }

    /// Whether a request has been given out to its end: only then another may follow.
    pub(crate) fn is_between(&self) -> bool {
        match self.phase {
            Phase::Between | Phase::Length { left: 0 } => true,
            Phase::Chunked(chunked) => chunked.is_done(),
            _ => false,
        }
    }

    /// Waits for all of HTTP/2's preface, which is kept; false if there is something else.
    pub(crate) async fn has_preface(&mut self) -> bool {
        loop {
            let length = self.buffer.len().min(H2_PREFACE.len());
            if self.buffer[..length] != H2_PREFACE[..length] {
                return false;
            }
            if length == H2_PREFACE.len() {
                return true;
            }
            if !self.read_more().await {
                return false;
            }
        }
    }

    /// Waits for the first byte of a request; false if the client is gone.
    pub(crate) async fn begins(&mut self) -> bool {
        while self.buffer.is_empty() {
            if !self.read_more().await {
                return false;
            }
        }
        true
    }

    /// Reads a header to its end. May be dropped and called again.
    pub(crate) async fn head(&mut self, bounds: &HeadBounds) -> Intake {
        loop {
            if let Some(intake) = self.parse(bounds) {
                return intake;
            }
            if !self.read_more().await {
                return Intake::Closed;
            }
        }
    }

    /// The header, if it is complete or wrong already.
    pub(crate) fn parse(&mut self, bounds: &HeadBounds) -> Option<Intake> {
        let head = match self.reader.read(&self.buffer, bounds) {
            Ok(head) => head?,
            Err(reason) => return Some(Intake::Refused(reason)),
        };
        self.reader = HeadReader::default();
        self.phase = Phase::Header { left: head.length, framing: head.framing };
        self.upgrade = head.upgrade;
        Some(Intake::Head(head))
    }

    /// What came of a header that is refused.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    async fn read_more(&mut self) -> bool {
        if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(self.buffer.len().max(FIRST_BUFFER));
        }
        self.inner.set_limit(u64::MAX);
        matches!(self.inner.read_buf(&mut self.buffer).await, Ok(read) if read > 0)
    }

    /// Ready for the next request.
    pub(crate) fn next(&mut self) {
        self.phase = Phase::Between;
        self.upgrade = false;
        self.waiting = None;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = BytesMut::new();
        }
    }

    /// Counts what the HTTP/2 library refuses with what it has just written.
    fn watch(&mut self, written: &[u8]) {
        let Some((frames, worker)) = &mut self.frames else { return };
        for _ in 0..frames.written(written) {
            access::refused(worker, Reason::Http2, self.connection.client.address, b"");
        }
    }

    /// Reads what comes and throws it away: an answer is lost if its connection is closed while
    /// bytes wait to be read.
    pub(crate) async fn discard(&mut self, most: usize) {
        let mut piece = [0; PIECE];
        let mut read = 0;
        self.inner.set_limit(u64::MAX);
        while read < most {
            match self.inner.read(&mut piece).await {
                Ok(count) if count > 0 => read += count,
                _ => return,
            }
        }
    }

    /// Gives out what is buffered, `most` at most.
    fn give(&mut self, buf: &mut ReadBuf<'_>, most: u64) -> u64 {
        let count =
            self.buffer.len().min(buf.remaining()).min(usize::try_from(most).unwrap_or(usize::MAX));
        buf.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        if self.buffer.is_empty() {
            self.buffer.clear();
        }
        count as u64
    }

    /// Reads into `buf` past the buffer, `most` at most. How many bytes; zero at the end.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<u64>> {
        let before = buf.filled().len();
        self.inner.set_limit(most);
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        Poll::Ready(Ok((buf.filled().len() - before) as u64))
    }

    /// Reads into the buffer. How many bytes; zero at the end.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE];
        let mut read = ReadBuf::new(&mut piece);
        self.inner.set_limit(u64::MAX);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    fn read_chunked(
        &mut self,
        mut chunked: Chunked,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            if chunked.data_left() > 0 {
                let before = buf.filled().len();
                ready!(self.pass(cx, buf, chunked.data_left()))?;
                // Data is never wrong.
                let _ = chunked.read(&buf.filled()[before..]);
                self.phase = Phase::Chunked(chunked);
                return Poll::Ready(Ok(()));
            }
            if ready!(self.fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let most = self.buffer.len().min(buf.remaining());
        match chunked.read(&self.buffer[..most]) {
            Ok(count) => {
                self.give(buf, count as u64);
                self.phase = Phase::Chunked(chunked);
                Poll::Ready(Ok(()))
            }
            Err(_) => {
                self.connection.note(Reason::Chunk);
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
        }
    }

    /// The request is complete: whatever comes belongs to the next one. The library reads on only
    /// to learn whether the client leaves.
    fn read_between(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = self.upgrade.then(|| cx.waker().clone());
        if self.buffer.is_empty() && ready!(self.fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match gate.phase {
                Phase::Header { left, framing } => {
                    let left = left - gate.give(buf, left as u64) as usize;
                    gate.phase = match (left, framing) {
                        (0, Framing::Length(left)) => Phase::Length { left },
                        (0, Framing::Chunked) => Phase::Chunked(Chunked::new()),
                        _ => Phase::Header { left, framing },
                    };
                    return Poll::Ready(Ok(()));
                }
                Phase::Length { left: 0 } => gate.phase = Phase::Between,
                Phase::Length { left } => {
                    let count = if gate.buffer.is_empty() {
                        ready!(gate.pass(cx, buf, left))?
                    } else {
                        gate.give(buf, left)
                    };
                    gate.phase = Phase::Length { left: left - count };
                    return Poll::Ready(Ok(()));
                }
                Phase::Chunked(chunked) if chunked.is_done() => gate.phase = Phase::Between,
                Phase::Chunked(chunked) => return gate.read_chunked(chunked, cx, buf),
                Phase::Between => return gate.read_between(cx),
                Phase::Open => {
                    if gate.buffer.is_empty() {
                        ready!(gate.pass(cx, buf, u64::MAX))?;
                    } else {
                        gate.give(buf, u64::MAX);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        if gate.upgrade && bytes.starts_with(b"HTTP/1.1 101 ") {
            gate.upgrade = false;
            gate.phase = Phase::Open;
            if let Some(waiting) = gate.waiting.take() {
                waiting.wake();
            }
        }
        let written = ready!(Pin::new(gate.inner.get_mut()).poll_write(cx, bytes))?;
        gate.watch(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().inner.get_mut()).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gate = self.get_mut();
        let written = ready!(Pin::new(gate.inner.get_mut()).poll_write_vectored(cx, pieces))?;
        let mut left = written;
        for piece in pieces {
            let here = left.min(piece.len());
            gate.watch(&piece[..here]);
            left -= here;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.get_ref().is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Gate {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut **self.inner.get_mut()).await;
    }
}

#[async_trait]
impl Peek for Gate {}

impl UniqueID for Gate {
    fn id(&self) -> UniqueIDType {
        self.inner.get_ref().id()
    }
}

impl Ssl for Gate {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ref().get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.get_ref().selected_alpn_proto()
    }
}

impl GetTimingDigest for Gate {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_ref().get_timing_digest()
    }
}

impl GetProxyDigest for Gate {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl GetSocketDigest for Gate {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_ref().get_socket_digest()
    }
}
