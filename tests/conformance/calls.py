"""gRPC with Google's own client and server, the proxy between: with TLS and without."""

import concurrent.futures
import json
import pathlib
import threading
import time
import urllib.request

import lab

# Longer than gRPC allows by itself (4 MiB).
LARGE = b"x" * (20 << 20)
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# A stream is silent for longer than `read` lets other answers be.
READ, SILENCE = 1, 2.5


class Server:
    """Methods by name, with what they have seen."""

    def __init__(self, grpc, failing=False):
        self.grpc, self.failing = grpc, failing
        self.cancelled, self.remaining, self.metadata = threading.Event(), [], {}
        workers = concurrent.futures.ThreadPoolExecutor(120)
        self.server = grpc.server(workers, options=UNLIMITED)
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Repeat": grpc.unary_stream_rpc_method_handler(self.repeat),
            "Silent": grpc.unary_stream_rpc_method_handler(self.silent),
            "Break": grpc.unary_stream_rpc_method_handler(self.break_off),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Calls", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def echo(self, message, context):
        if self.failing:
            context.abort(self.grpc.StatusCode.UNAVAILABLE, "a bad release")
        self.metadata = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-early", "1"), ("x-binary-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-late", "2"),))
        return message

    def repeat(self, message, context):
        for _ in range(100):
            yield message

    def silent(self, message, context):
        yield message
        time.sleep(SILENCE)
        yield message

    def break_off(self, message, context):
        yield message
        context.abort(self.grpc.StatusCode.INTERNAL, "broke after one")

    def collect(self, messages, context):
        return b"".join(messages)

    def talk(self, messages, context):
        yield from messages

    def refuse(self, message, context):
        context.set_trailing_metadata((("x-why", "busy"),))
        context.abort(self.grpc.StatusCode.UNAVAILABLE, "come back later")

    def hang(self, message, context):
        self.remaining.append(context.time_remaining())
        over = threading.Event()
        context.add_callback(over.set)
        if over.wait(lab.PATIENCE):
            self.cancelled.set()
        return message


def failure(call):
    """How a call failed."""
    import grpc

    try:
        call()
    except grpc.RpcError as error:
        return error
    return None


def all_kinds(grpc, way, channel, server, checks):
    def check(name, holds, found=""):
        checks.expect(f"{way}: {name}", holds, found)

    path = "/lab.Calls/"
    echo = channel.unary_unary(path + "Echo")
    answer, call = echo.with_call(b"hello", metadata=(("x-token", "t"), ("x-raw-bin", b"\x01\xfe")), timeout=30)
    early, late = dict(call.initial_metadata()), dict(call.trailing_metadata())
    check("unary", answer == b"hello")
    check("metadata goes there", (server.metadata.get("x-token"), server.metadata.get("x-raw-bin")) == ("t", b"\x01\xfe"), server.metadata)
    check("metadata comes back, before and after", early.get("x-binary-bin") == b"\x00\xff" and late.get("x-late") == "2", (early, late))
    check("a message of 20 MiB, both ways", echo(LARGE, timeout=60) == LARGE)
    check("an empty message", echo(b"", timeout=30) == b"")

    got = list(channel.unary_stream(path + "Repeat")(b"again", timeout=30))
    check("server streaming", got == [b"again"] * 100, len(got))
    got = channel.stream_unary(path + "Collect")(iter([b"a", b"b", b"c"]), timeout=30)
    check("client streaming", got == b"abc", got)
    waiting, heard = threading.Semaphore(1), []

    def said():
        for number in range(5):
            waiting.acquire(timeout=lab.PATIENCE)
            yield str(number).encode()

    for message in channel.stream_stream(path + "Talk")(said(), timeout=30):
        heard.append(message)
        waiting.release()
    check("both stream: each message is answered before the next is sent", heard == [b"0", b"1", b"2", b"3", b"4"], heard)
    got = list(channel.unary_stream(path + "Silent")(b"x", timeout=30))
    check("a stream may be silent for longer than `read`", len(got) == 2, len(got))

    error = failure(lambda: channel.unary_unary(path + "Refuse")(b"", timeout=30))
    late = dict(error.trailing_metadata()) if error else {}
    right = error and error.code() == grpc.StatusCode.UNAVAILABLE and error.details() == "come back later"
    check("an error in trailers alone", right and late.get("x-why") == "busy", error)
    stream = channel.unary_stream(path + "Break")(b"one", timeout=30)
    first = next(stream)
    error = failure(lambda: next(stream))
    check("an error after a message", first == b"one" and error and error.code() == grpc.StatusCode.INTERNAL, error)
    error = failure(lambda: channel.unary_unary(path + "Missing")(b"", timeout=30))
    check("an unknown method", error and error.code() == grpc.StatusCode.UNIMPLEMENTED, error)

    server.cancelled.clear()
    server.remaining.clear()
    error = failure(lambda: channel.unary_unary(path + "Hang")(b"", timeout=0.7))
    check("a deadline holds", error and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error)
    known = server.remaining and server.remaining[0] is not None and server.remaining[0] < 1
    check("a deadline is known to the server", known, server.remaining)
    check("a deadline ends the call there", server.cancelled.wait(10))
    server.cancelled.clear()
    server.remaining.clear()
    call = channel.unary_unary(path + "Hang").future(b"")
    lab.until("the call is there", lambda: server.remaining)
    call.cancel()
    check("what the client cancels is cancelled at the server", server.cancelled.wait(10))

    calls = [echo.future(str(number).encode(), timeout=60) for number in range(300)]
    got = [call.result() for call in calls]
    check("300 calls at a time on one connection", got == [str(number).encode() for number in range(300)])


