//! Bodies that are larger than anything should be kept of them.

use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One GiB.
const LENGTH: usize = 1 << 30;
const PIECE: usize = 1 << 16;

/// Resident memory of a process in MiB, now.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// The header of a message, and what came of its body with it.
async fn header(stream: &mut TcpStream) -> (String, usize) {
    let mut got = Vec::new();
    loop {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0, "half a header");
        if let Some(end) = got.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let header = String::from_utf8(got[..end].to_vec()).unwrap().to_lowercase();
            return (header, got.len() - end - 4);
        }
    }
}

async fn pour(stream: &mut TcpStream) {
    let piece = vec![b'x'; PIECE];
    for _ in 0..LENGTH / PIECE {
        stream.write_all(&piece).await.unwrap();
    }
}

/// Takes the rest of a body; the most memory that the proxy had meanwhile, in MiB.
async fn drink(stream: &mut TcpStream, mut got: usize, pid: u32) -> u64 {
    let (mut buffer, mut most, mut looked) = (vec![0; PIECE], 0, 0);
    while got < LENGTH {
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "{got} of {LENGTH} bytes came");
        got += length;
        if got - looked > LENGTH / 64 {
            looked = got;
            most = most.max(resident(pid));
        }
    }
    assert_eq!(got, LENGTH);
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_passes_either_way_and_leaves_no_trace_in_memory() {
    let endpoint = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = format!(
        "[route.large]\npath_prefix = \"/large\"\nservice = \"large\"\n[service.large.stable]\nendpoints = [\"{}\"]\n",
        endpoint.local_addr().unwrap()
    );
    let lab = Lab::start(Setup { probe: false, more, ..Setup::default() }).await;
    let pid = lab.proxy.pid().unwrap();
    let before = resident(pid);

    let mut client = TcpStream::connect(lab.web).await.unwrap();
    client.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut inside, _) = endpoint.accept().await.unwrap();
    header(&mut inside).await;
    let down = tokio::spawn(async move {
        let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
        inside.write_all(start.as_bytes()).await.unwrap();
        pour(&mut inside).await;
        inside
    });
    let (answer, got) = header(&mut client).await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let download = drink(&mut client, got, pid).await;
    let mut inside = down.await.unwrap();

    let start = format!("POST /large HTTP/1.1\r\nhost: a\r\ncontent-length: {LENGTH}\r\n\r\n");
    client.write_all(start.as_bytes()).await.unwrap();
    let up = tokio::spawn(async move {
        pour(&mut client).await;
        client
    });
    let (_, got) = header(&mut inside).await;
    let upload = drink(&mut inside, got, pid).await;
    inside.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let mut client = up.await.unwrap();
    let (answer, _) = header(&mut client).await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    println!(
        "resident: {before} MiB before, {download} MiB in the download, {upload} MiB in the upload"
    );
    assert!(download.max(upload) < before + 32, "{before}, {download}, {upload} MiB");
}
