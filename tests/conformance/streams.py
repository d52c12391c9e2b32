"""What is more than a request and its answer: streams that are silent, interim answers, trailers, the
version before, and bodies that are much larger than what the proxy may keep."""

import collections
import contextlib
import pathlib
import socket
import threading
import time

import frames
import lab

LARGE = 1 << 30
# Kilobytes that the proxy may grow by while a large body passes.
GROWTH = 32 * 1024
PIECE = b"x" * (1 << 18)
# A WebSocket or an event stream is silent for longer than `read`, and shorter than `stream_idle`.
READ, SILENCE, STREAM_IDLE = 1, 3, 5


class Scripted(threading.Thread):
    """An HTTP/1 endpoint that does with each request what its path says; its steps are events."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        # Set by a client that has seen what it waited for, by target.
        self.go = collections.defaultdict(threading.Event)
        self.seen = {}
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        client.settimeout(lab.PATIENCE)
        reader = Reader(client)
        try:
            while head := reader.until(b"\r\n\r\n"):
                target = head.split(b" ", 2)[1].decode()
                getattr(self, "do_" + target.split("?")[0].strip("/"))(client, reader, self.go[target])
        except OSError as error:
            self.seen["error"] = repr(error)
        finally:
            client.close()

    def do_socket(self, client, reader, go):
        client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        while piece := reader.some():
            client.sendall(piece)
        raise OSError("the client is gone")

    def do_events(self, client, reader, go):
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 0\n\n")
        go.wait(lab.PATIENCE)
        client.sendall(b"data: 1\n\n")
        raise OSError("over")

    def do_hang(self, client, reader, go):
        reader.some()
        raise OSError("let go")

    def do_hints(self, client, reader, go):
        client.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
        go.wait(lab.PATIENCE)
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    def do_expect(self, client, reader, go):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.seen["body"] = reader.exactly(4)
        client.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")

    def do_trailers(self, client, reader, go):
        client.sendall(b"HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n")
        client.sendall(b"3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n")

    def do_chunks(self, client, reader, go):
        client.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    def do_down(self, client, reader, go):
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // len(PIECE)):
            client.sendall(PIECE)

    def do_up(self, client, reader, go):
        got = reader.count(LARGE)
        body = str(got).encode()
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    def do_stall(self, client, reader, go):
        reader.count(LARGE)
        raise OSError("let go")


class Reader:
    """A connection that is read up to a mark or a count."""

    def __init__(self, stream):
        self.stream, self.buffer = stream, b""

    def some(self):
        if not self.buffer:
            return self.stream.recv(1 << 18)
        piece, self.buffer = self.buffer, b""
        return piece

    def until(self, mark):
        while mark not in self.buffer:
            piece = self.stream.recv(65536)
            if not piece:
                return b""
            self.buffer += piece
        at = self.buffer.index(mark) + len(mark)
        piece, self.buffer = self.buffer[:at], self.buffer[at:]
        return piece

    def exactly(self, length):
        while len(self.buffer) < length:
            piece = self.stream.recv(65536)
            if not piece:
                break
            self.buffer += piece
        piece, self.buffer = self.buffer[:length], self.buffer[length:]
        return piece

    def count(self, most):
        """Reads so many bytes, or to the end; how many."""
        got = len(self.buffer)
        self.buffer = b""
        into = bytearray(1 << 18)
        while got < most and (read := self.stream.recv_into(into)):
            got += read
        return got

    def rest(self):
        while piece := self.stream.recv(65536):
            self.buffer += piece
        piece, self.buffer = self.buffer, b""
        return piece


def connect(port, request):
    client = socket.create_connection(("127.0.0.1", port), lab.PATIENCE)
    client.sendall(request)
    return client, Reader(client)


def get(path, *fields, version="1.1"):
    lines = [f"GET {path} HTTP/{version}", "host: shop.test", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def silent(port, endpoint, checks):
    upgrade = get("/socket", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: AAAA")
    client, reader = connect(port, upgrade)
    switched = reader.until(b"\r\n\r\n")
    time.sleep(SILENCE)
    client.sendall(b"still there?")
    answer = reader.exactly(12)
    checks.expect("a WebSocket may be silent for longer than `read`", switched.startswith(b"HTTP/1.1 101 ") and answer == b"still there?", answer)
    began = time.monotonic()
    rest = reader.rest()
    took = time.monotonic() - began
    checks.expect("a WebSocket is let go after `stream_idle`", rest == b"" and took < 4 * STREAM_IDLE, f"{took:.1f} s")

    for version in ("1.1", "1.0"):
        target = f"/events?{version}"
        client, reader = connect(port, get(target, "accept: text/event-stream", version=version))
        first = reader.until(b"data: 0\n\n")
        time.sleep(SILENCE)
        endpoint.go[target].set()
        second = reader.until(b"data: 1\n\n")
        checks.expect(f"an event stream for HTTP/{version} may be silent, and each event comes at once", first and second, second)
        client.close()
    client, reader = connect(port, get("/events", "connection: close"))
    began = time.monotonic()
    reader.rest()
    took = time.monotonic() - began
    checks.expect("any other answer that pauses for `read` is cut", took < 4 * READ + 2, f"{took:.1f} s")
    answer = lab.exchange(port, get("/hang", "connection: close"), wait=20)
    checks.expect("a hang is 504 after `read`", answer.startswith(b"HTTP/1.1 504 "), answer[:40])


def interim(port, endpoint, checks):
    client, reader = connect(port, get("/hints", "connection: close"))
    hints = reader.until(b"\r\n\r\n")
    checks.expect("103 passes before the answer is there", hints.startswith(b"HTTP/1.1 103 ") and b"a.css" in hints, hints[:40])
    endpoint.go["/hints"].set()
    last = reader.rest()
    checks.expect("the answer follows the 103", last.startswith(b"HTTP/1.1 200 ") and last.endswith(b"ok"), last[:40])
    client, reader = connect(port, get("/hints?old", version="1.0"))
    endpoint.go["/hints?old"].set()
    last = reader.rest()
    checks.expect("HTTP/1.0 gets no 103", last.startswith(b"HTTP/1.1 200 "), last[:40])
    client, reader = connect(port, b"POST /expect HTTP/1.1\r\nhost: shop.test\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n")
    asked = reader.until(b"\r\n\r\n")
    checks.expect("100 comes before the body is sent", asked.startswith(b"HTTP/1.1 100 "), asked[:40])
    client.sendall(b"body")
    last = reader.rest()
    checks.expect("the body follows the 100", last.startswith(b"HTTP/1.1 201 ") and endpoint.seen.get("body") == b"body", last[:40])


def ends(port, checks):
    _, reader = connect(port, get("/trailers", "te: trailers", "connection: close, te"))
    answer = reader.rest()
    checks.expect("trailers that are dropped are not announced", b"abc" in answer and b"trailer" not in answer.lower() and b"x-sum" not in answer.lower(), answer[-60:])
    _, reader = connect(port, get("/chunks", version="1.0"))
    answer = reader.rest()
    checks.expect("HTTP/1.0 gets no chunks", answer.endswith(b"\r\n\r\nabcde") and b"transfer-encoding" not in answer.lower(), answer[-60:])
    _, reader = connect(port, get("/chunks", "connection: keep-alive", version="1.0"))
    answer = reader.rest()
    checks.expect("HTTP/1.0 with keep-alive and an answer of unknown length: the connection ends", answer.endswith(b"\r\n\r\nabcde"), answer[-60:])


class Watch(threading.Thread):
    """The most memory that the proxy had while something passed."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.over = proxy, threading.Event()
        self.before = self.most = proxy.memory()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, self.proxy.memory())

    def growth(self):
        self.over.set()
        self.join()
        return self.most - self.before


