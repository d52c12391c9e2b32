"""What the `service` suite looks at, run where systemd is process 1. Writes a check a line: [name, holds, found]."""

import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import time

FILE = pathlib.Path("/etc/serinus/serinus.toml")
PORT, TLS_PORT = 80, 443
# Longest wait for something that must happen, and how long a slow answer takes, in seconds.
PATIENCE, SLOW = 30, 1.5

BASE = """
[server]
state_dir = "/var/lib/serinus"
[log]
access = true
access_file = "/var/log/serinus/access.log"
[listener.web]
address = "0.0.0.0:80"
[listener.secure]
address = "0.0.0.0:443"
certificate = [{ cert = "shop.pem", key = "shop.key" }]
[route.all]
service = "app"
[service.app.stable]
version = "1"
endpoints = ["127.0.0.1:9000"]
"""
MORE = BASE + '[route.more]\npath_prefix = "/more"\nservice = "app"\nresponse_headers = { set = { x-more = "1" } }\n'


def expect(name, holds, found=""):
    print(json.dumps([name, bool(holds), str(found)[-400:]]), flush=True)


def systemctl(*words):
    run = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    return run.returncode, run.stdout.strip() + run.stderr.strip()


def shown(name):
    return systemctl("show", "--property", name, "--value", "serinus")[1]


def main_pid():
    return int(shown("MainPID"))


def journal(lines=40):
    run = subprocess.run(["journalctl", "--no-pager", "-o", "cat", "-u", "serinus", "-n", str(lines)], capture_output=True, text=True, check=False)
    return run.stdout


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: {systemctl('status', 'serinus')[1]}")
        time.sleep(0.02)


def ask(path="/", port=PORT):
    """Status and headers of an answer; what went wrong where there is none."""
    context = ssl._create_unverified_context()
    kinds = {PORT: http.client.HTTPConnection, TLS_PORT: lambda *a, **k: http.client.HTTPSConnection(*a, context=context, **k)}
    client = kinds[port]("127.0.0.1", port, timeout=PATIENCE)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        answer.read()
        return answer.status, dict(answer.getheaders())
    except OSError as error:
        return repr(error), {}
    except http.client.HTTPException as error:
        return repr(error), {}
    finally:
        client.close()


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    slow = threading.Event()

    def do_GET(self):
        if self.path == "/slow":
            App.slow.set()
            time.sleep(SLOW)
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


