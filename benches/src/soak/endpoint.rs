//! An upstream that can be killed at any moment and still tells what it was doing.
//!
//! Before it works on a request it writes its number into a file of slots, one per connection, and
//! clears the slot when the last byte of the answer is written: pages of a file outlive the process.
//! Every order (POST) is appended to a second file before it is answered, so that one that was carried
//! out twice shows.

use super::load::{content, digest};
use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a slot: a number and blanks.
const SLOT: usize = 32;
/// Every so many requests take a while, so that there is something in hand at any time.
const SLOW_ONE_IN: u64 = 8;
const SLOWNESS: Duration = Duration::from_millis(4);
/// Bytes of a large answer, in chunks of [`CHUNK`].
pub(super) const LARGE: usize = 192 * 1024;
const CHUNK: usize = 16 * 1024;

/// What is wrong with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None = 0,
    /// It answers 500 to everything, in its own words.
    Errors = 1,
    /// It takes a request and closes the connection.
    Resets = 2,
}

struct Desk {
    name: String,
    slots: File,
    next_slot: AtomicU64,
    orders: File,
    resets: File,
    fault: AtomicU8,
}

/// Serves, if the command line is that of an endpoint: the bench starts itself anew for each
/// ([`Endpoint::start`]).
pub fn serve_if_asked(words: &[String]) -> Option<Result<()>> {
    match words {
        [command, address, name, slots, folder] if command == "endpoint" => {
            let address = address.parse().map_err(anyhow::Error::from);
            let served =
                address.and_then(|at| serve(at, name, Path::new(slots), Path::new(folder)));
            Some(served)
        }
        _ => None,
    }
}

/// Serves until it is killed, or the bench that started it has gone (its standard input ends).
///
/// # Errors
/// The address is taken or the folder cannot be written to.
fn serve(address: SocketAddr, name: &str, slots: &Path, folder: &Path) -> Result<()> {
    std::thread::spawn(|| {
        // Nothing is ever sent; an error is an end as well.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0)
    });
    let append = |kind: &str| {
        let path = folder.join(format!("{name}.{kind}"));
        OpenOptions::new().create(true).append(true).open(path)
    };
    let desk = Arc::new(Desk {
        name: name.to_owned(),
        slots: File::create(slots)?,
        next_slot: AtomicU64::new(0),
        orders: append("orders")?,
        resets: append("resets")?,
        fault: AtomicU8::new(0),
    });
    let listener = TcpListener::bind(address).with_context(|| format!("{address}"))?;
    for stream in listener.incoming() {
        let (desk, stream) = (Arc::clone(&desk), stream?);
        let slot = desk.next_slot.fetch_add(1, Ordering::Relaxed) % 65_536;
        std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            // A connection that ends is the proxy's business.
            let _ = desk.connection(stream, slot);
        })?;
    }
    Ok(())
}

impl Desk {
    fn hold(&self, slot: u64, number: &str) -> std::io::Result<()> {
        self.slots.write_all_at(format!("{number:<SLOT$}").as_bytes(), slot * SLOT as u64)
    }

    fn connection(&self, stream: TcpStream, slot: u64) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        let (mut line, mut field, mut body) = (String::new(), String::new(), Vec::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut length = 0;
            loop {
                field.clear();
                if reader.read_line(&mut field)? == 0 {
                    return Ok(());
                }
                if field.trim_end().is_empty() {
                    break;
                }
                if let Some((name, value)) = field.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
            let mut words = line.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let number = path.rsplit('/').next().unwrap_or("");
            if let Some(kind) = path.strip_prefix("/fault/") {
                self.fault.store(kind.parse().unwrap_or(0), Ordering::Relaxed);
            }
            let fault = self.fault.load(Ordering::Relaxed);
            self.hold(slot, number)?;
            if method == "POST" {
                (&self.orders).write_all(format!("{number}\n").as_bytes())?;
            }
            if number.parse::<u64>().is_ok_and(|number| number.is_multiple_of(SLOW_ONE_IN)) {
                std::thread::sleep(SLOWNESS);
            }
            if fault == Fault::Resets as u8 && !path.starts_with("/fault/") {
                (&self.resets).write_all(format!("{number}\n").as_bytes())?;
                return Ok(());
            }
            let status = if fault == Fault::Errors as u8 { 500 } else { 200 };
            self.answer(&mut writer, path, number, status, &body)?;
            self.hold(slot, "")?;
        }
    }