def classes(proxy, variant, route):
    """Answers of a variant by class, as the metrics show them."""
    start = "serinus_requests_total{"
    found = {}
    for line in proxy.metrics().splitlines():
        if line.startswith(start) and f'route="{route}"' in line and f'variant="{variant}"' in line:
            found[line.split('code_class="')[1][:3]] = int(float(line.rsplit(" ", 1)[1]))
    return found


def judged(grpc, proxy, port, checks):
    """A canary whose calls fail with 200 around them is taken back."""
    options = [("grpc.default_authority", "judged.test")]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        echo = channel.unary_unary("/lab.Calls/Echo")
        failed = 0
        deadline = time.monotonic() + lab.PATIENCE
        withdrawn = False
        while (state := service(proxy))["phase"] == "progressing" and time.monotonic() < deadline:
            withdrawn |= state["withdrawn"]
            for _ in range(20):
                failed += failure(lambda: echo(b"hello", timeout=10)) is not None
        told = f"{failed} calls failed; {state['phase']}"
        checks.expect("users are taken off a canary that fails by grpc-status", withdrawn, told)
        checks.expect("and it is rolled back when that is not resolved", state["phase"] == "rolled_back", told)
        after = [failure(lambda: echo(b"hello", timeout=10)) for _ in range(50)]
        checks.expect("nobody is sent there any more", not any(after), after[:1])
    canary, stable = classes(proxy, "canary", "judged"), classes(proxy, "stable", "judged")
    checks.expect("its failures counted as 5xx", canary.get("5xx") == failed > 0 and not canary.get("2xx"), canary)
    checks.expect("stable's calls counted as 2xx", stable.get("2xx", 0) >= 50 and not stable.get("5xx"), stable)


def service(proxy):
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin}/api/v1/services/judged") as page:
        return json.load(page)


def run(out):
    try:
        import grpc
    except ImportError:
        return "grpcio is not installed: left out", []
    folder = pathlib.Path(out)
    checks = lab.Checks()
    good, bad = Server(grpc), Server(grpc, failing=True)
    ports = {"web": lab.free_port(), "tls": lab.free_port()}
    listeners = {"web": (ports["web"], "h2c = true"), "tls": (ports["tls"], lab.CERTIFICATE)}
    more = f"""
[service.any]
protocol = "h2c"
timeouts = {{ read = "{READ}s" }}
[route.judged]
hosts = ["judged.test"]
service = "judged"
[service.judged]
protocol = "h2c"
[service.judged.stable]
version = "1"
endpoints = ["127.0.0.1:{good.port}"]
[service.judged.canary]
version = "2"
endpoints = ["127.0.0.1:{bad.port}"]
[service.judged.rollout]
stages = [{{ weight = 50, hold = "1h" }}, {{ weight = 100, hold = "1h" }}]
sticky = "none"
evaluation_interval = "1s"
withdraw_limit = "3s"
"""
    certificate = (lab.KEYS / "shop.pem").read_bytes()
    with lab.Proxy(folder, listeners, {"any": (good.port, "")}, more) as proxy:
        with grpc.insecure_channel(f"127.0.0.1:{ports['web']}", options=UNLIMITED) as channel:
            all_kinds(grpc, "without TLS", channel, good, checks)
        trust = grpc.ssl_channel_credentials(root_certificates=certificate)
        named = [*UNLIMITED, ("grpc.ssl_target_name_override", "shop.test")]
        with grpc.secure_channel(f"127.0.0.1:{ports['tls']}", trust, options=named) as channel:
            all_kinds(grpc, "with TLS", channel, good, checks)
        counted = classes(proxy, "stable", "any")
        # In each way: 3 of Echo, 300 of it at a time, 4 that stream; Refuse, Break and Missing. The
        # client's deadline and what it cancels are nobody's.
        owed = {"2xx": 2 * 307, "5xx": 2 * 3, "1xx": 0, "3xx": 0, "4xx": 0}
        checks.expect("calls are counted by their own status", counted == owed, counted)
        judged(grpc, proxy, ports["web"], checks)
        checks.expect("no panic", not proxy.panics(), proxy.panics())
    for server in (good, bad):
        server.server.stop(0)
    checks.report(folder / "calls.md")
    return f"gRPC with grpcio: {checks.summary()}", checks.faults