class Load(threading.Thread):
    """Asks again and again, each time on a new connection."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.served, self.failed = False, 0, []

    def run(self):
        while not self.over:
            status, _ = ask()
            self.served += status == 200
            if status != 200:
                self.failed.append(status)

    def until_more(self):
        enough = self.served + 3
        until("requests are served", lambda: self.served >= enough or self.failed)

    def end(self):
        self.over = True
        self.join()
        return f"{self.served} served, failed: {self.failed[:3]}"


def keys_for_the_service_alone():
    """As the head of the unit says: of the group `serinus`, and for nobody else."""
    for command in (["groupadd", "--system", "serinus"], ["useradd", "--system", "--gid", "serinus", "--no-create-home", "serinus"]):
        subprocess.run(command, check=False, capture_output=True)
    os.chmod("/etc/serinus/shop.key", 0o640)
    subprocess.run(["chgrp", "serinus", "/etc/serinus/shop.key"], check=True)


def starts():
    os.chmod("/etc/serinus/shop.key", 0o600)
    FILE.write_text(BASE.replace('service = "app"', 'service = "none"'))
    code, _ = systemctl("start", "serinus")
    expect("a wrong file: the start fails, and the journal says where", code != 0 and "serinus.toml:13:11: " in journal(), journal(5))
    systemctl("stop", "serinus")
    FILE.write_text(BASE)
    code, _ = systemctl("start", "serinus")
    expect("a key that only root reads: the start fails, and the journal says what to do", code != 0 and "shop.key" in journal() and "serinus" in journal(), journal(5))
    systemctl("stop", "serinus")
    systemctl("reset-failed", "serinus")
    keys_for_the_service_alone()
    with http.server.ThreadingHTTPServer(("0.0.0.0", PORT), App):
        code, _ = systemctl("start", "serinus")
        expect("a port that is taken: the start fails, and the journal says whose", code != 0 and "is taken" in journal(), journal(5))
    until("started by Restart= once the port is free", lambda: systemctl("is-active", "serinus")[0] == 0)
    expect("it comes by itself once the port is free", True)
    early = 0
    for _ in range(5):
        systemctl("stop", "serinus")
        systemctl("start", "--no-block", "serinus")
        until("active", lambda: systemctl("is-active", "serinus")[0] == 0)
        early += ask()[0] != 200
    expect("active not before it answers, five times", early == 0, early)


def sandboxed():
    pid = main_pid()
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    expect("not root", "0" not in status["Uid"].split(), status["Uid"])
    # CAP_NET_BIND_SERVICE is number 10.
    expect("one capability, to bind ports below 1024", status["CapEff"] == status["CapBnd"] == f"{1 << 10:016x}", status["CapEff"])
    expect("no new privileges, system calls filtered", status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status["Seccomp"])
    expect("ports 80 and 443 answer", (ask()[0], ask(port=TLS_PORT)[0]) == (200, 200), (ask()[0], ask(port=TLS_PORT)[0]))
    files = os.listdir("/var/lib/serinus")
    expect("the journal is in the state directory", "journal.sqlite" in files, files)
    log = pathlib.Path("/var/log/serinus/access.log")
    expect("the access log is in the logs directory", log.exists() and '"status":200' in log.read_text(), log)
    user = status["Uid"].split()[0]
    inside = ["nsenter", "--target", str(pid), "--mount", "--setuid", user, "--setgid", user, "--"]
    for place in ("/etc/serinus/x", "/usr/local/bin/x", "/var/x"):
        wrote = subprocess.run([*inside, "touch", place], capture_output=True, text=True, check=False)
        expect(f"{place} cannot be written", wrote.returncode != 0, wrote.stderr)
    soft, hard = re.search(r"Max open files +(\d+) +(\d+)", pathlib.Path(f"/proc/{pid}/limits").read_text()).groups()
    expect("as many open files as it may have", soft == hard and int(soft) >= 10_000, soft)
    policies = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        # Field 41 of proc(5), counted from behind the name.
        policies[(task / "comm").read_text().strip()] = int((task / "stat").read_text().rsplit(")", 1)[1].split()[38])
    idle = {name for name, policy in policies.items() if policy == 5}
    expect("learning and probes run in idle time only", idle == {"learning", "probes"}, idle)
    score = subprocess.run(["systemd-analyze", "security", "serinus", "--no-pager"], capture_output=True, text=True, check=False)
    level = re.search(r"exposure level for serinus.service: ([\d.]+)", score.stdout)
    expect("systemd-analyze security: below 2", level and float(level[1]) < 2, level and level[1])
    verify = subprocess.run(["systemd-analyze", "verify", "serinus.service"], capture_output=True, text=True, check=False)
    expect("systemd-analyze verify: nothing", "serinus" not in verify.stderr, verify.stderr)


def reloads():
    pid = main_pid()
    FILE.write_text(MORE)
    code, said = systemctl("reload", "serinus")
    # systemd 252 does not wait for what a signal brings about (Type=notify-reload came later).
    until("the new file is in force", lambda: ask("/more")[1].get("x-more") == "1")
    expect("a reload brings the new file in force", code == 0, said)
    FILE.write_text(MORE + "nonsense\n")
    code, _ = systemctl("reload", "serinus")
    expect("a wrong file: the reload fails, and the journal says where", code != 0 and re.search(r"serinus\.toml:\d+:\d+: ", journal()), journal(5))
    expect("and the file before stays in force", ask("/more")[1].get("x-more") == "1" and systemctl("is-active", "serinus")[0] == 0)
    FILE.write_text(BASE)
    key = pathlib.Path("/etc/serinus/shop.key")
    good = key.read_text()
    key.write_text(good.replace("A", "B"))
    code, _ = systemctl("reload", "serinus")
    expect("a key that is none: the reload fails, and the one before is shown on", code != 0 and ask(port=TLS_PORT)[0] == 200 and ask("/more")[1].get("x-more") == "1", journal(5))
    key.write_text(good)
    expect("the same process all along", main_pid() == pid, main_pid())


def upgrades():
    load = Load()
    load.start()
    before = [main_pid()]
    load.until_more()
    for command in (["serinus", "upgrade"], ["systemctl", "kill", "-s", "USR2", "--kill-whom=main", "serinus"]):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        until("another main process", lambda: main_pid() not in (*before, 0))
        before.append(main_pid())
        until("the process before is gone", lambda: not os.path.exists(f"/proc/{before[-2]}"))
        active = systemctl("is-active", "serinus")[1]
        expect(f"{command[0]} {command[1]}: systemd follows to the next process", run.returncode == 0 and active == "active", run.stderr or active)
        load.until_more()
    said = load.end()
    expect("no request failed meanwhile", not load.failed, said)
    FILE.write_text(MORE)
    code, said = systemctl("reload", "serinus")
    until("the new file is in force", lambda: ask("/more")[1].get("x-more") == "1")
    expect("a reload reaches the next process", code == 0, said)


def stops():
    App.slow.clear()
    found = []
    client = threading.Thread(target=lambda: found.append(ask("/slow")[0]))
    client.start()
    App.slow.wait(PATIENCE)
    systemctl("stop", "serinus")
    client.join()
    expect("a stop lets a request in flight finish", found == [200], found)
    expect("and is a good end", (shown("Result"), shown("ExecMainStatus")) == ("success", "0"), shown("Result"))
    systemctl("start", "serinus")
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    until("it is back", lambda: main_pid() not in (pid, 0) and systemctl("is-active", "serinus")[0] == 0)
    expect("killed, it comes back", ask()[0] == 200)
    systemctl("stop", "serinus")


def with_socket():
    unit = pathlib.Path("/etc/systemd/system/serinus.socket")
    unit.write_text(unit.read_text().replace("ListenStream=0.0.0.0:8080", "ListenStream=80\nListenStream=0.0.0.0:443"))
    systemctl("daemon-reload")
    code, said = systemctl("start", "serinus.socket")
    expect("serinus.socket listens", code == 0, said)
    expect("the first client starts the service", ask()[0] == 200 and systemctl("is-active", "serinus")[0] == 0)
    load = Load()
    load.start()
    for _ in range(3):
        load.until_more()
        systemctl("restart", "serinus")
    said = load.end()
    expect("three restarts refuse nobody", not load.failed, said)
    systemctl("stop", "serinus.socket", "serinus")


app = http.server.ThreadingHTTPServer(("127.0.0.1", 9000), App)
threading.Thread(target=app.serve_forever, daemon=True).start()
starts()
sandboxed()
reloads()
upgrades()
stops()
with_socket()
