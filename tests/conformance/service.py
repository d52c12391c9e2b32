"""The systemd unit in `config/deploy` under a real systemd, which is process 1 of namespaces of its own.

Needs root, cgroups v2 somewhere, and a kernel that lets us make namespaces and overlays: a machine or a
virtual one, seldom a container. Nothing of the machine is changed or started: see `service/boot.sh`.
What is looked at is in `service/inside.py`, which runs in there.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess

import lab

SYSTEMD = "/lib/systemd/systemd"
NAMESPACES = ["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net"]
TOOLS = ["unshare", "nsenter", "pivot_root", "ip", "systemctl", "systemd-analyze", "journalctl"]
DEPLOY = lab.ROOT / "config/deploy"


def run(out):
    folder = pathlib.Path(out)
    lacking = [tool for tool in TOOLS if not shutil.which(tool)] + [SYSTEMD] * (not os.path.exists(SYSTEMD))
    if lacking:
        return f"{', '.join(lacking)} not installed: left out", []
    with contextlib.ExitStack() as stack:
        try:
            systemd = stack.enter_context(Systemd(folder))
        except (OSError, RuntimeError, TimeoutError) as error:
            return f"systemd cannot be started here ({error}): left out", []
        checks = lab.Checks()
        script = (lab.HERE / "service/inside.py").read_text()
        # Of the system, since in there only the root file system is seen.
        inside = subprocess.run(
            systemd.enter("/usr/bin/python3", "-c", script), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
        )
        for line in inside.stdout.splitlines():
            checks.expect(*json.loads(line))
        if inside.returncode:
            checks.expect("the suite comes to its end", False, inside.stderr[-1000:])
        journal = subprocess.run(systemd.enter("journalctl", "--no-pager", "-u", "serinus*"), capture_output=True, check=False)
        (folder / "journal.log").write_bytes(journal.stdout)
        version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout.splitlines()[0]
    checks.told.insert(0, version)
    checks.report(folder / "service.md")
    held = len(checks.told) - 1 - len(checks.faults)
    return f"{version.split(' (')[0]}: {held} of {len(checks.told) - 1} hold", checks.faults


class Systemd:
    """systemd as process 1, until the suite ends."""

    def __init__(self, folder):
        self.cgroup = cgroup2() / f"serinus-suite-{os.getpid()}"
        for name in ("mount", "units", "keys"):
            (folder / name).mkdir()
        for unit in ("serinus.service", "serinus.socket"):
            shutil.copy(DEPLOY / unit, folder / "units" / unit)
        for file in ("shop.pem", "shop.key"):
            shutil.copy(lab.KEYS / file, folder / "keys" / file)
        self.cgroup.mkdir()
        self.log = folder / "systemd.log"
        # In a cgroup of its own, which is the root of its namespace.
        join = f'echo $$ > "{self.cgroup}/cgroup.procs" && exec "$0" "$@"'
        boot = ["bash", str(lab.HERE / "service/boot.sh"), str(folder), lab.serinus()]
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(["bash", "-c", join, "unshare", *NAMESPACES, "--fork", "--kill-child", *boot], stdout=log, stderr=log)
        try:
            lab.until("systemd runs", lambda: self.child.poll() is not None or self.runs())
            if self.child.poll() is not None:
                raise RuntimeError(self.log.read_text(errors="replace").strip().splitlines()[-1:] or "it ended")
        except BaseException:
            self.__exit__()
            raise

    def first(self):
        """Process 1, by the id that it has out here."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return children[0] if children else None

    def runs(self):
        first = self.first()
        if not first or pathlib.Path(f"/proc/{first}/comm").read_text().strip() != "systemd":
            return False
        asked = subprocess.run(self.enter("systemctl", "is-active", "suite.target"), capture_output=True, text=True, check=False)
        return asked.stdout.strip() == "active"

    def enter(self, *command):
        return ["nsenter", "--target", self.first(), "--all", "--", *command]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # With the first process of a namespace every other one ends.
        with contextlib.suppress(OSError, TypeError):
            os.kill(int(self.first()), signal.SIGKILL)
        self.child.kill()
        self.child.wait()
        lab.until("nobody is left", lambda: "populated 0" in (self.cgroup / "cgroup.events").read_text())
        for place, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(place)


def cgroup2():
    """Where cgroups v2 are mounted."""
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(place)
    raise OSError("no cgroups v2")
