use super::*;

const BOUNDS: HeadBounds =
    HeadBounds { header: 8_192, fields: 20, target: 1_000, refuse_underscores: false };

/// Reads it whole and byte by byte, which must come to the same.
fn read(text: &str) -> Result<Option<Head>, Reason> {
    let bytes = text.as_bytes();
    let whole = HeadReader::default().read(bytes, &BOUNDS);
    let mut reader = HeadReader::default();
    let slow = (1..=bytes.len()).find_map(|end| match reader.read(&bytes[..end], &BOUNDS) {
        Ok(None) => None,
        settled => Some(settled),
    });
    assert_eq!(whole, slow.unwrap_or(Ok(None)), "{text:?}");
    whole
}

#[track_caller]
fn refused(text: &str, reason: Reason) {
    assert_eq!(read(text), Err(reason), "{text:?}");
}

#[test]
fn a_plain_request_is_read_to_its_end() {
    let text = "GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nx: \u{e4}\t y\r\n\r\n";
    let head = read(&format!("{text}GET")).unwrap().unwrap();
    assert_eq!((head.length, head.framing), (text.len(), Framing::Length(0)));
    assert!(!head.upgrade && !head.underscores);
    assert_eq!(read(&text[..text.len() - 1]), Ok(None));
}

#[test]
fn framing_is_told() {
    let with = |fields: &str| {
        let head = read(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).unwrap().unwrap();
        head.framing
    };
    assert_eq!(with("Content-Length:  12 \r\n"), Framing::Length(12));
    assert_eq!(with("transfer-ENCODING: Chunked\r\n"), Framing::Chunked);
    let old = read("\r\n\r\nPOST / HTTP/1.0\r\ncontent-length: 3\r\n\r\n").unwrap().unwrap();
    assert_eq!(old.framing, Framing::Length(3));
}

#[test]
fn an_upgrade_needs_both_fields_and_the_version() {
    let asks = |text: &str| read(text).unwrap().unwrap().upgrade;
    let both = "host: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\n";
    assert!(asks(&format!("GET / HTTP/1.1\r\n{both}")));
    assert!(!asks(&format!("GET / HTTP/1.0\r\n{both}")));
    assert!(!asks("GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n"));
}

#[test]
fn framing_that_two_servers_could_read_differently_is_refused() {
    let post = |fields: &str, reason| {
        refused(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"), reason);
    };
    let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n";
    post(both, Reason::Length);
    post("transfer-encoding: chunked\r\ncontent-length: 5\r\n", Reason::Length);
    post("content-length: 5\r\ncontent-length: 5\r\n", Reason::Length);
    for length in ["", "+5", "-5", "5,5", "0x5", "5 5", "99999999999999999999", "1e3"] {
        post(&format!("content-length: {length}\r\n"), Reason::Length);
    }
    for coding in ["gzip, chunked", "chunked, identity", "xchunked", "chunked;q=1", "\"chunked\""] {
        post(&format!("transfer-encoding: {coding}\r\n"), Reason::TransferCoding);
    }
    post("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Reason::Length);
    post("transfer-encoding : chunked\r\n", Reason::Field);
    post("transfer-encoding\t: chunked\r\n", Reason::Field);
    post("transfer-encoding:\x0bchunked\r\n", Reason::Field);
    refused("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", Reason::Length);
}

#[test]
fn a_host_is_there_once_and_is_one() {
    refused("GET / HTTP/1.1\r\n\r\n", Reason::HostMissing);
    refused("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", Reason::Host);
    for host in ["", "a b", "a,b", "user@a", "a/b", "a:", "a:b", "a:80:90", "[::1", "[x]", "a\t"] {
        let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        if host == "a\t" {
            assert!(read(&text).unwrap().is_some());
        } else {
            refused(&text, Reason::Host);
        }
    }
    for host in ["a", "A.b-c_d:8080", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:80"] {
        assert!(read(&format!("GET / HTTP/1.1\r\nhost:{host}\r\n\r\n")).unwrap().is_some());
    }
    assert!(read("GET / HTTP/1.0\r\n\r\n").unwrap().is_some());
}

#[test]
fn the_absolute_target_names_the_same_host() {
    let with = |target: &str| read(&format!("GET {target} HTTP/1.1\r\nhost: a:80\r\n\r\n"));
    assert!(with("http://a:80/x?y").unwrap().is_some());
    assert!(with("HTTPS://a:80").unwrap().is_some());
    for target in ["http://b/", "http://a/", "http://x@a:80/", "ftp://a:80/", "a:80", "*", "x"] {
        assert_eq!(with(target), Err(Reason::Target), "{target}");
    }
    refused("GET http://a/ HTTP/1.1\r\n\r\n", Reason::HostMissing);
    assert!(read("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").unwrap().is_some());
}

#[test]
fn lines_end_in_crlf_and_are_not_continued() {
    for text in [
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\r\n\r\n",
        "\nGET / HTTP/1.1\r\n",
    ] {
        refused(text, Reason::LineEnd);
    }
    refused("GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n", Reason::FoldedLine);
    refused("GET / HTTP/1.1\r\n host: a\r\n\r\n", Reason::FoldedLine);
}

#[test]
fn bytes_that_no_header_has_are_refused() {
    for field in ["", ": a", "a b: c", "\u{e4}: c", "a: \0", "a: \x1b", "a: \x7f", "(a): b"] {
        if field.is_empty() {
            continue;
        }
        refused(&format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n"), Reason::Field);
    }
    for line in
        ["GET /", "GET", " GET / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.1 ", "G@T / HTTP/1.1"]
    {
        refused(&format!("{line}\r\nhost: a\r\n\r\n"), Reason::RequestLine);
    }
    for line in ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2"] {
        refused(&format!("{line}\r\nhost: a\r\n\r\n"), Reason::Version);
    }
    for target in ["/a b", "/\u{e4}", "/#x", "/\"", "/<", "/\x01", "x", ""] {
        refused(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"), Reason::Target);
    }
    for method in ["CONNECT", "TRACE"] {
        refused(&format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"), Reason::Method);
    }
    refused("GET / HTTP/1.1\r\nhost: a\r\nexpect: miracles\r\n\r\n", Reason::Expectation);
}

#[test]
fn size_and_number_are_bounded() {
    refused(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(1_000)), Reason::TargetTooLong);
    refused(&format!("GET /{}", "a".repeat(2_000)), Reason::TargetTooLong);
    let fields = "x: y\r\n".repeat(20);
    refused(&format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"), Reason::TooManyFields);
    let long = "y".repeat(8_192);
    refused(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), Reason::HeaderTooLarge);
    refused(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}"), Reason::HeaderTooLarge);
    refused("\r\n\r\n\r\n\r\n\r\n", Reason::RequestLine);
}

#[test]
fn underscores_are_seen() {
    let text = "GET / HTTP/1.1\r\nhost: a\r\nx_forwarded_for: b\r\n\r\n";
    assert!(read(text).unwrap().unwrap().underscores);
    let strict = HeadBounds { refuse_underscores: true, ..BOUNDS };
    assert_eq!(HeadReader::default().read(text.as_bytes(), &strict), Err(Reason::Underscore));
}
