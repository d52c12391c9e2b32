"""10,000 malformed requests into the listener, and as many answers from a broken upstream.

A seeded mutator changes bytes of the corpus. Behind the listener are real servers (nginx, Node,
Python). What each of them was asked is held against what the proxy says that it forwarded: a
request that only the server saw was smuggled.
"""

import collections
import contextlib
import json
import pathlib
import random
import socket
import threading
import time

import corpus
import lab

COUNT = 10_000
# Pieces that parsers stumble over.
PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"chunked", b"0\r\n\r\n", b"\x0b", b"\xff", b"\x7f", b"%2e", b"%00",
    b"..", b"//", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1", b"HTTP/1.0",
    b"Host: nginx.test\r\n", b"Connection: close\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"GET /hidden HTTP/1.1\r\nHost: nginx.test\r\n\r\n", b"ffffffff\r\n", b"-1", b"1e3", b"99999999999999999999",
]


def mutated(dice, seed_bytes):
    data = bytearray(seed_bytes)
    # Whatever changes in a header is mostly refused at once: bodies need blows of their own.
    low = data.find(b"\r\n\r\n") + 4 if dice.random() < 0.4 else 0
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = dice.randrange(min(low, len(data)), len(data) + 1)
        kind = dice.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] = dice.randrange(256)
        elif kind == 1:
            data[at:at] = dice.choice(PIECES)
        elif kind == 2:
            del data[at : at + dice.randrange(1, 9)]
        elif kind == 3 and data:
            end = min(len(data), at + dice.randrange(1, 40))
            data[at:at] = data[at:end]
        elif kind == 4 and data:
            data[at % len(data)] ^= 1 << dice.randrange(8)
        else:
            data = data[: max(1, at)]
    return bytes(data)


def attack(port, requests, failures):
    """Sends each on a connection of its own, and is not put off by anything but a hang."""
    for number, request in requests:
        began = time.monotonic()
        lab.exchange(port, request, wait=0.05, half_close=number % 2 == 0)
        if time.monotonic() - began > 20:
            failures.append(f"request {number} was not let go within 20 s: {request!r}")


def in_threads(work, jobs, threads=8):
    parts = [jobs[at::threads] for at in range(threads)]
    running = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def listener_side(folder, seed):
    folder = pathlib.Path(folder)
    ports = {name: lab.free_port() for name in ("nginx", "node", "python", "web")}
    logs = {name: folder / f"{name}-seen.jsonl" for name in ("nginx", "node", "python")}
    for log in logs.values():
        log.write_text("")
    routes = {f"{name}.test": (ports[name], "") for name in logs}
    faults = []
    with (
        lab.nginx_backend(folder, ports["nginx"], logs["nginx"]),
        lab.node_backend(folder, ports["node"], logs["node"]),
        lab.python_backend(folder, ports["python"], logs["python"]),
        lab.Proxy(folder, {"web": (ports["web"], 'header_timeout = "2s"\nlimits.body_timeout = "2s"')}, routes) as proxy,
    ):
        dice = random.Random(seed)
        names = list(logs)
        right = [case for case in corpus.CORPUS if case[2] == "forward"]
        requests = []
        for number in range(COUNT):
            # Those that are refused as they are teach less.
            _, case, _ = dice.choice(right if dice.random() < 0.7 else corpus.CORPUS)
            case = corpus.bytes_for(case, f"{dice.choice(names)}.test")
            requests.append((number, mutated(dice, case)))
        in_threads(lambda part: attack(ports["web"], part, faults), requests[:1000])
        settle(proxy)
        before = (proxy.descriptors(), proxy.memory())
        in_threads(lambda part: attack(ports["web"], part, faults), requests[1000:])
        settle(proxy)
        after = (proxy.descriptors(), proxy.memory())
        if proxy.ended():
            faults.append("the proxy ended")
        faults += [f"panic: {line}" for line in proxy.panics()]
        for name in names:
            answer = lab.exchange(ports["web"], f"GET /after HTTP/1.1\r\nHost: {name}.test\r\nConnection: close\r\n\r\n".encode())
            if b" 200 " not in answer[:16]:
                faults.append(f"{name} is not served any more: {answer[:60]!r}")
        reasons = proxy.rejections()
        forwarded = proxy.counted("serinus_requests_total")
        refused = sum(reasons.values())
        lab.until("the access log is written", lambda: sum("rejected" in line for line in proxy.access()) >= refused)
        told = proxy.access()
        faults += smuggled(told, logs)
        faults += planted(ports, told, logs)
    growth = after[1] - before[1]
    if after[0] > before[0] + 20:
        faults.append(f"descriptors grew from {before[0]} to {after[0]}")
    if growth > 30_000:
        faults.append(f"memory grew by {growth} KiB")
    return {
        "requests": COUNT,
        "seed": seed,
        "forwarded": forwarded,
        "rejected": reasons,
        "descriptors": [before[0], after[0]],
        "memory_kib": [before[1], after[1]],
    }, faults


def settle(proxy):
    """Waits until nothing is in flight: the client's connections are closed by their deadlines."""
    at = time.monotonic()
    last = proxy.descriptors()
    while time.monotonic() - at < 30:
        time.sleep(3)
        now = proxy.descriptors()
        if now == last:
            return
        last = now


