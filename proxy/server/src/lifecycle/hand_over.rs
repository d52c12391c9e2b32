//! A binary upgrade: the running process starts the next one and hands it the listening sockets.
//!
//! Both processes hold the same sockets, so there is one queue of connections and none is lost: not
//! with the process that closes its own queue (as with SO_REUSEPORT), not in a gap between two binds.
//! The two talk over a socket pair that is the next one's standard input:
//!
//! ```text
//! running                              next
//!   sockets, with their addresses  ->
//!                                  <-  prepared     the configuration is good, all but the journal is ready
//!   (judges no longer, closes the journal)
//!   go                             ->
//!                                  <-  serving      it accepts connections
//!   (drains and ends)
//! ```
//!
//! Whatever goes wrong on the way, the running process goes on.

use super::sockets::{Inherited, ListeningSocket};
use anyhow::{Context, anyhow, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Says to a process that its standard input is the one before it.
const VARIABLE: &str = "SERINUS_TAKE_OVER";
/// Sockets in one message; the kernel takes 253.
const MOST_SOCKETS: usize = 250;
/// Room for the addresses of so many.
const MESSAGE: usize = MOST_SOCKETS * 64;
/// How long the next process may take for a step.
const PATIENCE: Duration = Duration::from_secs(30);

const PREPARED: &str = "prepared";
const GO: &str = "go";
const SERVING: &str = "serving";

/// The next process, as the running one sees it.
#[derive(Debug)]
pub(crate) struct Heir {
    process: Child,
    talk: Talk,
}

/// The process before, as the next one sees it.
#[derive(Debug)]
pub(crate) struct Predecessor(Talk);

#[derive(Debug)]
struct Talk(BufReader<UnixStream>);

impl Talk {
    fn new(stream: UnixStream) -> anyhow::Result<Talk> {
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Talk(BufReader::new(stream)))
    }

    fn say(&mut self, word: &str) -> anyhow::Result<()> {
        Ok(self.0.get_mut().write_all(format!("{word}\n").as_bytes())?)
    }

    fn hear(&mut self, word: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                return Err(error).with_context(|| format!("it was not '{word}' in time"));
            }
        }
        match line.trim_end() {
            said if said == word => Ok(()),
            "" => bail!("it ended before it was '{word}': its log says why"),
            said => bail!("it said '{said}' where '{word}' was due"),
        }
    }
}

impl Heir {
    /// Starts this command line anew, which may be another binary by now, and waits until it has
    /// read the configuration and all but the journal is ready.
    ///
    /// # Errors
    /// It cannot be started or ends; then it is gone.
    pub(crate) fn start(sockets: &[ListeningSocket]) -> anyhow::Result<Heir> {
        let mut words = std::env::args_os();
        // As it was typed and not as it was found: a link may lead to the next version now.
        let program: OsString = words.next().context("a process without a name")?;
        let (mine, its) = UnixStream::pair().context("no socket pair")?;
        let process = Command::new(&program)
            .args(words)
            .env(VARIABLE, "1")
            .stdin(Stdio::from(OwnedFd::from(its)))
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut heir = Heir { process, talk: Talk::new(mine)? };
        match heir.send(sockets).and_then(|()| heir.talk.hear(PREPARED)) {
            Ok(()) => Ok(heir),
            Err(error) => {
                heir.end();
                Err(error)
            }
        }
    }

