"""Runs the suites and keeps their output: run.py OUTPUT [SUITE ...]."""

import contextlib
import importlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import lab

SUITES = ["varnish", "side_by_side", "mutate", "tls", "websocket", "slow", "streams", "calls", "service"]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    lines, failed = [], False
    for name in sys.argv[2:] or SUITES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            summary, faults = importlib.import_module(name).run(folder)
            keep(pathlib.Path(folder), out, name)
        failed |= bool(faults)
        verdict = "FAILED" if faults else "left out" if summary.endswith("left out") else "ok"
        line = f"{verdict}  {name}: {summary} ({time.monotonic() - began:.0f} s)"
        lines.append(line)
        print(line, flush=True)
        for fault in faults[:20]:
            lines.append(f"    {fault}")
            print(f"    {fault}", flush=True)
    (out / "summary.txt").write_text("\n".join([*machine(), "", *lines]) + "\n")
    sys.exit(1 if failed else 0)


def machine():
    """What it ran on and with."""
    commands = {
        "machine": ["uname", "-srm"],
        "serinus": [lab.serinus(), "--version"],
        "nginx": ["nginx", "-v"],
        "haproxy": ["haproxy", "-v"],
        "node": ["node", "--version"],
        "python": [sys.executable, "--version"],
        "packages": [sys.executable, "-m", "pip", "freeze"],
    }
    lines = []
    for name, command in commands.items():
        with contextlib.suppress(OSError):
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            said = (run.stdout or run.stderr).splitlines()
            if name == "packages":
                said = [", ".join(line for line in said if line.startswith(("grpcio", "kosoku", "sslyze", "websockets")))]
            lines.append(f"{name}: {said[0] if said else '?'}")
    profile = pathlib.Path(lab.serinus()).parent.name
    return [*lines, f"profile: {profile}"]


def keep(folder, out, suite):
    """Results, not the logs of hundreds of thousands of requests."""
    for file in folder.rglob("*"):
        wanted = file.suffix in (".md", ".txt") or file.name in ("mutated.json", "websocket.json")
        if file.is_file() and wanted and file.stat().st_size < 200_000 and suite != "varnish":
            text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", file.read_bytes())  # without colours
            (out / f"{suite}-{file.name}").write_bytes(text)


main()
