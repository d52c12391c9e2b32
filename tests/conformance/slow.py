"""slowhttptest in its four modes, while another client is served all along."""

import pathlib
import shutil
import subprocess
import threading
import time

import lab
import side_by_side

# Seconds of each mode.
LENGTH = 15
MODES = {
    "slow headers": ["-H", "-i", "2", "-x", "24"],
    "slow body": ["-B", "-i", "2", "-s", "8192", "-x", "10"],
    "ranges": ["-R", "-a", "5", "-b", "3000"],
    "slow read": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"],
}


class Visitor(threading.Thread):
    """Asks again and again, and notes what did not come back as it must."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.served, self.failed, self.longest, self.over = port, 0, [], 0.0, False

    def run(self):
        request = b"GET / HTTP/1.1\r\nHost: visitor.test\r\nConnection: close\r\n\r\n"
        while not self.over:
            began = time.monotonic()
            answer = lab.exchange(self.port, request, wait=10)
            self.longest = max(self.longest, time.monotonic() - began)
            if answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"ok\n"):
                self.served += 1
            else:
                self.failed.append(answer[:60])
            time.sleep(0.05)


def run(out):
    tool = shutil.which("slowhttptest")
    if not tool:
        return "slowhttptest is not installed: left out", []
    folder = pathlib.Path(out)
    # Longer than sockets buffer, so that a client that reads slowly is one.
    large = side_by_side.Recorder(b"x" * 4_000_000)
    # The visitor has an upstream that the slow ones do not keep busy.
    small = side_by_side.Recorder()
    port = lab.free_port()
    faults, told = [], []
    timeouts = 'header_timeout = "3s"\nlimits = { body_timeout = "3s", send_timeout = "3s" }'
    with lab.Proxy(folder, {"web": (port, timeouts)}, {"any": (large.port, ""), "visitor.test": (small.port, "")}) as proxy:
        before = proxy.descriptors()
        for mode, arguments in MODES.items():
            visitor = Visitor(port)
            visitor.start()
            command = [tool, *arguments, "-c", "400", "-r", "100", "-l", str(LENGTH), "-p", "3", "-u", f"http://127.0.0.1:{port}/"]
            with open(folder / f"{mode.replace(' ', '-')}.txt", "wb") as log:
                subprocess.run(command, stdout=log, stderr=log, timeout=LENGTH + 60, check=False)
            visitor.over = True
            visitor.join(10)
            told.append(f"{mode}: {visitor.served} served, slowest {visitor.longest * 1000:.0f} ms")
            if visitor.failed or not visitor.served:
                faults.append(f"{mode}: {len(visitor.failed)} of {visitor.served + len(visitor.failed)} visits failed: {visitor.failed[:3]}")
        # Slow clients were let go, and nothing of them is kept.
        lab.until("descriptors are back", lambda: proxy.descriptors() <= before + 20)
        reasons = proxy.rejections()
        faults += proxy.panics()
    told.append(f"refused: {reasons}")
    (folder / "slow.md").write_text("\n".join(told) + "\n")
    return "; ".join(told), faults