def smuggled(told, logs):
    """What a server saw and the proxy never forwarded: requests, and bytes that are none."""
    sent, refused = collections.Counter(), collections.Counter()
    for entry in told:
        if not entry.get("route"):
            continue
        name = entry["route"].split("-")[0]
        sent[name, entry["method"], entry["path"]] += 1
        # A server that cannot read what it gets says 400, if the client is still there.
        refused[name] += entry["status"] >= 400 or entry.get("client_gone", False)
    faults = []
    for name, log in logs.items():
        seen, unread = collections.Counter(), collections.Counter()
        for line in log.read_text(errors="replace").splitlines():
            entry = json.loads(line)
            if entry["method"]:
                seen[name, entry["method"], entry["target"].split("?")[0]] += 1
            else:
                unread[entry["target"]] += 1
        for what, count in seen.items():
            if count > sent[what]:
                faults.append(f"smuggled to {name}: {what} seen {count} times, forwarded {sent[what]} times")
        if unread.total() > refused[name]:
            faults.append(f"smuggled to {name}: {unread.total()} times no request, {refused[name]} failed: {unread.most_common(3)}")
    return faults


def planted(ports, told, logs):
    """Whether the check sees what did not come through the proxy: a request sent straight to each server."""
    hidden = b"GET /planted HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for name in logs:
        lab.exchange(ports[name], hidden)

    def unseen():
        found = smuggled(told, logs)
        return [name for name in logs if not any(f"('{name}', 'GET', '/planted')" in fault for fault in found)]

    with contextlib.suppress(TimeoutError):
        lab.until("what was planted is seen", lambda: not unseen())
    return [f"the check for smuggled requests does not see one at {name}" for name in unseen()]


ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500 Oh\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\noh\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\nhello",
]


class BrokenUpstream(threading.Thread):
    """Answers every request with the next of its mutated answers."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.answers = iter(answers)
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.given = 0
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        client.settimeout(10)
        try:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    piece = client.recv(65536)
                    if not piece:
                        return
                    buffer += piece
                buffer = b""
                with self.lock:
                    answer = next(self.answers, None)
                    self.given += answer is not None
                if answer is None:
                    answer, whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", True
                else:
                    answer, whole = answer
                client.sendall(answer)
                if not whole:
                    return
        except OSError:
            pass
        finally:
            client.close()


def upstream_side(folder, seed):
    dice = random.Random(seed)
    answers = [(mutated(dice, dice.choice(ANSWERS)), dice.random() < 0.5) for _ in range(COUNT)]
    upstream = BrokenUpstream(answers)
    port = lab.free_port()
    faults = []
    more = '[service.any.timeouts]\nread = "1s"\nconnect = "1s"\n'
    with lab.Proxy(pathlib.Path(folder), {"web": (port, "")}, {"any": (upstream.port, "")}, more) as proxy:
        def ask(part):
            for _ in part:
                began = time.monotonic()
                answer = lab.exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", wait=10)
                if time.monotonic() - began > 9:
                    faults.append(f"a request hung: {answer[:80]!r}")
                if answer and not answer.startswith(b"HTTP/1.1 "):
                    faults.append(f"an answer that is none: {answer[:80]!r}")
                if answer.startswith(b"HTTP/1.1 101 "):
                    faults.append(f"another protocol that nobody asked for: {answer[:80]!r}")

        in_threads(ask, list(range(1000)), threads=16)
        before = (proxy.descriptors(), proxy.memory())
        while upstream.given < COUNT and not proxy.ended():
            in_threads(ask, list(range(1000)), threads=16)
        settle(proxy)
        after = (proxy.descriptors(), proxy.memory())
        if proxy.ended():
            faults.append("the proxy ended")
        faults += [f"panic: {line}" for line in proxy.panics()]
        # The kept connections of the last mutated answers may still hold one: then a retry is fine.
        answers = [lab.exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") for _ in range(20)]
        if b"ok\n" not in answers[-1]:
            faults.append(f"the upstream is not served any more: {answers[-1][:80]!r}")
    if after[1] - before[1] > 30_000:
        faults.append(f"memory grew by {after[1] - before[1]} KiB")
    if after[0] > before[0] + 20:
        faults.append(f"descriptors grew from {before[0]} to {after[0]}")
    return {"answers": COUNT, "seed": seed, "descriptors": [before[0], after[0]], "memory_kib": [before[1], after[1]]}, faults


def run(out, seed=20_261_126):
    folder = pathlib.Path(out)
    (folder / "listener").mkdir(exist_ok=True)
    (folder / "upstream").mkdir(exist_ok=True)
    listener, faults = listener_side(folder / "listener", seed)
    upstream, more = upstream_side(folder / "upstream", seed + 1)
    faults += more
    result = {"listener": listener, "upstream": upstream, "faults": faults[:50]}
    (folder / "mutated.json").write_text(json.dumps(result, indent=1))
    rejected = sum(listener["rejected"].values())
    summary = (
        f"{COUNT} mutated requests: {rejected} refused, {listener['forwarded']:.0f} forwarded, "
        f"memory {listener['memory_kib'][0]} -> {listener['memory_kib'][1]} KiB; {COUNT} mutated answers: "
        f"memory {upstream['memory_kib'][0]} -> {upstream['memory_kib'][1]} KiB"
    )
    return summary, faults
