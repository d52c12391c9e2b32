"""Runs the suites and keeps their output: run.py OUTPUT [SUITE ...]."""

import importlib
import pathlib
import sys
import tempfile
import time

SUITES = ["varnish", "side_by_side", "mutate", "tls", "websocket", "slow"]


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
        line = f"{'FAILED' if faults else 'ok'}  {name}: {summary} ({time.monotonic() - began:.0f} s)"
        lines.append(line)
        print(line, flush=True)
        for fault in faults[:20]:
            lines.append(f"    {fault}")
            print(f"    {fault}", flush=True)
    (out / "summary.txt").write_text("\n".join(lines) + "\n")
    sys.exit(1 if failed else 0)


def keep(folder, out, suite):
    """Results, not the logs of hundreds of thousands of requests."""
    for file in folder.rglob("*"):
        wanted = file.suffix in (".md", ".txt") or file.name in ("mutated.json", "websocket.json")
        if file.is_file() and wanted and file.stat().st_size < 200_000 and suite != "varnish":
            (out / f"{suite}-{file.name}").write_bytes(file.read_bytes())


main()
