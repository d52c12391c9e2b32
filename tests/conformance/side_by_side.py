"""The corpus against this proxy, nginx and HAProxy, with the same recording server behind each.

Where another refuses what this proxy forwards, there must be a reason in `LENIENT`, and in
proxy/README.md.
"""

import collections
import concurrent.futures
import json
import pathlib
import re
import shutil
import socket
import threading

import corpus
import lab

# What this proxy forwards though another refuses it, and why.
LENIENT = {}

# The last chunk with its trailers.
LAST_CHUNK = re.compile(rb"\r\n0+(;[^\r\n]*)?\r\n([^\r\n]+\r\n)*\r\n")


class Recorder(threading.Thread):
    """An upstream that reads by the letter and remembers the requests of each connection."""

    def __init__(self, body=b"ok\n"):
        super().__init__(daemon=True)
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.seen, self.cut = [], []
        self.start()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        client.settimeout(5)
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    piece = client.recv(65536)
                    if not piece:
                        return
                    buffer += piece
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                lines = head.decode("latin-1").split("\r\n")
                fields = [line.split(":", 1) for line in lines[1:] if ":" in line]
                names = {name.strip().lower(): value.strip() for name, value in fields}
                body = b""
                if names.get("transfer-encoding", "").lower() == "chunked":
                    while not (end := LAST_CHUNK.search(b"\r\n" + buffer)):
                        piece = client.recv(65536)
                        if not piece:
                            raise ValueError("closed within a body")
                        buffer += piece
                    body, buffer = buffer[: end.end() - 2], buffer[end.end() - 2 :]
                else:
                    length = int(names.get("content-length", 0))
                    while len(buffer) < length:
                        piece = client.recv(65536)
                        if not piece:
                            raise ValueError("closed within a body")
                        buffer += piece
                    body, buffer = buffer[:length], buffer[length:]
                self.seen.append({"line": lines[0], "fields": names, "body": len(body)})
                client.sendall(self.answer)
        except (OSError, ValueError) as error:
            # It began with a header that went on, and was cut before it was a request.
            self.cut.append(str(error))
        finally:
            client.close()


def nginx(folder, port, upstream):
    text = f"""
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/n1; proxy_temp_path {folder}/n2;
  fastcgi_temp_path {folder}/n3; uwsgi_temp_path {folder}/n4; scgi_temp_path {folder}/n5;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host; }}
  }}
}}
"""
    (folder / "nginx.conf").write_text(text)
    return lab.Process("nginx", [shutil.which("nginx"), "-c", f"{folder}/nginx.conf", "-p", str(folder)], folder, port)


def haproxy(folder, port, upstream):
    text = f"""
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 2s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{upstream}
"""
    (folder / "haproxy.cfg").write_text(text)
    return lab.Process("haproxy", [shutil.which("haproxy"), "-f", f"{folder}/haproxy.cfg"], folder, port)


def ask(port, recorder, case):
    """What a proxy did: its statuses, and what came through."""
    recorder.seen.clear()
    answer = lab.exchange(port, corpus.bytes_for(case, "shop.test"), wait=0.7)
    statuses = re.findall(r"HTTP/1\.[01] (\d{3})", answer.decode("latin-1"))
    return {"statuses": statuses, "seen": [dict(one) for one in recorder.seen]}


def run(out):
    folder = pathlib.Path(out)
    ports = {name: lab.free_port() for name in ("serinus", "nginx", "haproxy")}
    recorders = {name: Recorder() for name in ports}
    listeners = {"web": (ports["serinus"], "")}
    routes = {"any": (recorders["serinus"].port, "")}
    rows, faults = [], []
    with (
        lab.Proxy(folder, listeners, routes) as proxy,
        nginx(folder, ports["nginx"], recorders["nginx"].port),
        haproxy(folder, ports["haproxy"], recorders["haproxy"].port),
        concurrent.futures.ThreadPoolExecutor(len(ports)) as together,
    ):
        for name, case, owed in corpus.CORPUS:
            asked = {who: together.submit(ask, ports[who], recorders[who], case) for who in ports}
            did = {who: answer.result() for who, answer in asked.items()}
            ours = did["serinus"]
            came_through = [who for who in did if did[who]["seen"]]
            if owed == "refuse" and ours["seen"]:
                faults.append(f"{name}: forwarded: {ours['seen']}")
            if owed == "forward" and "200" not in ours["statuses"]:
                faults.append(f"{name}: not forwarded: {ours['statuses']}")
            if any("hidden" in one["line"] for one in ours["seen"]):
                faults.append(f"{name}: a second request was smuggled")
            if any(status[0] == "2" for status in ours["statuses"]) and len(ours["seen"]) > len(ours["statuses"]):
                faults.append(f"{name}: the upstream saw more requests than were answered")
            stricter = [who for who in ("nginx", "haproxy") if not did[who]["seen"] and ours["seen"]]
            if stricter and name not in LENIENT:
                faults.append(f"{name}: {stricter} refuse it, we forward it, and nothing says why")
            rows.append({"case": name, "owed": owed, "forwarded_by": came_through, **did})
        reasons = proxy.rejections()
        faults += proxy.panics()
    (folder / "side-by-side.json").write_text(json.dumps(rows, indent=1))
    return report(folder, rows, reasons, faults)


def verdict(did):
    if did["seen"]:
        return "forwarded"
    return did["statuses"][0] if did["statuses"] else "closed"


def report(folder, rows, reasons, faults):
    lines = ["| request | serinus | nginx | HAProxy | |", "|---|---|---|---|---|"]
    tally = collections.Counter()
    for row in rows:
        ours, nginx_, haproxy_ = (verdict(row[who]) for who in ("serinus", "nginx", "haproxy"))
        forwarded = [ours == "forwarded", nginx_ == "forwarded", haproxy_ == "forwarded"]
        note = ""
        if not forwarded[0] and any(forwarded[1:]):
            note = "stricter"
        elif forwarded[0] and not all(forwarded[1:]):
            note = "more lenient: " + LENIENT.get(row["case"], "?")
        tally[note.split(":")[0] or "the same"] += 1
        lines.append(f"| {row['case']} | {ours} | {nginx_} | {haproxy_} | {note} |")
    summary = f"{len(rows)} requests: " + ", ".join(f"{count} {what}" for what, count in tally.items())
    text = f"# {summary}\n\n" + "\n".join(lines) + f"\n\nRefused, by reason: {reasons}\n"
    text += "".join(f"\nFAULT: {fault}" for fault in faults)
    (folder / "side-by-side.md").write_text(text)
    return summary, faults
