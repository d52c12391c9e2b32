//! Servers that misbehave, byte by byte.

use serinus_probes::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What follows the scripted answers of a connection.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// The connection is closed.
    Close,
    /// The connection is torn down: what was sent to it is answered by a reset.
    Reset,
    /// Nothing more comes.
    Hang,
}

/// A server that answers the n-th request of each connection with the n-th text.
pub(crate) struct Raw {
    pub(crate) target: Target,
    _serving: JoinSet<()>,
}

impl Raw {
    pub(crate) async fn open(answers: &'static [&'static str], then: Then) -> Raw {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::plain(listener.local_addr().unwrap().to_string());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(converse(stream, answers, then));
            }
        });
        Raw { target, _serving: serving }
    }
}

async fn converse(mut stream: TcpStream, answers: &[&str], then: Then) {
    for answer in answers {
        if request(&mut stream).await.is_none() {
            return;
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    match then {
        Then::Close => {}
        Then::Reset => stream.set_zero_linger().unwrap(),
        Then::Hang => std::future::pending().await,
    }
}

/// Reads a request without body.
async fn request(stream: &mut TcpStream) -> Option<()> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.ok()?);
    }
    Some(())
}
