//! Users: open-loop, over kept HTTP/1.1 connections, every answer checked to its last byte.
//!
//! A thread is one connection at a time. Requests are due at fixed times whatever became of the ones
//! before, and latency counts from when a request was due. What is not the answer that was asked for is a
//! [`Mishap`], kept whole: which of them the proxy must answer for is told in `account`.

use super::endpoint::LARGE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A request that has no answer after so long is lost.
const PATIENCE: Duration = Duration::from_secs(15);
/// Requests over one connection; then another is made.
const PER_CONNECTION: u64 = 400;
/// Body of an order, in bytes.
const ORDER: usize = 700;
/// Eight steps to every doubling, up to an hour.
const BUCKETS: usize = 256;

/// What a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `GET /item/N`
    Item,
    /// `GET /large/N`, chunked
    Large,
    /// `POST /order/N`: may be carried out once only
    Order,
}

impl Kind {
    /// One in ten is an order, one in a hundred is large.
    const fn of(number: u64) -> Kind {
        match number % 100 {
            0..10 => Kind::Order,
            50 => Kind::Large,
            _ => Kind::Item,
        }
    }
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// No connection to the proxy.
    NoConnection(String),
    /// The connection ended, or nothing came, before the answer.
    NoAnswer(String),
    /// The connection ended, or nothing more came, within the answer.
    CutAnswer(String),
    /// The proxy answered with a failure of its own.
    Proxy(u16),
    /// The endpoint itself answered 500, in its own words.
    Endpoint(u16),
    /// An answer, but not the one to this request.
    Wrong(String),
}

/// A request that did not get the answer that it asked for.
#[derive(Debug, Clone)]
pub struct Mishap {
    /// Of the request.
    pub number: u64,
    /// Of the request.
    pub kind: Kind,
    /// When its first byte was sent.
    pub sent: Instant,
    /// When it was known to have failed.
    pub ended: Instant,
    /// What happened.
    pub what: What,
    /// Who answered, where somebody did.
    pub endpoint: Option<String>,
    /// Requests before it over the same connection.
    pub before: u64,
}

/// Counts of a load.
#[derive(Debug)]
pub struct Tally {
    begun: AtomicU64,
    good: AtomicU64,
    good_orders: AtomicU64,
    connections: AtomicU64,
    latency: [AtomicU64; BUCKETS],
    mishaps: Mutex<Vec<Mishap>>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            begun: AtomicU64::new(0),
            good: AtomicU64::new(0),
            good_orders: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            latency: [const { AtomicU64::new(0) }; BUCKETS],
            mishaps: Mutex::default(),
        }
    }
}

impl Tally {
    /// Requests that were sent.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Requests that were answered as they should be.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Orders among them.
    pub fn good_orders(&self) -> u64 {
        self.good_orders.load(Ordering::Relaxed)
    }

    /// Connections that were made.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// All others.
    pub fn mishaps(&self) -> Vec<Mishap> {
        self.mishaps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of the answers came within how many milliseconds (the upper end of the bucket).
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        let counts = self.latency.each_ref().map(|count| count.load(Ordering::Relaxed));
        let total: u64 = counts.iter().sum();
        let mut seen = 0;
        let at = counts.iter().position(|count| {
            seen += count;
            seen as f64 >= quantile * total as f64
        });
        bucket_end(at.unwrap_or(BUCKETS - 1)) / 1e3
    }

