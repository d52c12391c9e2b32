"""Processes that the suites need: the proxy, and real servers behind it. All on 127.0.0.1."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEYS = ROOT / "proxy/server/src/data_path/tests/keys"
# Makes a listener speak TLS, as shop.test.
CERTIFICATE = f'certificate = [{{ cert = "{KEYS}/shop.pem", key = "{KEYS}/shop.key" }}]'
# Longest wait for something that must happen, in seconds.
PATIENCE = 30


def serinus():
    """The binary under test."""
    return os.path.abspath(os.environ.get("SERINUS_BIN", ROOT / "target/release/serinus"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition):
    """Waits for a condition, or says what did not happen."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


def listens(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


class Process:
    """A child that ends with the suite, however the suite ends."""

    def __init__(self, name, command, folder, port, **options):
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.name = name
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **options)
        until(f"{name} listens (its log: {self.log})", lambda: self.ended() or listens(port))
        if self.ended():
            raise RuntimeError(f"{name} ended: {self.log.read_text(errors='replace')[-2000:]}")

    def ended(self):
        return self.child.poll() is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Proxy(Process):
    """Serinus with the listeners that a suite asks for and one route per host."""

    def __init__(self, folder, listeners, routes, more=""):
        folder = pathlib.Path(folder)
        self.admin = free_port()
        self.access_log = folder / "access.log"
        text = f'[server]\nstate_dir = "{folder}/state"\nthreads = 2\n'
        text += f'[admin]\nlisten = "127.0.0.1:{self.admin}"\n[log]\naccess = true\naccess_file = "{folder}/access.log"\n'
        for name, (port, keys) in listeners.items():
            text += f'[listener.{name}]\naddress = "127.0.0.1:{port}"\n{keys}\n'
        for host, (port, keys) in routes.items():
            name = host.replace(".", "-")
            hosts = f'hosts = ["{host}"]\n' if host != "any" else ""
            text += f'[route.{name}]\n{hosts}service = "{name}"\n{keys}\n'
            text += f'[service.{name}.stable]\nendpoints = ["127.0.0.1:{port}"]\n'
        (folder / "serinus.toml").write_text(text + more)
        command = [serinus(), "run", "--config", f"{folder}/serinus.toml", "--log-format", "json"]
        first = next(iter(listeners.values()))[0]
        super().__init__("serinus", command, folder, first)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics") as page:
            return page.read().decode()

    def counted(self, name):
        """Sum of a counter over all labels."""
        lines = [line for line in self.metrics().splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def rejections(self):
        """Requests that were turned away, by reason."""
        start = "serinus_requests_rejected_total{reason=\""
        lines = [line for line in self.metrics().splitlines() if line.startswith(start)]
        pairs = (line[len(start) :].split('"} ') for line in lines)
        return {reason: int(float(count)) for reason, count in pairs if float(count)}

    def access(self):
        """The lines of the access log."""
        written = self.access_log.read_text(errors="replace") if self.access_log.exists() else ""
        return [json.loads(line) for line in written.splitlines()]

    def panics(self):
        return [line for line in self.log.read_text(errors="replace").splitlines() if "panic" in line]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def memory(self):
        """Resident kilobytes."""
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


class Checks:
    """What a suite looked at, and what of it does not hold."""

    def __init__(self):
        self.told, self.faults = [], []

    def expect(self, name, holds, found=""):
        shown = f" ({found})" if 0 < len(str(found)) < 80 else ""
        self.told.append(f"{'ok' if holds else 'FAILED'}: {name}{shown}")
        if not holds:
            self.faults.append(f"{name}: {found}")

    def summary(self):
        return f"{len(self.told) - len(self.faults)} of {len(self.told)} hold"

    def report(self, file):
        file.write_text("\n".join(self.told) + "\n")


def nginx_backend(folder, port, log):
    """A real nginx that answers everything and writes down what it was asked."""
    folder = pathlib.Path(folder)
    text = f"""
daemon off; worker_processes 1; pid {folder}/nginx-backend.pid; error_log {folder}/nginx-backend.err;
events {{ worker_connections 1024; }}
http {{
  log_format seen escape=json '{{"method":"$request_method","target":"$request_uri"}}';
  access_log {log} seen;
  client_body_temp_path {folder}/nb1; proxy_temp_path {folder}/nb2; fastcgi_temp_path {folder}/nb3;
  uwsgi_temp_path {folder}/nb4; scgi_temp_path {folder}/nb5;
  client_max_body_size 0; merge_slashes off;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok\\n"; }} }}
}}
"""
    (folder / "nginx-backend.conf").write_text(text)
    command = [shutil.which("nginx"), "-c", f"{folder}/nginx-backend.conf", "-p", str(folder)]
    return Process("nginx-backend", command, folder, port)


def node_backend(folder, port, log):
    script = HERE / "backend.js"
    return Process("node-backend", [shutil.which("node"), str(script), str(port), str(log)], folder, port)


def python_backend(folder, port, log):
    import sys

    script = HERE / "backend.py"
    return Process("python-backend", [sys.executable, str(script), str(port), str(log)], folder, port)


def exchange(port, request, wait=2.0, half_close=False):
    """Sends bytes and reads until the other side closes or is silent for so many seconds."""
    answer = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(wait)
        client.sendall(request)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        while piece := client.recv(65536):
            answer += piece
    return answer
