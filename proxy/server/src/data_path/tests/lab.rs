//! A scripted upstream and a plain client: just enough HTTP/1.1 to see every byte.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What an upstream does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// Answers with this status and its own name as body.
    Status(u16),
    /// Answers with these bytes as they are.
    Raw(&'static str),
    /// Closes the connection without a word.
    Close,
    /// Answers 200 once per connection and closes it without a word at the next request.
    Once,
    /// Never answers.
    Hang,
    /// Answers 200 once told.
    When(Arc<Notify>),
    /// Answers 200 with so many bytes.
    Large(usize),
    /// Changes to another protocol, in which it sends back what it gets.
    Echo,
}

/// An upstream on a free port.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    script: Arc<Mutex<Reply>>,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub(super) async fn start(name: &'static str, reply: Reply) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(reply));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (replies, requests) = (Arc::clone(&script), Arc::clone(&seen));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (replies, requests) = (Arc::clone(&replies), Arc::clone(&requests));
                tokio::spawn(serve(stream, name, replies, requests));
            }
        });
        Upstream { address, script, seen, connections }
    }

    /// Connections that were opened to it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn reply(&self, reply: Reply) {
        *self.script.lock().unwrap() = reply;
    }

    /// Headers of the requests that arrived, as they were sent.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until `count` requests have arrived.
    pub(super) async fn until_seen(&self, count: usize) {
        let arrived = async {
            while self.seen.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(super::PATIENCE, arrived).await.expect("requests arrive");
    }
}

async fn serve(
    mut stream: TcpStream,
    name: &'static str,
    script: Arc<Mutex<Reply>>,
    seen: Arc<Mutex<Vec<String>>>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    for turn in 0.. {
        let Some((header, mut body)) = read_header(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        let length = field(&header, "content-length").map_or(0, |length| length.parse().unwrap());
        let chunked = field(&header, "transfer-encoding").is_some();
        seen.lock().unwrap().push(header);
        // Of a chunked body: its last chunk, without trailers.
        let end = |body: &[u8]| match chunked {
            true => body.windows(5).position(|end| end == b"0\r\n\r\n").map(|at| at + 5),
            false => (body.len() >= length).then_some(length),
        };
        while end(&body).is_none() {
            if stream.read_buf(&mut body).await? == 0 {
                return Ok(());
            }
        }
        buffer = body.split_off(end(&body).unwrap());
        let reply = script.lock().unwrap().clone();
        match reply {
            Reply::Status(status) => stream.write_all(answer(status, name).as_bytes()).await?,
            Reply::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await?;
                return Ok(());
            }
            Reply::Once if turn == 0 => stream.write_all(answer(200, name).as_bytes()).await?,
            Reply::Close | Reply::Once => return Ok(()),
            Reply::Hang => std::future::pending().await,
            Reply::Large(size) => {
                let header = format!("HTTP/1.1 200 X\r\ncontent-length: {size}\r\n\r\n");
                stream.write_all(header.as_bytes()).await?;
                let piece = [b'x'; 16 * 1024];
                for _ in 0..size / piece.len() {
                    stream.write_all(&piece).await?;
                }
            }
            Reply::Echo => {
                let header = "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(header.as_bytes()).await?;
                stream.write_all(&buffer).await?;
                let (mut reading, mut writing) = stream.split();
                tokio::io::copy(&mut reading, &mut writing).await?;
                return Ok(());
            }
            Reply::When(told) => {
                told.notified().await;
                stream.write_all(answer(200, name).as_bytes()).await?;
            }
        }
    }
    Ok(())
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A header with its blank line, and what came after it.
async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            let header = String::from_utf8(std::mem::take(buffer)).unwrap();
            return Ok(Some((header, rest)));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The value of a header field.
pub(super) fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) header: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        field(&self.header, name)
    }

    /// The variant that answered, as the test configuration lets it say.
    pub(super) fn variant(&self) -> &str {
        self.field("x-serinus-variant").unwrap_or("none")
    }
}

/// Sends `request` on a new connection and reads one answer.
pub(super) async fn ask(address: SocketAddr, request: &str) -> io::Result<Answer> {
    exchange(&mut TcpStream::connect(address).await?, request).await
}

/// Sends `request` and reads one answer, which must carry its length or end with the connection.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> io::Result<Answer> {
    stream.write_all(request.as_bytes()).await?;
    read_answer(stream).await
}

/// Reads one answer.
pub(super) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Answer> {
    let Some((header, mut body)) = read_header(stream, &mut Vec::new()).await? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let status = header.split(' ').nth(1).unwrap().parse().unwrap();
    let length = field(&header, "content-length").map(|length| length.parse::<usize>().unwrap());
    while length.is_none_or(|length| body.len() < length) {
        if stream.read_buf(&mut body).await? == 0 {
            if length.is_some() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            break;
        }
    }
    Ok(Answer { status, header, body: String::from_utf8(body).unwrap() })
}
