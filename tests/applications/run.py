#!/usr/bin/env python3
"""Three real applications behind Serinus: green for a while, then each fault caught before any user meets it.

    run.py --work FOLDER --serinus BINARY [--green SECONDS] [--record FOLDER] [--only NAME,...]

Needs what `make conformance-probes` sets up: FOLDER/venv with Django and gunicorn, FOLDER/api and FOLDER/pages
with their node_modules, and nginx. Everything runs on 127.0.0.1; every process that is started is ended.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
PASSWORD = "correct horse"
SECRETS = {**os.environ, "SERINUS_SECRET_SITE_PASSWORD": PASSWORD}
SERVICES = ["site", "api", "pages"]
JOURNEYS = {
    re.match(r"\[probe\.(\w+)\]", part)[1]: re.sub(r"(?m)^(#.*)?\n", "", part + "\n")
    for part in re.split(r"\n(?=\[probe\.\w+\]\n)", (HERE / "journeys.toml").read_text())[1:]
}
MOST_LINES = 15
USER_PATHS = {"site": "/admin/login/", "api": "/products/3", "pages": "/"}

# Name, service, fault, whether users are there meanwhile, seconds to catch it in, and what has to catch it: a pattern
# for a reason of the verdict, and one for what the failing journey says (its name first), where one fails.
#
# CPU per request is compared where both variants serve the same kind of requests: at weight 0 that is while stable
# serves probes alone. The slower form has users beside it, so that its time alone tells.
FAULTS = [
    ("broken login", "site", "login", True, 120, "canary failed|failed in", ("login", "status 302, got 200")),
    ("wrong price in a 200 body", "api", "price", True, 120, "probe cart failed in", ("cart", "")),
    ("missing CSS element", "pages", "element", True, 120, "probe slides failed in", ("slides", "css `div.reveal")),
    ("JSON field renamed", "api", "field", True, 120, "probe cart failed in", ("cart", r"json `\$\.name`.* got none")),
    ("certificate near expiry", "pages", "certificate", True, 120, "slides failed in", ("slides", "got one with 4")),
    ("form handler slower by 50%", "site", "slow_form", True, 600, "step 2", None),
    ("memory leak with no latency change", "site", "leak", True, 300, "memory grew", None),
    ("CPU per request +40%", "api", "cpu", False, 400, "of CPU and stable", None),
]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def any_certificate():
    """Whether an application is up does not hang on who has signed its certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout, context=any_certificate()) as answer:
        return answer.headers, answer.read()


def wait_until(what, seconds, ready):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {seconds} s")


class Process:
    """A process in a group of its own, ended with everything that it started."""

    def __init__(self, name, command, log, **options):
        self.name = name
        self.log = open(log, "ab")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, start_new_session=True, **options
        )

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


def make_certificate(folder, days):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", str(days), "-subj", "/CN=pages.test", "-addext", "subjectAltName=DNS:pages.test"]
    command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


