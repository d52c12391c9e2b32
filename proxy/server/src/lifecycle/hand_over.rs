//! A binary upgrade: the running process starts the next one and hands it the listening sockets.
//!
//! Both processes hold the same sockets, so there is one queue of connections and none is lost: not
//! with the process that closes its own queue (as with SO_REUSEPORT), not in a gap between two binds.
//! The two talk over a socket pair that is the next one's standard input:
//!
//! ```text
//! running                              next
//!   sockets, with their addresses  ->
//!                                  <-  prepared     the configuration is good, all but the journal is ready;
//!                                                   with its process id
//!   (judges no longer, closes the journal)
//!   go                             ->
//!                                  <-  serving      it accepts connections
//!   (drains and ends)
//! ```
//!
//! Whatever goes wrong on the way, the running process goes on.
//!
//! The next process is no child of the running one: a go-between starts it and ends, so that it belongs to
//! the service manager from the beginning. systemd waits for the end of a main process that is its own child;
//! of any other, a stop sends SIGTERM and, at once, SIGKILL, which cuts what is in flight.

use super::sockets::{Inherited, ListeningSocket};
use anyhow::{Context, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Says to a process that its standard input is the one before it, and what it is: the go-between or the next one.
const VARIABLE: &str = "SERINUS_TAKE_OVER";
const GO_BETWEEN: &str = "start";
const NEXT: &str = "run";
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
    pid: u32,
    /// Holds for this very process, also when it has ended.
    process: OwnedFd,
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
            self.0.get_ref(),
            &[IoSlice::new(line.as_bytes())],
            &mut rights,
            SendFlags::empty(),
        )?;
        if sent != line.len() { bail!("the sockets could not be sent at once") } else { Ok(()) }
    }

    fn hear(&mut self, word: &str) -> anyhow::Result<()> {
        match self.hear_after(word)?.as_str() {
            "" => Ok(()),
            more => bail!("it said '{word}{more}' where '{word}' was due"),
        }
    }

    /// What follows `word` in the line that must begin with it.
    fn hear_after(&mut self, word: &str) -> anyhow::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                return Err(error).with_context(|| format!("it was not '{word}' in time"));
            }
        }
        match line.trim_end() {
            "" => bail!("it ended before it was '{word}': its log says why"),
            said => match said.strip_prefix(word) {
                Some(more) => Ok(more.to_owned()),
                None => bail!("it said '{said}' where '{word}' was due"),
            },
        }
    }
}

impl Heir {
    /// Starts this command line anew, which may be another binary by now, and waits until it has
    /// read the configuration and all but the journal is ready.
    ///
    /// # Errors
    /// It cannot be started or ends; it never had the journal then.
    pub(crate) fn start(sockets: &[ListeningSocket]) -> anyhow::Result<Heir> {
        let (mine, its) = UnixStream::pair().context("no socket pair")?;
        let mut go_between = again(GO_BETWEEN, Stdio::from(OwnedFd::from(its)))?;
        let mut talk = Talk::new(mine)?;
        let told = talk.send(sockets).and_then(|()| talk.hear_after(PREPARED));
        if told.is_err() {
            // It fails only where it has ended already.
            let _ = go_between.kill();
        }
        // From its end on the next process is nobody's child.
        go_between.wait()?;
        Heir::new(told?.trim().parse()?, talk)
    }

    fn new(pid: u32, talk: Talk) -> anyhow::Result<Heir> {
        let known = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
        let process = pidfd_open(known, PidfdFlags::empty()).context("it is gone")?;
        Ok(Heir { pid, process, talk })
    }

    /// Lets it go, and waits until it accepts connections. Before, the journal must be closed.
    ///
    /// # Errors
    /// It did not get there; then it is gone.
    pub(crate) fn go(mut self) -> anyhow::Result<u32> {
        match self.talk.say(GO).and_then(|()| self.talk.hear(SERVING)) {
            Ok(()) => Ok(self.pid),
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }

    /// Ends it, and waits until it is gone: its journal is closed then.
    fn end(&mut self) {
        // Both fail only where it has ended already.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let patience = Timespec::try_from(PATIENCE).ok();
        let _ = poll(&mut [PollFd::new(&self.process, PollFlags::IN)], patience.as_ref());
    }
}

/// Starts this command line anew, as one or the other.
fn again(role: &str, standard_input: Stdio) -> anyhow::Result<Child> {
    let mut words = std::env::args_os();
    // As it was typed and not as it was found: a link may lead to the next version now.
    let program: OsString = words.next().context("a process without a name")?;
    Command::new(&program)
        .args(words)
        .env(VARIABLE, role)
        .stdin(standard_input)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Whether this process was started only to start the next one, which it has done then. To be asked first of all.
///
/// # Errors
/// The next process cannot be started.
pub(crate) fn was_go_between() -> anyhow::Result<bool> {
    if std::env::var_os(VARIABLE).as_deref() != Some(OsStr::new(GO_BETWEEN)) {
        return Ok(false);
    }
    again(NEXT, Stdio::inherit()).map(|_| true)
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
        self.0.say(&format!("{PREPARED} {}", std::process::id()))?;
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

    /// Both ends in one process; the process of the other one is `sleep`, which is killed if it has to end.
    fn pair(sockets: &[ListeningSocket]) -> (Heir, (Predecessor, Inherited), Child) {
        let (mine, its) = UnixStream::pair().unwrap();
        let process = Command::new("sleep").arg("600").spawn().unwrap();
        let mut talk = Talk::new(mine).unwrap();
        talk.send(sockets).unwrap();
        let heir = Heir::new(process.id(), talk).unwrap();
        (heir, Predecessor::on(its).unwrap(), process)
    }

    #[test]
    fn a_connection_in_the_queue_is_accepted_by_the_next_process() {
        let configured = "127.0.0.1:0".parse().unwrap();
        let socket = TcpListener::bind(configured).unwrap();
        let address = socket.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let sockets = [ListeningSocket { configured, socket }];
        let (mut heir, (mut predecessor, mut inherited), mut process) = pair(&sockets);
        drop(sockets);
        let next = std::thread::spawn(move || {
            predecessor.wait_for_journal().unwrap();
            let socket = bind(configured, &mut inherited).unwrap();
            socket.set_nonblocking(false).unwrap();
            predecessor.say_serving().unwrap();
            socket.accept().unwrap().0.write_all(b"here").unwrap();
        });
        let told = heir.talk.hear_after(PREPARED).unwrap();
        assert_eq!(told.trim(), std::process::id().to_string());
        assert_eq!(heir.go().unwrap(), process.id());
        process.kill().unwrap();
        process.wait().unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "here");
        next.join().unwrap();
    }

    #[test]
    fn a_next_process_that_ends_is_no_next_process() {
        let (heir, predecessor, mut process) = pair(&[]);
        drop(predecessor);
        let error = format!("{:#}", heir.go().unwrap_err());
        assert!(error.contains("ended before") || error.contains("pipe"), "{error}");
        assert!(process.try_wait().unwrap().is_some(), "it is gone when that is known");
    }
}
