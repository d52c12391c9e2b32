"""Requests that servers are known to read in different ways.

Each has a name, its bytes, and what this proxy owes: "refuse", or "forward". `HOST` is replaced.
"""


def request(line, *fields, body=b""):
    lines = [line.encode("latin-1"), *(field.encode("latin-1") for field in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


HOST = "Host: HOST"
CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: HOST\r\n\r\n"
LAST = b"0\r\n\r\n"


def get(*fields, target="/", version="HTTP/1.1"):
    return request(f"GET {target} {version}", *fields)


def post(*fields, body=b""):
    return request("POST / HTTP/1.1", HOST, *fields, body=body)


def coded(coding, *fields, body=LAST):
    """A body whose coding is this, as far as it goes."""
    return post(f"Transfer-Encoding: {coding}", *fields, body=body)


def chunks(first):
    """A body in chunks, the first as it is written here."""
    return post(CHUNKED, body=first + LAST)


CORPUS = [
    # What everybody takes.
    ("plain", get(HOST), "forward"),
    ("http 1.0", get(HOST, version="HTTP/1.0"), "forward"),
    ("http 1.0 keep-alive", get(HOST, "Connection: keep-alive", version="HTTP/1.0"), "forward"),
    ("length", post("Content-Length: 5", body=b"hello"), "forward"),
    ("chunked", chunks(b"5\r\nhello\r\n"), "forward"),
    ("chunked with trailer", post(CHUNKED, "Trailer: X", body=b"1\r\na\r\n0\r\nX: y\r\n\r\n"), "forward"),
    ("chunk extension", chunks(b"5;a=b\r\nhello\r\n"), "forward"),
    ("expect", post("Content-Length: 0", "Expect: 100-continue"), "forward"),
    ("absolute form", get(HOST, target="http://HOST/x"), "forward"),
    ("options *", request("OPTIONS * HTTP/1.1", HOST), "refuse"),
    ("unknown method", request("FOO / HTTP/1.1", HOST), "forward"),
    ("obs-text in value", get(HOST, "X: \xe4"), "forward"),
    ("tab in value", get(HOST, "X: a\tb"), "forward"),
    ("empty value", get(HOST, "X:"), "forward"),
    ("get with a body", request("GET / HTTP/1.1", HOST, "Content-Length: 5", body=b"hello"), "forward"),
    ("empty line before", b"\r\n" + get(HOST), "forward"),
    ("query with strange letters", get(HOST, target="/?a=[b]|c{d}"), "forward"),
    # Host.
    ("no host", get(), "refuse"),
    ("two hosts", get(HOST, "Host: other"), "refuse"),
    ("the same host twice", get(HOST, HOST), "refuse"),
    ("empty host", get("Host:"), "refuse"),
    ("host with path", get("Host: HOST/x"), "refuse"),
    ("host with user", get("Host: user@HOST"), "refuse"),
    ("host with space", get("Host: HOST other"), "refuse"),
    ("host with comma", get("Host: HOST,other"), "refuse"),
    ("host with two ports", get("Host: HOST:80:90"), "refuse"),
    ("absolute form, other host", get(HOST, target="http://other/"), "refuse"),
    ("absolute form, no host", get(target="http://HOST/"), "refuse"),
    ("absolute form with user", get(HOST, target="http://user@HOST/"), "refuse"),
    # Framing.
    ("length and chunked", post("Content-Length: 5", CHUNKED, body=LAST + HIDDEN), "refuse"),
    ("chunked and length", post(CHUNKED, "Content-Length: 5", body=LAST + HIDDEN), "refuse"),
    ("two lengths", post("Content-Length: 5", "Content-Length: 6", body=b"hello!"), "refuse"),
    ("the same length twice", post("Content-Length: 5", "Content-Length: 5", body=b"hello"), "refuse"),
    ("lengths in a list", post("Content-Length: 5, 5", body=b"hello"), "refuse"),
    ("length with plus", post("Content-Length: +5", body=b"hello"), "refuse"),
    ("negative length", post("Content-Length: -1"), "refuse"),
    ("hexadecimal length", post("Content-Length: 0x5", body=b"hello"), "refuse"),
    ("empty length", post("Content-Length:"), "refuse"),
    ("huge length", post("Content-Length: 99999999999999999999"), "refuse"),
    ("length in chunks of digits", post("Content-Length: 1 0", body=b"0123456789"), "refuse"),
    ("coding before chunked", coded("gzip, chunked"), "refuse"),
    ("coding after chunked", coded("chunked, identity"), "refuse"),
    ("identity", coded("identity"), "refuse"),
    ("xchunked", coded("xchunked", body=LAST + HIDDEN), "refuse"),
    ("chunked twice", post(CHUNKED, CHUNKED, body=LAST), "refuse"),
    ("space before the colon", post("Transfer-Encoding : chunked", body=LAST + HIDDEN), "refuse"),
    ("vertical tab in coding", coded("\x0bchunked"), "refuse"),
    ("folded coding", post("Transfer-Encoding:\r\n chunked", body=LAST), "refuse"),
    ("chunked in http 1.0", request("POST / HTTP/1.0", HOST, CHUNKED, body=LAST), "refuse"),
    ("chunk size with 0x", chunks(b"0x5\r\nhello\r\n"), "refuse"),
    ("chunk size with plus", chunks(b"+5\r\nhello\r\n"), "refuse"),
    ("chunk size with space", chunks(b"5 \r\nhello\r\n"), "refuse"),
    ("huge chunk size", chunks(b"ffffffffffffffff1\r\nhello\r\n"), "refuse"),
    ("chunk size ends in lf", chunks(b"5\nhello\r\n"), "refuse"),
    ("chunk data ends in lf", chunks(b"5\r\nhello\n"), "refuse"),
    ("chunk data too long", chunks(b"5\r\nhelloX\r\n"), "refuse"),
    ("lf in chunk extension", chunks(b"5;a\nb\r\nhello\r\n"), "refuse"),
    ("cr in chunk extension", chunks(b"5;a\rb\r\nhello\r\n"), "refuse"),
    # Lines.
    ("bare lf", b"GET / HTTP/1.1\nHost: HOST\n\n", "refuse"),
    ("one bare lf", b"GET / HTTP/1.1\r\nHost: HOST\nX: y\r\n\r\n", "refuse"),
    ("bare cr", b"GET / HTTP/1.1\r\nHost: HOST\r\nX: a\rY: b\r\n\r\n", "refuse"),
    ("folded line", get(HOST, "X: a\r\n b"), "refuse"),
    ("folded first line", b"GET / HTTP/1.1\r\n X: y\r\nHost: HOST\r\n\r\n", "refuse"),
    ("no colon", get(HOST, "X"), "refuse"),
    ("empty name", get(HOST, ": x"), "refuse"),
    ("space in name", get(HOST, "X Y: z"), "refuse"),
    ("nul in value", get(HOST, "X: a\0b"), "refuse"),
    ("escape in value", get(HOST, "X: \x1b[0m"), "refuse"),
    ("nul in name", get(HOST, "X\0: y"), "refuse"),
    ("underscore in name", get(HOST, "X_Forwarded_For: 1.2.3.4"), "forward"),
    # The first line.
    ("space in target", get(HOST, target="/a b"), "refuse"),
    ("two spaces", request("GET  / HTTP/1.1", HOST), "refuse"),
    ("tab for a space", request("GET\t/ HTTP/1.1", HOST), "refuse"),
    ("no version", b"GET /\r\n\r\n", "refuse"),
    ("http 0.9", get(HOST, version="HTTP/0.9"), "refuse"),
    ("http 1.2", get(HOST, version="HTTP/1.2"), "refuse"),
    ("http 2.0", get(HOST, version="HTTP/2.0"), "refuse"),
    ("small letters in version", get(HOST, version="http/1.1"), "refuse"),
    ("umlaut in target", get(HOST, target="/\xe4"), "refuse"),
    ("fragment", get(HOST, target="/a#b"), "refuse"),
    ("no slash", get(HOST, target="a"), "refuse"),
    ("connect", request("CONNECT HOST:80 HTTP/1.1", HOST), "refuse"),
    ("trace", request("TRACE / HTTP/1.1", HOST), "refuse"),
    # Paths.
    ("dot segment", get(HOST, target="/a/../b"), "forward"),
    ("encoded dots", get(HOST, target="/a/%2e%2e/b"), "forward"),
    ("two slashes", get(HOST, target="//a//b"), "forward"),
    ("above the root", get(HOST, target="/../../etc/passwd"), "refuse"),
    ("encoded above the root", get(HOST, target="/%2e%2e/%2e%2e/etc/passwd"), "refuse"),
    ("encoded slash", get(HOST, target="/a%2fb"), "refuse"),
    ("encoded backslash", get(HOST, target="/a%5cb"), "refuse"),
    ("backslash", get(HOST, target="/a\\..\\b"), "refuse"),
    ("nul in path", get(HOST, target="/a%00b"), "refuse"),
    ("broken encoding", get(HOST, target="/a%zz"), "refuse"),
    ("dots before a parameter", get(HOST, target="/a/..;/b"), "refuse"),
    # Sizes.
    ("long target", get(HOST, target="/" + "a" * 9_000), "refuse"),
    ("long header", get(HOST, "X: " + "a" * 70_000), "refuse"),
    ("many fields", get(HOST, *["X: y"] * 200), "refuse"),
    # Hop by hop.
    ("connection names a field", get(HOST, "Connection: X-Hop", "X-Hop: 1"), "forward"),
    ("connection names the host", get(HOST, "Connection: close, Host"), "refuse"),
    ("upgrade to h2c", get(HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), "forward"),
    ("other expectation", post("Content-Length: 0", "Expect: miracles"), "refuse"),
    ("pipelined", get(HOST) + get(HOST, target="/second"), "forward"),
]


def bytes_for(case, host):
    return case.replace(b"HOST", host.encode())