class Lab:
    """Both variants of the applications that a scenario needs, and the proxy before them."""

    def __init__(self, work, serinus, run, services, fault=("", "")):
        self.work, self.serinus, self.run = work, serinus, run
        self.services, self.fault = services, fault
        self.processes = []
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.end()

    def start(self):
        upstreams = {}
        for service in self.services:
            for variant in ["stable", "canary"]:
                fault = self.fault[1] if (service, variant) == (self.fault[0], "canary") else ""
                upstreams[service, variant] = self.application(service, variant, fault)
        for (service, _), (port, _) in upstreams.items():
            scheme = "https" if service == "pages" else "http"
            url = f"{scheme}://127.0.0.1:{port}{USER_PATHS[service]}"
            wait_until(url, 60, lambda: reachable(url))
        self.port, self.admin = free_port(), free_port()
        config = self.run / "serinus.toml"
        config.write_text(self.configuration(upstreams))
        command = [self.serinus, "run", "--config", config]
        self.start_process("serinus", command, env={**SECRETS, "RUST_LOG": "info,serinus::probe=debug"})
        wait_until("serinus", 20, lambda: reachable(f"http://127.0.0.1:{self.admin}/ready"))

    def start_process(self, name, command, **options):
        self.processes.append(Process(name, command, self.run / f"{name}.log", **options))
        return self.processes[-1]

    def application(self, service, variant, fault):
        """Its port, and the file with its process id."""
        port, folder = free_port(), self.run / f"{service}-{variant}"
        folder.mkdir()
        name, pid_file = f"{service}-{variant}", folder / "pid"
        if service == "site":
            environment = {
                **os.environ,
                "SITE_FOLDER": str(folder),
                "SITE_PASSWORD": PASSWORD,
                "FAULT": fault,
                "PYTHONPATH": str(HERE / "site"),
                "DJANGO_SETTINGS_MODULE": "site_settings",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            python = self.work / "venv" / "bin"
            subprocess.run([python / "python", HERE / "site" / "create.py"], env=environment, check=True)
            command = [python / "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "4"]
            command += ["--pid", pid_file, "django.core.wsgi:get_wsgi_application()"]
            self.start_process(name, command, env=environment)
        elif service == "api":
            shutil.copy(HERE / "api" / "db.json", folder / "db.json")
            server = self.work / "api" / "node_modules" / "json-server" / "lib" / "cli" / "bin.js"
            command = ["node", server, folder / "db.json", "--quiet", "--host", "127.0.0.1"]
            command += ["--port", str(port), "--middlewares", HERE / "api" / "faults.js"]
            process = self.start_process(name, command, env={**os.environ, "FAULT": fault}, cwd=folder)
            pid_file.write_text(str(process.process.pid))
        else:
            root = folder / "root"
            shutil.copytree(self.work / "pages" / "node_modules" / "reveal.js", root)
            if fault == "element":
                page = root / "index.html"
                page.write_text(page.read_text().replace('class="slides"', 'class="sildes"'))
            text = (HERE / "pages" / "nginx.conf").read_text()
            make_certificate(folder, days=5 if fault == "certificate" else 90)
            for mark, value in [("RUN", folder), ("ROOT", root), ("PORT", port)]:
                text = text.replace(mark, str(value))
            (folder / "nginx.conf").write_text(text)
            process = self.start_process(name, ["nginx", "-p", folder, "-c", folder / "nginx.conf"])
            pid_file.write_text(str(process.process.pid))
        return port, pid_file

    def configuration(self, upstreams):
        text = f"""
[server]
state_dir = "state"
[admin]
listen = "127.0.0.1:{self.admin}"
[listener.web]
address = "127.0.0.1:{self.port}"
"""
        for service in self.services:
            (stable, stable_pid), (canary, canary_pid) = (
                upstreams[service, "stable"],
                upstreams[service, "canary"],
            )
            text += f"""
[route.{service}]
hosts = ["{service}.test"]
service = "{service}"
[service.{service}]
expose_variant_header = true
{self.tls(service)}
[service.{service}.stable]
version = "1"
endpoints = ["127.0.0.1:{stable}"]
[service.{service}.canary]
version = "2"
endpoints = ["127.0.0.1:{canary}"]
[service.{service}.rollout]
stages = [{{ weight = 0, hold = "1h" }}, {{ weight = 100, hold = "1h" }}]
sticky = "none"
[service.{service}.resources]
pid_file = {{ stable = "{stable_pid}", canary = "{canary_pid}" }}
interval = "5s"
"""
        for journey in JOURNEYS.values():
            if re.search(r'service = "(\w+)"', journey)[1] in self.services:
                text += "\n" + journey
        return text

    def tls(self, service):
        """How Serinus speaks with it: the pages have certificates that they have signed themselves."""
        if service != "pages":
            return ""
        pem = self.run / "pages.pem"
        parts = [self.run / f"pages-{variant}" / "cert.pem" for variant in ("stable", "canary")]
        pem.write_text("".join(part.read_text() for part in parts))
        return f'tls = {{ sni = "pages.test", ca = "{pem}" }}'

    def said(self, probe):
        """What a run of it against the canary says, without its times."""
        command = [self.serinus, "probe", probe, "--variant", "canary", "--config", self.run / "serinus.toml"]
        shown = subprocess.run(command, env=SECRETS, capture_output=True, text=True).stdout
        found = re.search(r"step \d+ `.*", shown)
        return found[0] if found else None

    def failures(self):
        """What failed runs said, from the log."""
        lines = [json.loads(line) for line in (self.run / "serinus.log").read_text().splitlines() if line[0] == "{"]
        said = [line for line in lines if line.get("target") == "serinus::probe"]
        return [f"{line['timestamp']} {line.get('variant')}: {line['message']}" for line in said]

    def status(self, service):
        return json.loads(get(f"http://127.0.0.1:{self.admin}/api/v1/services/{service}")[1])

    def runs(self):
        """How many runs ended how: {(probe, variant, result): number}."""
        text = get(f"http://127.0.0.1:{self.admin}/metrics")[1].decode()
        found = re.findall(
            r'serinus_probe_runs_total\{probe="([^"]+)",result="([^"]+)",variant="([^"]+)"\} (\d+)', text
        )
        return {(probe, variant, result): int(number) for probe, result, variant, number in found}


def reachable(url):
    try:
        get(url, 2)
        return True
    except OSError:
        return False


class Users:
    """Users of a service: five requests a second, each with the variant that answered it."""

    def __init__(self, lab, service):
        self.answers = {}
        self.over = threading.Event()
        url = f"http://127.0.0.1:{lab.port}{USER_PATHS[service]}"
        request = urllib.request.Request(url, headers={"host": f"{service}.test"})

        def go():
            while not self.over.wait(0.2):
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:
                        answer.read()
                        key = answer.headers.get("x-serinus-variant")
                except OSError as error:
                    key = f"failed: {error}"
                self.answers[key] = self.answers.get(key, 0) + 1

        self.thread = threading.Thread(target=go)
        self.thread.start()

    def end(self):
        self.over.set()
        self.thread.join()
        return self.answers


def stay_green(work, serinus, seconds):
    """All three journeys on both variants; every run has to end well."""
    with Lab(work, serinus, work / "run" / "green", SERVICES) as lab:
        users = [Users(lab, service) for service in SERVICES]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(5, max(0.0, end - time.monotonic())))
            bad = {key: number for key, number in lab.runs().items() if key[2] != "ok"}
            if bad:
                break
        answers = [user.end() for user in users]
        runs = lab.runs()
        statuses = [lab.status(service) for service in SERVICES]
    bad = {key: number for key, number in runs.items() if key[2] != "ok"}
    verdicts = {status["name"]: status["verdict"] for status in statuses}
    users = {}
    for answer in answers:
        for key, number in answer.items():
            users[key] = users.get(key, 0) + number
    good = not bad and set(users) <= {"stable"} and len(runs) == 2 * len(JOURNEYS)
    result = {
        "name": f"green for {seconds} s on both variants",
        "good": good,
        "runs": {" ".join(key): number for key, number in sorted(runs.items())},
        "users": users,
        "verdicts": verdicts,
    }
    return result if good else {**result, "failures": lab.failures()}


def catch(work, serinus, scenario):
    """One fault of the canary; caught once the release is held for it or taken back, by what has to catch it."""
    name, service, fault, with_users, patience, by, failing = scenario
    with Lab(work, serinus, work / "run" / fault, [service], (service, fault)) as lab:
        began = time.monotonic()
        users = Users(lab, service) if with_users else None

        def caught():
            status = lab.status(service)
            codes = [reason["code"] for reason in status["reasons"]]
            held = status["verdict"] in ("hold", "withdraw", "rollback")
            return status if held and ("anomaly" in codes or "resources" in codes) else None

        end = began + patience
        status = None
        while status is None and time.monotonic() < end:
            time.sleep(0.2)
            status = caught()
        took = time.monotonic() - began
        answers = users.end() if users else {}
        said = lab.said(failing[0]) if failing else None
        last = lab.status(service)
    reasons = [reason["text"] for reason in (status or last)["reasons"]]
    why = next((reason for reason in reasons if re.search(by, reason)), None)
    rightly = why is not None and (failing is None or re.search(failing[1], said or "") is not None)
    unexposed = set(answers) <= {"stable"} and float(str(last["weight"]).rstrip("%")) == 0
    result = {
        "name": name,
        "good": status is not None and rightly and unexposed,
        "caught_after_seconds": round(took, 1) if status else None,
        "verdict": status["verdict"] if status else None,
        "why": why or (reasons or [None])[0],
        "the_probe_says": said,
        "users": answers,
    }
    return result if result["good"] else {**result, "reasons": reasons}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--serinus", type=Path, required=True)
    arguments.add_argument("--green", type=int, default=60)
    arguments.add_argument("--record", type=Path)
    arguments.add_argument("--only", help="faults by their short names, with commas; `green` too")
    arguments = arguments.parse_args()
    work, serinus = arguments.work.resolve(), arguments.serinus.resolve()
    chosen = arguments.only.split(",") if arguments.only else None
    results = []

    def report(result):
        results.append(result)
        took = result.get("caught_after_seconds")
        after = f", after {took} s ({result['verdict']}): {result['why']}" if took else ""
        print(f"{'ok  ' if result['good'] else 'FAIL'} {result['name']}{after}", flush=True)
        if not result["good"]:
            print(json.dumps(result, indent=2), flush=True)

    lines = {name: journey.count("\n") for name, journey in JOURNEYS.items()}
    good = all(number <= MOST_LINES for number in lines.values())
    report({"name": f"journeys of at most {MOST_LINES} lines", "good": good, "lines": lines})
    if chosen is None or "green" in chosen:
        report(stay_green(work, serinus, arguments.green))
    for scenario in FAULTS:
        if chosen is None or scenario[2] in chosen:
            report(catch(work, serinus, scenario))
    if arguments.record:
        arguments.record.mkdir(parents=True, exist_ok=True)
        (arguments.record / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if all(result["good"] for result in results) else 1)


if __name__ == "__main__":
    main()
