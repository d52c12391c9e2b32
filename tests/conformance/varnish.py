"""The varnishtest cases in `cases/`: client and server scripted to the byte, the proxy between."""

import pathlib
import re
import shutil
import subprocess

import lab

LISTENERS = {
    "serinus": 'header_timeout = "1s"\nkeepalive_timeout = "1s"\nlimits = { body_timeout = "1s", send_timeout = "2s" }',
    "strict": 'screening = { paths = "reject", underscores = "reject" }',
    "lenient": 'screening = { paths = "pass", encoded_slashes = true, underscores = "pass" }',
    "fronted": 'identity = { trusted_proxies = ["127.0.0.0/8"], proxy_protocol = true, request_id = true }',
    "behind": 'identity = { trusted_proxies = ["127.0.0.0/8"], request_id = true, trace_context = true }',
}


def run(out):
    tool = shutil.which("varnishtest")
    if not tool:
        return "varnishtest is not installed: left out", []
    folder = pathlib.Path(out)
    upstream = lab.free_port()
    ports = {name: lab.free_port() for name in LISTENERS}
    listeners = {name: (ports[name], keys) for name, keys in LISTENERS.items()}
    cases = sorted((lab.HERE / "cases").glob("*.vtc"))
    limited = 'limits = { body = "10B", rate = [{ requests = 2, per = "1h", by = { header = "x-key" } }] }'
    routes = {"any": (upstream, ""), "limited.test": (upstream, limited)}
    faults = []
    with lab.Proxy(folder, listeners, routes, '[service.any.timeouts]\nread = "2s"\n') as proxy:
        for case in cases:
            command = [tool, "-t", "60", "-D", f"upstream=127.0.0.1:{upstream}"]
            for name, port in ports.items():
                command += ["-D", f"{name}=127.0.0.1:{port}"]
            run = subprocess.run([*command, str(case)], capture_output=True, text=True, timeout=120, check=False)
            (folder / f"{case.stem}.txt").write_text(run.stdout + run.stderr)
            if run.returncode:
                faults.append(f"{case.name}: {last_words(run.stdout)}")
        faults += proxy.panics()
    passed = len(cases) - len([fault for fault in faults if ".vtc" in fault])
    return f"{passed} of {len(cases)} varnishtest cases pass", faults


def last_words(output):
    lines = [line for line in output.splitlines() if re.match(r"^(----|\*\*\*\*)? ?\S+ +.*(FAIL|EXPECT|failed|Expect)", line)]
    return " / ".join(lines[-3:]) or output[-300:]
