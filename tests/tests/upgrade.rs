//! From one process to the next, under load.

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2::handshake;
use hyper::http;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use serinus::demo::free_port;
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab, command};
use serinus_tests::setup::Setup;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Ends the last process of a line, whose parent the lab does not know.
struct Line(Vec<u64>);

impl Drop for Line {
    fn drop(&mut self) {
        for pid in &self.0 {
            let pid = i32::try_from(*pid).expect("a process id");
            // Most have ended by themselves.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

async fn status(lab: &Lab) -> anyhow::Result<Value> {
    lab.admin.get("/api/v1/proxy").await
}

/// Waits until another process than `before` answers; its id.
async fn next_after(lab: &Lab, before: u64) -> u64 {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if let Ok(status) = status(lab).await
            && status["pid"] != before
            && status["lifecycle"] == "serving"
        {
            return status["pid"].as_u64().expect("a process id");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody takes over from {before}\n{}", lab.log())
}

fn signal(pid: u64, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).expect("a process id")), signal).expect("it runs");
}

/// Sends eight requests at a time over HTTP/2 until it is told to stop, on a new connection whenever the
/// server takes no more of them; how many were answered on how many connections.
async fn over_http2(server: SocketAddr, stopped: watch::Receiver<bool>) -> (u64, u64) {
    let (mut requests, mut connections) = (0, 0);
    while !*stopped.borrow() {
        let stream = TcpStream::connect(server).await.expect("nobody is refused");
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        connections += 1;
        while !*stopped.borrow() {
            let mut batch = JoinSet::new();
            for _ in 0..8 {
                let mut sender = sender.clone();
                batch.spawn(async move {
                    // One that closes takes no new request: that is none lost.
                    sender.ready().await.ok()?;
                    let request = http::Request::get("http://shop.example/");
                    let request = request.body(Empty::<Bytes>::new()).expect("a request");
                    match sender.try_send_request(request).await {
                        Ok(answer) => Some(answer.status().as_u16()),
                        Err(error) if error.message().is_some() => None,
                        Err(error) => panic!("a request was lost: {:?}", error.into_error()),
                    }
                });
            }
            let answers = batch.join_all().await;
            requests += answers.iter().flatten().count() as u64;
            assert!(answers.iter().flatten().all(|status| *status == 200), "{answers:?}");
            if answers.iter().any(Option::is_none) {
                break;
            }
        }
        drop(sender);
        // How the connection ends says nothing that the requests have not said.
        let _ = connection.await;
    }
    (requests, connections)
}

#[tokio::test]
async fn twenty_upgrades_under_load_lose_no_request() {
    let two = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    let more = format!("[listener.two]\naddress = \"{two}\"\nh2c = true\n");
    let setup = Setup { sticky: "cookie", grace: "20s", more, ..Setup::default() };
    let lab = Lab::start(setup).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    // Users who keep their connections, one who makes a new one for every request, and one who sends
    // many at a time over HTTP/2: the next process must lose neither what is open nor what waits to be
    // accepted.
    let load = lab.load(150.0);
    let (stop, stopped) = watch::channel(false);
    let web = lab.web;
    let many = tokio::spawn(over_http2(two, stopped.clone()));
    let newcomer = tokio::spawn(async move {
        let mut visits = 0;
        while !*stopped.borrow() {
            let mut browser = Browser::open(web).await.expect("nobody is refused");
            assert_eq!(browser.get("/").await.expect("an answer").status, 200);
            visits += 1;
        }
        visits
    });
    let mut line = Line(Vec::new());
    let mut pid = status(&lab).await.unwrap()["pid"].as_u64().unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        signal(pid, Signal::SIGUSR2);
        pid = next_after(&lab, pid).await;
        line.0.push(pid);
        let answered = load.tally.all().requests + 20;
        while load.tally.all().requests < answered {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let weight = lab.status().await["weight"].clone();
        assert_eq!(weight, 10.0, "the weight of the release goes with it");
    }
    println!("20 upgrades in {:?}", began.elapsed());
    stop.send_replace(true);
    let visits: u64 = newcomer.await.expect("no visit failed");
    let (requests, connections) = many.await.expect("no request failed");
    assert!(connections > 20, "{connections}: each process has one");
    let tally = load.finish().await;
    println!("{:?}, {visits} on connections of their own, {requests} over HTTP/2", tally.all());
    assert!(tally.all().requests > 300, "{:?}", tally.all());
    assert_eq!(tally.all().failures, 0, "{:?}\n{}", tally.mishaps(), lab.log());
}

#[tokio::test]
async fn an_idle_connection_is_answered_by_the_process_that_it_was_made_with_and_then_closed() {
    let mut lab = Lab::start(Setup { probe: false, ..Setup::default() }).await;
    let mut idle = Browser::open(lab.web).await.unwrap();
    assert_eq!(idle.get("/").await.unwrap().status, 200);
    let config = lab.config();
    let (code, output, errors) = command(&["upgrade", "--config", config.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{output}{errors}\n{}", lab.log());
    let pid = status(&lab).await.unwrap()["pid"].as_u64().unwrap();
    let _line = Line(vec![pid]);
    assert!(output.contains(&pid.to_string()), "{output}");
    // Well after the quarter of a second that a stop would have given it.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let answer = idle.get("/").await.expect("an answer of the process before");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let ended = lab.proxy.wait(DEADLINE).await.expect("the process before ends");
    assert!(ended.success(), "{ended}\n{}", lab.log());
    // What follows is the next process, alone: it takes reloads and ends like any other.
    let mut browser = Browser::open(lab.web).await.unwrap();
    assert_eq!(browser.get("/").await.unwrap().status, 200);
    signal(pid, Signal::SIGTERM);
    let deadline = Instant::now() + DEADLINE;
    while Browser::open(lab.web).await.is_ok() {
        assert!(Instant::now() < deadline, "it goes on listening\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_upgrade_that_fails_changes_nothing_and_says_why() {
    let lab = Lab::start(Setup { probe: false, ..Setup::default() }).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let good = std::fs::read_to_string(lab.config()).unwrap();
    let pid = status(&lab).await.unwrap()["pid"].as_u64().unwrap();
    // The next process reads this and ends.
    std::fs::write(lab.config(), "nonsense").unwrap();
    let address = lab.admin_address.to_string();
    let (code, output, errors) = command(&["upgrade", "--admin", &address]).await;
    assert_eq!(code, 1, "{output}");
    assert!(errors.contains("goes on") && errors.contains("log says why"), "{errors}");
    // One that gets further, but not to the end: its port is taken, after the journal was let go.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let more = format!("{good}\n[listener.more]\naddress = \"127.0.0.1:{port}\"\n");
    std::fs::write(lab.config(), more).unwrap();
    let (code, output, errors) = command(&["upgrade", "--admin", &address]).await;
    assert_eq!(code, 1, "{output}");
    assert!(errors.contains("goes on"), "{errors}");
    let status = status(&lab).await.unwrap();
    assert_eq!(status["pid"], pid);
    assert!(status["troubles"].to_string().contains("the last upgrade failed"), "{status:#}");
    // It judges again from where it stood, and serves.
    lab.until("at 10% again", |status| status["weight"] == 10.0).await;
    let mut browser = Browser::open(lab.web).await.unwrap();
    assert_eq!(browser.get("/").await.unwrap().status, 200);
}

/// What the process says to the service manager, up to `word`.
fn told(socket: &std::os::unix::net::UnixDatagram, word: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut buffer = [0; 256];
    while !all.iter().any(|line: &String| line.starts_with(word)) {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            // The end of a child, of whichever test, interrupts a wait that has a limit.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => panic!("{error}: {all:?}"),
        };
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    all
}

#[tokio::test]
async fn the_service_manager_is_told_of_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let lab = Lab::start_told(Setup { probe: false, ..Setup::default() }, &path).await;
    let mut pid = status(&lab).await.unwrap()["pid"].as_u64().unwrap();
    assert_eq!(told(&socket, "READY"), ["READY=1"]);
    signal(pid, Signal::SIGHUP);
    assert_eq!(told(&socket, "READY"), ["RELOADING=1", "READY=1"]);
    signal(pid, Signal::SIGUSR2);
    pid = next_after(&lab, pid).await;
    let _line = Line(vec![pid]);
    let mut lines = told(&socket, "MAINPID");
    lines.extend((lines.len() < 2).then(|| told(&socket, "READY")).into_iter().flatten());
    lines.sort();
    assert_eq!(lines, [format!("MAINPID={pid}"), "READY=1".to_owned()]);
    signal(pid, Signal::SIGTERM);
    assert_eq!(told(&socket, "STOPPING"), ["STOPPING=1"]);
}
