#!/usr/bin/env python3
"""Five hundred journeys a second on one core, beside live traffic: what users feel of it, and how late rounds begin.

    many.py --serinus BINARY [--probes 500] [--rate 200] [--span 30] [--pairs 4] [--record FOLDER]

One proxy pinned to the first core; upstreams (nginx) and users on the others. In turns it has no probes and all of them
(SIGHUP), so that whatever else the machine does meets both alike. Users are open-loop: latency counts from when a request
was due. Each probe is one GET every second against both variants; users are all on stable. Takes five minutes.

On two cores nginx answers a thousand requests a second more beside the users' own program, which slows users by itself. So
as many users ask nginx without the proxy at the same time: what probes cost them is not the proxy's doing.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{stable} backlog=4096; listen 127.0.0.1:{canary} backlog=4096;
           location / {{ default_type application/json; return 200 '{{"ok": true, "items": [1, 2, 3]}}'; }} }}
}}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def configuration(ports, probes):
    text = f"""
[server]
state_dir = "state"
threads = 1
[admin]
listen = "127.0.0.1:{ports["admin"]}"
[listener.web]
address = "127.0.0.1:{ports["web"]}"
[route.all]
service = "shop"
[service.shop.stable]
version = "1"
endpoints = ["127.0.0.1:{ports["stable"]}"]
[service.shop.canary]
version = "2"
endpoints = ["127.0.0.1:{ports["canary"]}"]
[service.shop.rollout]
stages = [{{ weight = 0, hold = "10h" }}, {{ weight = 100, hold = "10h" }}]
sticky = "none"
"""
    for number in range(probes):
        text += f"""
[probe.p{number}]
service = "shop"
interval = "1s"
[[probe.p{number}.step]]
get = "/item/{number}"
expect = {{ status = 200, json = [{{ path = "$.ok", equals = true }}] }}
"""
    return text


async def users(port, rate, span):
    """Latencies in milliseconds, each from when its request was due."""
    request = b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n"
    idle, latencies, failures = [], [], [0]

    async def ask(due):
        connection = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        reader, writer = connection
        try:
            writer.write(request)
            header = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", header)[1])
            await reader.readexactly(length)
            latencies.append((time.perf_counter() - due) * 1e3)
            if not header.startswith(b"HTTP/1.1 200"):
                failures[0] += 1
            idle.append(connection)
        except (OSError, asyncio.IncompleteReadError):
            failures[0] += 1

    began, tasks = time.perf_counter(), []
    for number in range(int(rate * span)):
        due = began + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(ask(due)))
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    return latencies, failures[0]


async def both(ports, rate, span):
    """What users of the proxy and users of nginx itself see at the same time."""
    paths = {"proxy": ports["web"], "direct": ports["stable"]}
    took = await asyncio.gather(*(users(port, rate, span) for port in paths.values()))
    return dict(zip(paths, took))


def quantiles(latencies):
    return {f"p{q * 100:g}_ms": round(quantile(latencies, q), 3) for q in (0.5, 0.9, 0.99)}


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def metrics(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    lag = {}
    for bound, number in re.findall(r'serinus_probe_lag_seconds_bucket\{le="([^"]+)"\} (\d+)', text):
        lag[float(bound.replace("+Inf", "inf"))] = int(number)
    runs = sum(int(n) for n in re.findall(r"serinus_probe_runs_total\{[^}]*\} (\d+)", text))
    good = sum(int(n) for n in re.findall(r'serinus_probe_runs_total\{[^}]*result="ok"[^}]*\} (\d+)', text))
    left = {
        reason: sum(
            int(n)
            for n in re.findall(
                rf'serinus_probe_rounds_left_out_total\{{[^}}]*reason="{reason}"[^}}]*\}} (\d+)', text
            )
        )
        for reason in ("overrun", "crowded")
    }
    return lag, runs, good, left


def cpu_seconds(stat):
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def thread_of_probes(pid):
    """Its stat file: all that probes do is done on one thread."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "probes":
            return task / "stat"
    raise SystemExit("there is no thread of probes")


