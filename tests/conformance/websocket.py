"""kosoku's WebSocket cases against an echo server, directly and through the proxy: the same.

A case that fails directly, by the echo server's own slowness on a busy machine, and not through the proxy says nothing
against the proxy: it is told and not held against it.
"""

import json
import pathlib
import subprocess
import sys

import lab

# Limits and performance (9.*) measure the echo server; the rest is the protocol.
CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.*"]
ECHO = """
import asyncio, sys, websockets
async def echo(connection):
    async for message in connection:
        await connection.send(message)
async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.Future()
asyncio.run(main())
"""


def verdicts(folder, port):
    """Case by case, what kosoku says of a server."""
    command = [str(pathlib.Path(sys.executable).parent / "kosoku"), "-m", "fuzzingclient", "-o", str(folder)]
    for case in CASES:
        command += ["-i", case]
    with open(folder.parent / f"{folder.name}.log", "wb") as log:
        subprocess.run([*command, f"127.0.0.1:{port}"], stdout=log, stderr=log, timeout=1200, check=False)
    found = {}
    for index in folder.rglob("index.json"):
        for cases in json.loads(index.read_text()).values():
            found |= {case: (like(row["behavior"]), like(row["behaviorClose"])) for case, row in cases.items()}
    return found


def like(verdict):
    """Whether the echo of a message is still sent when the next frame is a violation depends on
    whether both arrive at once, which is nobody's fault: kosoku lets both pass."""
    return "OK" if verdict == "NON-STRICT" else verdict


def run(out):
    try:
        import kosoku  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as missing:
        return f"{missing.name} is not installed: left out", []
    folder = pathlib.Path(out)
    (folder / "echo.py").write_text(ECHO)
    echo, web = lab.free_port(), lab.free_port()
    with (
        lab.Process("echo", [sys.executable, str(folder / "echo.py"), str(echo)], folder, echo),
        lab.Proxy(folder, {"web": (web, "")}, {"any": (echo, "")}) as proxy,
    ):
        (folder / "direct").mkdir()
        (folder / "proxied").mkdir()
        direct = verdicts(folder / "direct", echo)
        proxied = verdicts(folder / "proxied", web)
        faults = proxy.panics()
    if not direct:
        faults.append("kosoku ran no case")
    differ = {case: (direct[case], proxied.get(case)) for case in direct if proxied.get(case) != direct[case]}
    slow = [case for case, (was, now) in differ.items() if was[0] == "FAILED" and now and now[0] == "OK"]
    for case in slow:
        del differ[case]
    faults += [f"case {case}: direct {was}, through the proxy {now}" for case, (was, now) in differ.items()]
    (folder / "websocket.json").write_text(json.dumps({"direct": direct, "differ": differ, "only_direct_failed": slow}, indent=1))
    passed = sum(1 for verdict in proxied.values() if verdict[0] in ("OK", "INFORMATIONAL"))
    told = f", {len(slow)} failed only directly" if slow else ""
    return f"{len(direct)} WebSocket cases, {passed} pass through the proxy, {len(differ)} differ from direct{told}", faults
