"""sslyze on a TLS listener, and floods over HTTP/2 frame by frame."""

import contextlib
import json
import pathlib
import struct
import subprocess
import sys

import frames
import lab
import side_by_side

# Everything but the certificate, which is the test's own.
SCANS = [
    "--mozilla_config=disable", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--heartbleed",
    "--openssl_ccs", "--robot", "--compression", "--reneg", "--early_data",
]  # fmt: skip


def sslyze(folder, port):
    tool = pathlib.Path(sys.executable).parent / "sslyze"
    if not tool.exists():
        return "sslyze is not installed: left out", []
    report = folder / "sslyze.json"
    with open(folder / "sslyze.txt", "wb") as log:
        command = [str(tool), f"127.0.0.1:{port}", "--json_out", str(report), "--sni", "shop.test", *SCANS]
        subprocess.run(command, stdout=log, stderr=log, timeout=300, check=False)
    result = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    faults = []

    def value(name):
        scan = result.get(name) or {}
        if scan.get("status") != "COMPLETED":
            faults.append(f"{name}: {scan.get('status')}")
        return scan.get("result") or {}

    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        if value(f"{old}_cipher_suites").get("accepted_cipher_suites"):
            faults.append(f"{old} is accepted")
    if value("heartbleed").get("is_vulnerable_to_heartbleed"):
        faults.append("heartbleed")
    if value("openssl_ccs_injection").get("is_vulnerable_to_ccs_injection"):
        faults.append("CCS injection")
    if "NOT_VULNERABLE" not in str(value("robot").get("robot_result")):
        faults.append(f"ROBOT: {value('robot')}")
    if value("tls_compression").get("supports_compression"):
        faults.append("TLS compression")
    if value("session_renegotiation").get("is_vulnerable_to_client_renegotiation_dos"):
        faults.append("client renegotiation")
    if value("tls_1_3_early_data").get("supports_early_data"):
        faults.append("early data is accepted")
    weak = [
        suite["cipher_suite"]["name"]
        for version in ("tls_1_2", "tls_1_3")
        for suite in value(f"{version}_cipher_suites").get("accepted_cipher_suites", [])
        if any(word in suite["cipher_suite"]["name"] for word in ("CBC", "RC4", "3DES", "NULL", "EXPORT", "RSA_WITH_AES"))
    ]
    faults += [f"weak suite {suite}" for suite in weak if "ECDHE" not in suite or "CBC" in suite]
    return f"sslyze: {len(faults)} findings", faults


def flooded(port, pieces):
    """How the proxy ended the connection: the error of its GOAWAY, or none."""
    client = frames.Client(port)
    # It may be closed before all is sent.
    with contextlib.suppress(OSError):
        for piece in pieces:
            client.send(piece)
    codes = [int.from_bytes(payload[4:8]) for kind, _, _, payload in client.frames() if kind == frames.GOAWAY]
    return codes[-1] if codes else None


def floods(port):
    block = frames.header()
    begin = frames.frame(frames.HEADERS, frames.END_STREAM, 1, block)
    cancel = struct.pack(">I", frames.CANCEL)
    whole = frames.END_STREAM | frames.END_HEADERS
    rapid = [
        frames.frame(frames.HEADERS, whole, stream, block) + frames.frame(frames.RST_STREAM, 0, stream, cancel)
        for stream in range(1, 40_000, 2)
    ]
    more = frames.frame(frames.CONTINUATION, 0, 1, frames.field("a", "b") * 200)
    endless = [begin] + [more] * 5_000
    empty = [begin] + [frames.frame(frames.CONTINUATION, 0, 1)] * 100_000
    faults, told = [], []
    for name, pieces in (("rapid reset", rapid), ("endless CONTINUATION", endless), ("empty CONTINUATION", empty)):
        error = flooded(port, pieces)
        told.append(f"{name}: GOAWAY {error}")
        if error in (None, 0):
            faults.append(f"{name}: the connection was not ended with an error")
    return told, faults


def run(out):
    folder = pathlib.Path(out)
    recorder = side_by_side.Recorder()
    port = lab.free_port()
    with lab.Proxy(folder, {"web": (port, lab.CERTIFICATE)}, {"any": (recorder.port, "")}) as proxy:
        summary, faults = sslyze(folder, port)
        told, more = floods(port)
        client = frames.Client(port)
        client.ask()
        outcome = client.outcome()
        faults += more + proxy.panics()
        if outcome != 200:
            faults.append(f"HTTP/2 is not served any more: {outcome}")
        ended = proxy.rejections().get("http2", 0)
        if ended != len(told):
            faults.append(f"{ended} of {len(told)} floods were counted")
    (folder / "tls.md").write_text("\n".join([summary, *told, *faults]) + "\n")
    return "; ".join([summary, *told]), faults
