"""The varnishtest cases in `cases/`: client and server scripted to the byte, the proxy between.

Each says what must be counted: `# refused: REASON NUMBER, ...` are requests that the proxy turned
away, with a line in the access log for each; `# carried: NUMBER` are answers and failures that count
for a variant. Nothing else may be.
"""

import pathlib
import re
import shutil
import subprocess

import lab

SLOW = 'header_timeout = "1s"\nkeepalive_timeout = "1s"\nlimits = { body_timeout = "1s", send_timeout = "2s" }'
LISTENERS = {
    "serinus": SLOW,
    "h2c": SLOW + "\nh2c = true",
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
    faults, failed = [], set()
    with lab.Proxy(folder, listeners, routes, '[service.any.timeouts]\nread = "2s"\n') as proxy:
        for case in cases:
            command = [tool, "-t", "60", "-D", f"upstream=127.0.0.1:{upstream}"]
            for name, port in ports.items():
                command += ["-D", f"{name}=127.0.0.1:{port}"]
            before = Count(proxy)
            run = subprocess.run([*command, str(case)], capture_output=True, text=True, timeout=120, check=False)
            (folder / f"{case.stem}.txt").write_text(run.stdout + run.stderr)
            wrong = last_words(run.stdout) if run.returncode else uncounted(proxy, before, case.read_text())
            if wrong:
                failed.add(case)
                faults.append(f"{case.name}: {wrong}")
        faults += proxy.panics()
    return f"{len(cases) - len(failed)} of {len(cases)} varnishtest cases pass, what they refuse is logged and counted", faults


class Count:
    """What the proxy has counted and logged so far."""

    def __init__(self, proxy):
        self.refused = proxy.rejections()
        self.carried = int(proxy.counted("serinus_requests_total"))
        logged = [line["rejected"] for line in proxy.access() if line.get("rejected")]
        self.logged = {reason: logged.count(reason) for reason in set(logged)}

    def since(self, before):
        def more(now, then):
            return {reason: count - then.get(reason, 0) for reason, count in now.items() if count > then.get(reason, 0)}

        refused, logged = more(self.refused, before.refused), more(self.logged, before.logged)
        return {"refused": refused, "logged": logged, "carried": self.carried - before.carried}


def uncounted(proxy, before, text):
    """What differs from what a case says must be counted; nothing where nothing does."""
    refused = re.search(r"^# refused: (.+)$", text, re.M)
    carried = re.search(r"^# carried: (\d+)$", text, re.M)
    pairs = (pair.split() for pair in refused[1].split(", ")) if refused else ()
    refused = {reason: int(count) for reason, count in pairs}
    owed = {"refused": refused, "logged": refused, "carried": int(carried[1]) if carried else 0}
    found = {}

    def holds():
        found.update(Count(proxy).since(before))
        return found == owed

    try:
        lab.until("counted", holds)
    except TimeoutError:
        return f"counted {found}, owed {owed}"
    return None


def last_words(output):
    lines = [line for line in output.splitlines() if re.match(r"^(----|\*\*\*\*)? ?\S+ +.*(FAIL|EXPECT|failed|Expect)", line)]
    return " / ".join(lines[-3:]) or output[-300:]