    fn answer(
        &self,
        writer: &mut TcpStream,
        path: &str,
        number: &str,
        status: u16,
        body: &[u8],
    ) -> std::io::Result<()> {
        let mut text = format!("{number} {status} {:016x}\n", digest(body)).into_bytes();
        let large = path.starts_with("/large/") && status == 200;
        text.extend(content(number, if large { LARGE } else { 256 }));
        let head = format!("HTTP/1.1 {status} X\r\nx-endpoint: {}\r\n", self.name);
        if !large {
            let mut all = format!("{head}content-length: {}\r\n\r\n", text.len()).into_bytes();
            all.extend(text);
            return writer.write_all(&all);
        }
        writer.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
        for chunk in text.chunks(CHUNK) {
            let mut piece = format!("{:x}\r\n", chunk.len()).into_bytes();
            piece.extend(chunk);
            piece.extend(b"\r\n");
            writer.write_all(&piece)?;
        }
        writer.write_all(b"0\r\n\r\n")
    }
}

/// An endpoint's process as the bench sees it.
#[derive(Debug)]
pub struct Endpoint {
    /// As in `x-endpoint`.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    folder: PathBuf,
    lives: u32,
    process: Option<Child>,
}

/// The end of an endpoint's process.
#[derive(Debug, Clone)]
pub struct Kill {
    /// Whose.
    pub endpoint: String,
    /// When the signal was sent.
    pub sent: Instant,
    /// When it was gone, with all of its connections.
    pub gone: Instant,
    /// The numbers of the requests that it had in hand.
    pub in_hand: Vec<String>,
}

impl Endpoint {
    /// Not running yet.
    pub fn new(name: &str, address: SocketAddr, folder: &Path) -> Endpoint {
        let (name, folder) = (name.to_owned(), folder.to_owned());
        Endpoint { name, address, folder, lives: 0, process: None }
    }

    fn slots(&self) -> PathBuf {
        self.folder.join(format!("{}.{}.slots", self.name, self.lives))
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// It does not.
    pub fn start(&mut self) -> Result<()> {
        self.lives += 1;
        let process = Command::new(std::env::current_exe()?)
            .args(["endpoint", &self.address.to_string(), &self.name])
            .args([self.slots(), self.folder.clone()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        crate::process::wait_for(self.address)
    }

    /// Whether it has a process.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// SIGKILL, and what it had in hand.
    ///
    /// # Errors
    /// Its slots cannot be read.
    pub fn kill(&mut self) -> Result<Option<Kill>> {
        let Some(mut process) = self.process.take() else { return Ok(None) };
        let sent = Instant::now();
        process.kill()?;
        process.wait()?;
        let gone = Instant::now();
        let slots = fs::read(self.slots())?;
        fs::remove_file(self.slots())?;
        let in_hand = slots
            .chunks(SLOT)
            .map(|slot| String::from_utf8_lossy(slot).trim_matches([' ', '\0']).to_owned())
            .filter(|number| !number.is_empty())
            .collect();
        Ok(Some(Kill { endpoint: self.name.clone(), sent, gone, in_hand }))
    }

    /// From now on it has this fault.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn set_fault(&self, fault: Fault) -> Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        let request = format!("GET /fault/{} HTTP/1.1\r\nhost: x\r\n\r\n", fault as u8);
        stream.write_all(request.as_bytes())?;
        stream.read_exact(&mut [0])?;
        Ok(())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