    fn send(&mut self, sockets: &[ListeningSocket]) -> anyhow::Result<()> {
        if sockets.len() > MOST_SOCKETS {
            bail!("{} listeners are more than can be handed over at once", sockets.len());
        }
        let addresses: Vec<String> =
            sockets.iter().map(|socket| socket.configured.to_string()).collect();
        let line = format!("{}\n", addresses.join(" "));
        let descriptors: Vec<BorrowedFd<'_>> =
            sockets.iter().map(|socket| socket.socket.as_fd()).collect();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !rights.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            bail!("no room for {} sockets", sockets.len());
        }
        let sent = sendmsg(
            self.talk.0.get_ref(),
            &[IoSlice::new(line.as_bytes())],
            &mut rights,
            SendFlags::empty(),
        )?;
        if sent != line.len() { bail!("the sockets could not be sent at once") } else { Ok(()) }
    }

    /// Lets it go, and waits until it accepts connections. Before, the journal must be closed.
    ///
    /// # Errors
    /// It did not get there; then it is gone.
    pub(crate) fn go(mut self) -> anyhow::Result<u32> {
        match self.talk.say(GO).and_then(|()| self.talk.hear(SERVING)) {
            Ok(()) => Ok(self.process.id()),
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }

    /// Ends it, and waits until it is gone: its journal is closed then.
    pub(crate) fn end(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Predecessor {
    /// The process that started this one to take over from it, and its sockets; none where this
    /// one was started by anybody else. To be called once.
    ///
    /// # Errors
    /// It says that it did, and hands nothing over.
    pub(crate) fn find() -> anyhow::Result<Option<(Predecessor, Inherited)>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let found = Predecessor::on(stream).with_context(|| {
            format!("{VARIABLE} is set, but the process before hands nothing over")
        })?;
        Ok(Some(found))
    }

    fn on(stream: UnixStream) -> anyhow::Result<(Predecessor, Inherited)> {
        let talk = Talk::new(stream)?;
        let mut text = vec![0; MESSAGE];
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(
            talk.0.get_ref(),
            &mut [IoSliceMut::new(&mut text)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let sockets: Vec<OwnedFd> = rights
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                _ => None,
            })
            .flatten()
            .collect();
        let line = std::str::from_utf8(text.get(..got.bytes).unwrap_or_default())?;
        let line = line.strip_suffix('\n').ok_or_else(|| anyhow!("half a message"))?;
        let addresses: Vec<SocketAddr> =
            line.split_terminator(' ').map(str::parse).collect::<Result<_, _>>()?;
        if addresses.len() != sockets.len() {
            bail!("{} addresses for {} sockets", addresses.len(), sockets.len());
        }
        let sockets = addresses.into_iter().zip(sockets).map(|(configured, socket)| {
            ListeningSocket { configured, socket: TcpListener::from(socket) }
        });
        Ok((Predecessor(talk), Inherited::new(sockets.collect())))
    }

    /// Says that everything is ready but the journal, and waits until that is free.
    ///
    /// # Errors
    /// The process before has thought better of it, or is gone.
    pub(crate) fn wait_for_journal(&mut self) -> anyhow::Result<()> {
        self.0.say(PREPARED)?;
        self.0.hear(GO).context("the process before does not let go")
    }

    /// Says that connections are accepted: the process before may end.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn say_serving(mut self) -> anyhow::Result<()> {
        self.0.say(SERVING)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sockets::bind;
    use super::*;
    use std::io::Read;
    use std::net::TcpStream;

    /// Both ends in one process; the other one is `true`, which ends at once.
    fn pair(sockets: &[ListeningSocket]) -> (Heir, (Predecessor, Inherited)) {
        let (mine, its) = UnixStream::pair().unwrap();
        let process = Command::new("true").spawn().unwrap();
        let mut heir = Heir { process, talk: Talk::new(mine).unwrap() };
        heir.send(sockets).unwrap();
        (heir, Predecessor::on(its).unwrap())
    }

    #[test]
    fn a_connection_in_the_queue_is_accepted_by_the_next_process() {
        let configured = "127.0.0.1:0".parse().unwrap();
        let socket = TcpListener::bind(configured).unwrap();
        let address = socket.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let sockets = [ListeningSocket { configured, socket }];
        let (mut heir, (mut predecessor, mut inherited)) = pair(&sockets);
        drop(sockets);
        let next = std::thread::spawn(move || {
            predecessor.wait_for_journal().unwrap();
            let socket = bind(configured, &mut inherited).unwrap();
            socket.set_nonblocking(false).unwrap();
            predecessor.say_serving().unwrap();
            socket.accept().unwrap().0.write_all(b"here").unwrap();
        });
        heir.talk.hear(PREPARED).unwrap();
        heir.go().unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "here");
        next.join().unwrap();
    }

    #[test]
    fn a_next_process_that_ends_is_no_next_process() {
        let (heir, predecessor) = pair(&[]);
        drop(predecessor);
        let error = format!("{:#}", heir.go().unwrap_err());
        assert!(error.contains("ended before") || error.contains("pipe"), "{error}");
    }
}