def summary(spans):
    """The median over the spans of either kind, and the worst lag."""
    of = lambda name, key, path=None: statistics.median((span[path] if path else span)[key] for span in spans[name])
    lags = [span["lag_p99_at_most_ms"] for span in spans["with"]]
    return {
        **{
            path: {key: {name: of(name, key, path) for name in spans} for key in ("p50_ms", "p99_ms")}
            | {"p99_ms_without_from_to": [f(span[path]["p99_ms"] for span in spans["without"]) for f in (min, max)]}
            for path in ("proxy", "direct")
        },
        "cpu_us_per_run": of("with", "cpu_us_per_run"),
        "lag_p99_at_most_ms": None if None in lags else max(lags),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--serinus", type=Path, required=True)
    arguments.add_argument("--probes", type=int, default=500)
    arguments.add_argument("--rate", type=float, default=200.0)
    arguments.add_argument("--span", type=float, default=30.0)
    arguments.add_argument("--pairs", type=int, default=4)
    arguments.add_argument("--record", type=Path)
    arguments = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="serinus-many-"))
    ports = {name: free_port() for name in ("web", "admin", "stable", "canary")}
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, **ports))
    config = folder / "serinus.toml"
    config.write_text(configuration(ports, 0))
    others = ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[1:]) or "0"
    os.sched_setaffinity(0, {int(core) for core in others.split(",")})
    processes = []
    try:
        nginx = ["taskset", "-c", others, "nginx", "-c", folder / "nginx.conf", "-p", folder]
        processes.append(subprocess.Popen(nginx, stderr=subprocess.DEVNULL))
        command = ["taskset", "-c", "0", arguments.serinus.resolve(), "run", "--config", config]
        log = open(folder / "serinus.log", "wb")
        serinus = subprocess.Popen(command, stderr=log, stdout=log, cwd=folder)
        processes.append(serinus)
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{ports['admin']}/ready", timeout=1)
                break
            except OSError:
                time.sleep(0.05)
        stats = [Path(f"/proc/{serinus.pid}/stat"), thread_of_probes(serinus.pid)]
        spans = {"without": [], "with": []}
        asyncio.run(users(ports["web"], arguments.rate, 5))  # warm
        for pair in range(arguments.pairs):
            for name in ("without", "with") if pair % 2 == 0 else ("with", "without"):
                config.write_text(configuration(ports, arguments.probes if name == "with" else 0))
                serinus.send_signal(signal.SIGHUP)
                time.sleep(3)
                lag_before, runs_before, _, left_before = metrics(ports["admin"])
                used = [cpu_seconds(stat) for stat in stats]
                took = asyncio.run(both(ports, arguments.rate, arguments.span))
                used = [cpu_seconds(stat) - before for stat, before in zip(stats, used)]
                lag, runs, good, left = metrics(ports["admin"])
                began = {bound: lag[bound] - lag_before.get(bound, 0) for bound in lag}
                rounds = began.get(float("inf"), 0)
                within = next((b for b in sorted(began) if rounds and began[b] >= 0.99 * rounds), None)
                spans[name].append(
                    {
                        **{path: quantiles(latencies) for path, (latencies, _) in took.items()},
                        "requests": len(took["proxy"][0]),
                        "failures": sum(failures for _, failures in took.values()),
                        "cpu_cores": round(used[0] / arguments.span, 3),
                        "cpu_cores_of_probes": round(used[1] / arguments.span, 3),
                        "cpu_us_per_run": round(used[1] / max(1, runs - runs_before) * 1e6, 1),
                        "rounds": rounds,
                        "runs": runs - runs_before,
                        "left_out": {k: left[k] - left_before[k] for k in left},
                        "lag_p99_at_most_ms": None if within is None else within * 1e3,
                    }
                )
                print(name, json.dumps(spans[name][-1]), flush=True)
        _, runs, good, _ = metrics(ports["admin"])
        result = {
            "probes": arguments.probes,
            "users_per_second": arguments.rate,
            "summary": summary(spans),
            "spans": spans,
            "runs": runs,
            "runs_ok": good,
        }
        print(json.dumps(result["summary"], indent=2), flush=True)
        if arguments.record:
            arguments.record.mkdir(parents=True, exist_ok=True)
            (arguments.record / "many.json").write_text(json.dumps(result, indent=2) + "\n")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
    bad = runs != good or any(span["failures"] for name in spans for span in spans[name])
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