def large(proxy, port, h2c, checks):
    watch = Watch(proxy)
    client, reader = connect(port, get("/down", "connection: close"))
    head = reader.until(b"\r\n\r\n")
    got = reader.count(LARGE)
    checks.expect("1 GiB down", head.startswith(b"HTTP/1.1 200 ") and got == LARGE, got)
    growth = watch.growth()
    checks.expect("memory is flat meanwhile", growth < GROWTH, f"{growth} KiB more at most")
    watch = Watch(proxy)
    client, reader = connect(port, b"POST /up HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % LARGE)
    for _ in range(LARGE // len(PIECE)):
        client.sendall(PIECE)
    answer = reader.rest()
    checks.expect("1 GiB up", answer.endswith(str(LARGE).encode()), answer[-40:])
    growth = watch.growth()
    checks.expect("memory is flat meanwhile", growth < GROWTH, f"{growth} KiB more at most")
    watch = Watch(proxy)
    got = down_http2(h2c)
    checks.expect("1 GiB down over HTTP/2", got == LARGE, got)
    growth = watch.growth()
    checks.expect("memory is flat meanwhile", growth < GROWTH, f"{growth} KiB more at most")


def down_http2(port):
    """Reads a large answer with windows as browsers have them; how many bytes came."""
    window = (1 << 31) - 1
    settings = b"\x00\x04" + (1 << 24).to_bytes(4)
    client = frames.Client(port, tls=False, settings=settings)
    client.send(frames.frame(frames.WINDOW_UPDATE, 0, 0, (window - 65535).to_bytes(4)))
    client.ask(path="/down", scheme="http")
    got, since = 0, 0
    for kind, flags, stream, payload in client.frames():
        if stream != 1 or kind not in (frames.DATA, frames.RST_STREAM):
            continue
        if kind == frames.RST_STREAM:
            break
        got, since = got + len(payload), since + len(payload)
        if flags & frames.END_STREAM:
            break
        if since > 1 << 22:
            client.send(*(frames.frame(frames.WINDOW_UPDATE, 0, at, since.to_bytes(4)) for at in (0, 1)))
            since = 0
    client.close()
    return got


def http2(proxy, h2c, tls, checks):
    for preface in (b"", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET / HTTP/1.1\r\n\r\n"):
        client = frames.Client(tls, preface=None)
        client.send(preface)
        began = time.monotonic()
        outcome, took = client.outcome(), time.monotonic() - began
        checks.expect(f"HTTP/2 that begins with {preface} is not waited for", outcome == "closed" and took < 10, f"{took:.1f} s")
    checks.expect("what is no HTTP/2 is counted, silence is not", proxy.rejections().get("http2") == 2, proxy.rejections())
    client = frames.Client(h2c, tls=False)
    client.ask(("content-length", str(LARGE)), method="POST", path="/stall", scheme="http", end=False)
    client.send(frames.frame(frames.DATA, 0, 1, b"begun"))
    before = proxy.rejections().get("body_timeout", 0)
    outcome = client.outcome()
    checks.expect("a body over HTTP/2 that stops is 408", outcome == 408, outcome)
    lab.until("the stalled body is counted", lambda: proxy.rejections().get("body_timeout", 0) == before + 1)
    client = frames.Client(h2c, tls=False)
    client.ask(path="/chunks", scheme="http")
    outcome, began = client.outcome(), time.monotonic()
    collections.deque(client.frames(), maxlen=0)
    took = time.monotonic() - began
    checks.expect("an idle connection over HTTP/2 ends", outcome == 200 and took < 10, f"{outcome}, {took:.1f} s")
    client = frames.Client(h2c, tls=False)
    client.send(frames.frame(frames.HEADERS, frames.END_STREAM, 1, frames.header(scheme="http")))
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 20:
            client.send(frames.frame(frames.CONTINUATION, 0, 1, frames.field("x", "y")))
            time.sleep(0.7)  # the slow client under test
    took = time.monotonic() - began
    checks.expect("a header over HTTP/2 that dribbles in is not waited for", took < 10, f"{took:.1f} s")
    # Windows that are never opened again, and a socket that is not read.
    client = frames.Client(h2c, tls=False)
    client.ask(path="/down", scheme="http")
    outcome = client.outcome()
    checks.expect("a client of HTTP/2 that opens its window no more is let go", outcome == ("cut", 200), outcome)
    client = frames.Client(h2c, tls=False, settings=b"\x00\x04" + (1 << 24).to_bytes(4), receive_buffer=4096)
    client.send(frames.frame(frames.WINDOW_UPDATE, 0, 0, (1 << 24).to_bytes(4)))
    client.ask(path="/down?unread", scheme="http")
    lab.until("a client of HTTP/2 that does not read is let go", lambda: finished(proxy, "/down") == 2)
    checks.expect("a client of HTTP/2 that does not read is let go", True)
    client.close()


def finished(proxy, path):
    return sum(1 for line in proxy.access() if line["path"] == path)


def run(out):
    folder = pathlib.Path(out)
    endpoint = Scripted()
    checks = lab.Checks()
    ports = {"web": lab.free_port(), "h2c": lab.free_port(), "tls": lab.free_port()}
    slow = 'header_timeout = "2s"\nkeepalive_timeout = "2s"\nlimits = { body_timeout = "1s", send_timeout = "2s" }'
    listeners = {"web": (ports["web"], slow), "h2c": (ports["h2c"], slow + "\nh2c = true"), "tls": (ports["tls"], slow + "\n" + lab.CERTIFICATE)}
    more = f'[service.any.timeouts]\nread = "{READ}s"\nstream_idle = "{STREAM_IDLE}s"\n'
    with lab.Proxy(folder, listeners, {"any": (endpoint.port, "")}, more) as proxy:
        silent(ports["web"], endpoint, checks)
        interim(ports["web"], endpoint, checks)
        ends(ports["web"], checks)
        http2(proxy, ports["h2c"], ports["tls"], checks)
        large(proxy, ports["web"], ports["h2c"], checks)
        checks.expect("no panic", not proxy.panics(), proxy.panics())
    checks.report(folder / "streams.md")
    return checks.summary(), checks.faults