    fn finished(&self, kind: Kind, due: Instant) {
        self.good.fetch_add(1, Ordering::Relaxed);
        if kind == Kind::Order {
            self.good_orders.fetch_add(1, Ordering::Relaxed);
        }
        let micros = due.elapsed().as_micros().max(1) as f64;
        let at = (micros.log2() * 8.0).ceil() as usize;
        if let Some(bucket) = self.latency.get(at.min(BUCKETS - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// In microseconds.
fn bucket_end(at: usize) -> f64 {
    (at as f64 / 8.0).exp2()
}

/// Users who send until they are told to stop.
#[derive(Debug)]
pub struct Load {
    /// So far.
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `connections` users who send `rate` requests a second together, or as many as they can. Numbers
    /// of requests begin at `first` times 2^40, so that no two loads share one.
    ///
    /// # Errors
    /// No threads are to be had.
    pub fn start(
        proxy: SocketAddr,
        connections: u64,
        rate: Option<f64>,
        first: u64,
    ) -> std::io::Result<Load> {
        let (tally, stop) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let began = Instant::now();
        let threads = (0..connections).map(|at| {
            let (tally, stop) = (Arc::clone(&tally), Arc::clone(&stop));
            let user = User { proxy, tally, connection: None, body: Vec::new() };
            std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                user.run(&stop, began, rate, (at, connections), first << 40);
            })
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Load { tally, stop, threads })
    }

    /// Lets every user finish the request that they are at.
    pub fn finish(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A user that panicked is seen by its request: begun, and neither good nor a mishap.
            let _ = thread.join();
        }
        self.tally
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    requests: u64,
}

struct User {
    proxy: SocketAddr,
    tally: Arc<Tally>,
    connection: Option<Connection>,
    body: Vec<u8>,
}

impl User {
    fn run(
        mut self,
        stop: &AtomicBool,
        began: Instant,
        rate: Option<f64>,
        (at, of): (u64, u64),
        first: u64,
    ) {
        for turn in 0.. {
            let place = turn * of + at;
            let due = rate.map(|rate| began + Duration::from_secs_f64(place as f64 / rate));
            if let Some(due) = due {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.tally.begun.fetch_add(1, Ordering::Relaxed);
            self.request(first + place, due.unwrap_or_else(Instant::now));
        }
    }

    fn request(&mut self, number: u64, due: Instant) {
        let (kind, sent) = (Kind::of(number), Instant::now());
        let mut endpoint = None;
        let before = self.connection.as_ref().map_or(0, |connection| connection.requests);
        match self.exchange(number, kind, &mut endpoint) {
            Ok(()) => self.tally.finished(kind, due),
            Err(what) => {
                if !matches!(what, What::Endpoint(_)) {
                    self.connection = None;
                }
                let ended = Instant::now();
                let mishap = Mishap { number, kind, sent, ended, what, endpoint, before };
                self.tally.mishaps.lock().unwrap_or_else(PoisonError::into_inner).push(mishap);
            }
        }
        if self.connection.as_ref().is_some_and(|connection| connection.requests >= PER_CONNECTION)
        {
            self.connection = None;
        }
    }

    fn exchange(
        &mut self,
        number: u64,
        kind: Kind,
        endpoint: &mut Option<String>,
    ) -> Result<(), What> {
        let no_connection = |error: std::io::Error| What::NoConnection(error.to_string());
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream =
                    TcpStream::connect_timeout(&self.proxy, PATIENCE).map_err(no_connection)?;
                stream.set_nodelay(true).map_err(no_connection)?;
                stream.set_read_timeout(Some(PATIENCE)).map_err(no_connection)?;
                self.tally.connections.fetch_add(1, Ordering::Relaxed);
                none.insert(Connection { reader: BufReader::new(stream), requests: 0 })
            }
        };
        connection.requests += 1;
        let order = content(&number.to_string(), if kind == Kind::Order { ORDER } else { 0 });
        let head = match kind {
            Kind::Item => format!("GET /item/{number}"),
            Kind::Large => format!("GET /large/{number}"),
            Kind::Order => format!("POST /order/{number}"),
        };
        // Ten thousand users, who take turns.
        let user = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let mut request =
            format!("{head} HTTP/1.1\r\nhost: shop.test\r\nx-user-id: u{}\r\n", user % 10_000)
                .into_bytes();
        if kind == Kind::Order {
            request.extend(format!("content-length: {}\r\n", order.len()).bytes());
        }
        request.extend(b"\r\n");
        request.extend(&order);
        let no_answer = |error: std::io::Error| What::NoAnswer(error.to_string());
        connection.reader.get_mut().write_all(&request).map_err(no_answer)?;
        let head = Head::read(&mut connection.reader).map_err(no_answer)?;
        *endpoint = head.endpoint.clone();
        self.body.clear();
        head.read_body(&mut connection.reader, &mut self.body)
            .map_err(|error| What::CutAnswer(format!("{error} after {} bytes", self.body.len())))?;
        let close = head.close;
        let verdict = check(&head, &self.body, number, kind, &order);
        if close {
            self.connection = None;
        }
        verdict
    }
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    endpoint: Option<String>,
}

fn invalid(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned())
}

fn line(reader: &mut impl BufRead, into: &mut String) -> std::io::Result<()> {
    into.clear();
    if reader.read_line(into)? == 0 || !into.ends_with('\n') {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

impl Head {
    fn read(reader: &mut impl BufRead) -> std::io::Result<Head> {
        let mut text = String::new();
        line(reader, &mut text)?;
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| invalid(&format!("no status in {text:?}")))?;
        let (mut length, mut chunked, mut close, mut endpoint) = (None, false, false, None);
        loop {
            line(reader, &mut text)?;
            let Some((name, value)) = text.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok(),
                "transfer-encoding" => chunked = true,
                "connection" => close = value.eq_ignore_ascii_case("close"),
                "x-endpoint" => endpoint = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(Head { status, length, chunked, close, endpoint })
    }

    fn read_body(&self, reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
        let mut text = String::new();
        let piece = |reader: &mut dyn Read, body: &mut Vec<u8>, length: usize| {
            let start = body.len();
            body.resize(start + length, 0);
            reader.read_exact(body.get_mut(start..).unwrap_or_default())
        };
        if !self.chunked {
            let length = self.length.ok_or_else(|| invalid("neither length nor chunks"))?;
            return piece(reader, body, length);
        }
        loop {
            line(reader, &mut text)?;
            let size = usize::from_str_radix(text.trim_end(), 16);
            let size = size.map_err(|_| invalid("no size of a chunk"))?;
            piece(reader, body, size)?;
            line(reader, &mut text)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn check(head: &Head, body: &[u8], number: u64, kind: Kind, order: &[u8]) -> Result<(), What> {
    if head.endpoint.is_none() {
        return Err(What::Proxy(head.status));
    }
    let large = kind == Kind::Large && head.status == 200;
    let mut due = format!("{number} {} {:016x}\n", head.status, digest(order)).into_bytes();
    due.extend(content(&number.to_string(), if large { LARGE } else { 256 }));
    if body != due {
        let begin = String::from_utf8_lossy(body.get(..40).unwrap_or(body)).into_owned();
        return Err(What::Wrong(format!("{} of {} bytes: {begin:?}", body.len(), due.len())));
    }
    if head.status == 200 { Ok(()) } else { Err(What::Endpoint(head.status)) }
}

/// `length` bytes that belong to this number alone.
pub fn content(number: &str, length: usize) -> Vec<u8> {
    let mut state = digest(number.as_bytes()) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes().map(|byte| b'a' + (byte & 15)));
    }
    bytes.truncate(length);
    bytes
}

/// FNV-1a, 64 bits.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
