#!/usr/bin/env python3
"""What a kept connection that nobody uses costs: Serinus, nginx and HAProxy beside each other.

    connections.py --serinus BINARY [--connections 10000] [--record FOLDER]

Each proxy has one worker, the same upstream (nginx, 128 bytes) and a kept-connection timeout that does not end here. It is
warmed with requests over connections that close, then measured (resident and proportional set of the process and its
children), then gets all connections, one answered request over each; measured again when all are idle; then every connection is
asked once more, so that none of them was closed. Once over plain HTTP/1.1, once over TLS 1.3.

What the kernel keeps for a socket is not in these figures; it is the same for all.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AT_A_TIME = 64

UPSTREAM = """
daemon off;
worker_processes 1;
pid {folder}/upstream.pid;
error_log {folder}/upstream.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{upstream} backlog=4096; location / {{ return 200 '{body}'; }} }}
}}
"""

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 100000;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 50000; }}
http {{
  access_log off;
  keepalive_timeout 3600s;
  client_body_temp_path {folder}/f; proxy_temp_path {folder}/g; fastcgi_temp_path {folder}/h;
  uwsgi_temp_path {folder}/i; scgi_temp_path {folder}/j;
  upstream pool {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {folder}/both.pem; ssl_certificate_key {folder}/both.pem;
    ssl_protocols TLSv1.3;
    location / {{ proxy_pass http://pool; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn 12000
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 30s
  timeout http-keep-alive 3600s
  http-reuse always
frontend web
  bind 127.0.0.1:{plain} backlog 4096
  bind 127.0.0.1:{tls} ssl crt {folder}/both.pem alpn http/1.1 ssl-min-ver TLSv1.3 backlog 4096
  default_backend pool
backend pool
  server one 127.0.0.1:{upstream}
"""

SERINUS = """
[server]
state_dir = "state"
threads = 1
[admin]
listen = "127.0.0.1:{admin}"
[listener.plain]
address = "127.0.0.1:{plain}"
keepalive_timeout = "1h"
[listener.tls]
address = "127.0.0.1:{tls}"
keepalive_timeout = "1h"
[[listener.tls.certificate]]
cert = "both.pem"
key = "both.pem"
[listener.tls.tls]
min_version = "1.3"
alpn = ["http/1.1"]
[route.all]
service = "shop"
[service.shop.stable]
endpoints = ["127.0.0.1:{upstream}"]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def family(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [each for child in children for each in family(int(child))]


def memory(pid):
    """KiB: resident, proportional, and what is private and anonymous."""
    total = {"rss": 0, "pss": 0, "anonymous": 0}
    for each in family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            for key, name in (("rss", "Rss:"), ("pss", "Pss:"), ("anonymous", "Anonymous:")):
                if line.startswith(name):
                    total[key] += int(line.split()[1])
    return total


def settled(pid):
    """Once it changes no more."""
    before = memory(pid)
    for _ in range(20):
        time.sleep(0.5)
        now = memory(pid)
        if now == before:
            break
        before = now
    return now


async def wait_for(port):
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise SystemExit(f"nothing listens at port {port}")


async def ask(reader, writer):
    writer.write(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    lines = [line.split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line]
    fields = {name.lower(): value.strip() for name, value in lines}
    await asyncio.wait_for(reader.readexactly(int(fields[b"content-length"])), 30)
    if not head.startswith(b"HTTP/1.1 200") or fields.get(b"connection") == b"close":
        raise SystemExit(f"not what was asked for: {head!r}")


async def many(count, work):
    """`work(number)` for every number, some at a time."""
    numbers = iter(range(count))

    async def one():
        for number in numbers:
            await work(number)

    await asyncio.gather(*(one() for _ in range(AT_A_TIME)))


async def measure(pid, port, context, count):
    async def connect():
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=4096)

    async def warm(_):
        reader, writer = await connect()
        await ask(reader, writer)
        writer.close()

    await many(1000, warm)
    before = settled(pid)
    kept = [None] * count

    async def hold(number):
        kept[number] = await connect()
        await ask(*kept[number])

    began = time.perf_counter()
    await many(count, hold)
    took = time.perf_counter() - began
    idle = settled(pid)

    async def again(number):
        await ask(*kept[number])

    await many(count, again)
    used = settled(pid)
    for _, writer in kept:
        writer.transport.abort()
    await asyncio.sleep(1)
    after = settled(pid)
    each = {key: round((idle[key] - before[key]) / count, 2) for key in before}
    return {
        "connections": count,
        "seconds_to_open": round(took, 1),
        "kib_each": each,
        "kib_before": before,
        "kib_idle": idle,
        "kib_idle_after_second_request": used,
        "kib_after_all_closed": after,
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--serinus", type=Path, required=True)
    arguments.add_argument("--connections", type=int, default=10_000)
    arguments.add_argument("--record", type=Path)
    arguments.add_argument("--only", action="append")
    arguments = arguments.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    binary = str(arguments.serinus.resolve())
    folder = Path(tempfile.mkdtemp(prefix="serinus-idle-"))
    names = ("upstream", "plain", "tls", "admin")
    result = {"soft_limit_of_open_files_at_start": soft, "proxies": {}}
    processes = []
    try:
        certificate = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        certificate += ["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=shop.test"]
        subprocess.run(certificate, cwd=folder, check=True, capture_output=True)
        both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
        (folder / "both.pem").write_text(both)
        context = ssl.create_default_context(cafile=folder / "cert.pem")
        context.check_hostname = False
        port = free_port()
        (folder / "upstream.conf").write_text(UPSTREAM.format(folder=folder, upstream=port, body="x" * 128))
        command = ["nginx", "-c", folder / "upstream.conf", "-p", folder]
        processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        proxies = {
            "nginx": (NGINX, ["nginx", "-p", folder, "-c"]),
            "haproxy": (HAPROXY, ["haproxy", "-db", "-f"]),
            # With the limit that a shell gives: the product raises it by itself.
            "serinus": (SERINUS, ["prlimit", f"--nofile=1024:{hard}", binary, "run", "--config"]),
        }
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for name, (text, command) in proxies.items():
            if arguments.only and name not in arguments.only:
                continue
            ports = {each: free_port() for each in names} | {"upstream": port}
            file = folder / f"{name}.conf"
            file.write_text(text.format(folder=folder, **ports))
            log = open(folder / f"{name}.out", "wb")
            process = subprocess.Popen([*command, file], cwd=folder, stdout=log, stderr=log)
            processes.append(process)
            result["proxies"][name] = {}
            for kind in ("plain", "tls"):
                asyncio.run(wait_for(ports[kind]))
                tls = context if kind == "tls" else None
                measured = asyncio.run(measure(process.pid, ports[kind], tls, arguments.connections))
                result["proxies"][name][kind] = measured
                print(name, kind, json.dumps(measured), flush=True)
            processes.remove(process)
            process.terminate()
            process.wait(60)
        for version in (["nginx", "-v"], ["haproxy", "-v"], [binary, "--version"]):
            output = subprocess.run(version, capture_output=True, text=True)
            result.setdefault("versions", []).append((output.stdout + output.stderr).splitlines()[0])
        if arguments.record:
            arguments.record.mkdir(parents=True, exist_ok=True)
            (arguments.record / "connections.json").write_text(json.dumps(result, indent=2) + "\n")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
