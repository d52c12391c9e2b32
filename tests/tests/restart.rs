//! What outlives a process: sockets that the service manager holds, and endpoints that were drained.

use nix::sys::signal::Signal;
use serde_json::Value;
use serinus::demo::free_port;
use serinus_tests::lab::{DEADLINE, Lab, binary, command};
use serinus_tests::setup::Setup;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that ends with the case.
struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As systemd starts a service whose sockets it holds: from descriptor 3 on.
fn activate(socket: &TcpListener, folder: &Path) -> Activated {
    let script =
        "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" run --config serinus.toml 3<&0 </dev/null";
    let socket = OwnedFd::from(socket.try_clone().unwrap());
    let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).unwrap();
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(binary())
        .current_dir(folder)
        .stdin(Stdio::from(socket))
        .stderr(log)
        .spawn()
        .unwrap();
    Activated(child)
}

fn ask(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("nobody is refused");
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").unwrap();
    client
}

fn answer(mut client: TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn who_comes_between_a_stop_and_a_start_waits_where_the_service_manager_holds_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    // One more that it must bind by itself.
    let other = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    let text = format!(
        r#"
[admin]
listen = "off"
[listener.web]
address = "{address}"
[listener.other]
address = "{other}"
[route.all]
[route.all.redirect]
host = "elsewhere.example"
[service.unused.stable]
endpoints = ["127.0.0.1:1"]
"#
    );
    std::fs::write(folder.path().join("serinus.toml"), text).unwrap();
    for _ in 0..2 {
        // Nobody is there yet, or any more.
        let early = ask(address);
        let mut process = activate(&socket, folder.path());
        let text = answer(early);
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(text.contains("elsewhere.example"), "{text}\n{log}");
        assert!(answer(ask(address)).contains("elsewhere.example"));
        assert!(answer(ask(other)).contains("elsewhere.example"));
        let pid = i32::try_from(process.0.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert!(process.0.wait().unwrap().success());
    }
}

/// What is the matter with each endpoint of the second service.
async fn states(lab: &Lab) -> Vec<(String, String)> {
    let service = lab.admin.get("/api/v1/services/two").await.expect("the service is there");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let endpoints = service["endpoints"].as_array().unwrap();
    endpoints.iter().map(|one| (text(&one["endpoint"]), text(&one["state"]))).collect()
}

#[tokio::test]
async fn a_drained_endpoint_stays_out_over_a_restart_until_it_is_ready() {
    let more = r#"
[route.two]
path_prefix = "/two"
service = "two"
[service.two.stable]
endpoints = ["127.0.0.1:1", "127.0.0.1:2"]
"#;
    let setup = Setup { probe: false, more: more.to_owned(), ..Setup::default() };
    let mut lab = Lab::start(setup).await;
    let address = lab.admin_address.to_string();
    let are = |one: &str, two: &str| {
        vec![("127.0.0.1:1".to_owned(), one.to_owned()), ("127.0.0.1:2".to_owned(), two.to_owned())]
    };
    let (code, output, errors) =
        command(&["drain", "two", "127.0.0.1:2", "--admin", &address]).await;
    assert_eq!(code, 0, "{output}{errors}");
    assert_eq!(states(&lab).await, are("healthy", "draining"));
    lab.restart(Signal::SIGKILL).await;
    assert_eq!(states(&lab).await, are("healthy", "draining"), "{}", lab.log());
    let (code, output, errors) =
        command(&["ready", "two", "127.0.0.1:2", "--admin", &address]).await;
    assert_eq!(code, 0, "{output}{errors}");
    lab.restart(Signal::SIGTERM).await;
    assert_eq!(states(&lab).await, are("healthy", "healthy"), "{}", lab.log());
}

#[tokio::test]
async fn an_endpoint_that_left_the_configuration_while_it_was_drained_comes_back_as_it_is() {
    let with = |endpoints: &str| {
        format!(
            "[route.two]\npath_prefix = \"/two\"\nservice = \"two\"\n[service.two.stable]\nendpoints = [{endpoints}]\n"
        )
    };
    let more = with("\"127.0.0.1:1\", \"127.0.0.1:2\"");
    let setup = Setup { probe: false, more: more.clone(), ..Setup::default() };
    let mut lab = Lab::start(setup).await;
    let address = lab.admin_address.to_string();
    let (code, output, errors) =
        command(&["drain", "two", "127.0.0.1:2", "--admin", &address]).await;
    assert_eq!(code, 0, "{output}{errors}");
    lab.reload(|setup| setup.more = with("\"127.0.0.1:1\"")).await;
    lab.reload(|setup| setup.more = more.clone()).await;
    lab.restart(Signal::SIGKILL).await;
    assert_eq!(states(&lab).await.len(), 2);
    let drained = states(&lab).await.iter().any(|(_, state)| state == "draining");
    assert!(!drained, "{}", lab.log());
}
