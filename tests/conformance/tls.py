"""sslyze on a TLS listener, and floods over HTTP/2 frame by frame."""

import json
import pathlib
import socket
import ssl
import struct
import subprocess
import sys

import lab
import side_by_side

KEYS = f'certificate = [{{ cert = "{lab.KEYS}/shop.pem", key = "{lab.KEYS}/shop.key" }}]'
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


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


# HPACK without Huffman: GET, https, "/", and an authority.
HEADERS = b"\x82\x87\x84" + b"\x01" + bytes([9]) + b"shop.test"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


def connect(port):
    context = ssl.create_default_context(cafile=f"{lab.KEYS}/shop.pem")
    context.set_alpn_protocols(["h2"])
    tcp = socket.create_connection(("127.0.0.1", port), 5)
    client = context.wrap_socket(tcp, server_hostname="shop.test")
    client.sendall(PREFACE)
    return client


def flooded(port, frames):
    """How the proxy ended the connection: the error of its GOAWAY, or none."""
    client = connect(port)
    client.settimeout(10)
    ended, received = None, b""
    try:
        for piece in frames:
            client.sendall(piece)
    except OSError:
        pass  # it was closed already
    try:
        while piece := client.recv(65536):
            received += piece
    except OSError:
        pass
    while len(received) >= 9:
        length, kind = int.from_bytes(received[:3]), received[3]
        if kind == 7:
            ended = int.from_bytes(received[13:17])
        received = received[9 + length :]
    return ended


def floods(port):
    rapid = [frame(1, 5, 2 * number + 1, HEADERS) + frame(3, 0, 2 * number + 1, struct.pack(">I", 8)) for number in range(20_000)]
    endless = [frame(1, 1, 1, HEADERS)] + [frame(9, 0, 1, b"\x00\x01a\x01b" * 200) for _ in range(5_000)]
    empty = [frame(1, 1, 1, HEADERS)] + [frame(9, 0, 1, b"")] * 100_000
    faults, told = [], []
    for name, frames in (("rapid reset", rapid), ("endless CONTINUATION", endless), ("empty CONTINUATION", empty)):
        error = flooded(port, frames)
        told.append(f"{name}: GOAWAY {error}")
        if error in (None, 0):
            faults.append(f"{name}: the connection was not ended with an error")
    return told, faults


def run(out):
    folder = pathlib.Path(out)
    recorder = side_by_side.Recorder()
    port = lab.free_port()
    with lab.Proxy(folder, {"web": (port, KEYS)}, {"any": (recorder.port, "")}) as proxy:
        summary, faults = sslyze(folder, port)
        told, more = floods(port)
        client = connect(port)
        client.sendall(frame(1, 5, 1, HEADERS))
        client.settimeout(5)
        answer = b""
        while b"ok\n" not in answer and (piece := client.recv(65536)):
            answer += piece
        faults += more + proxy.panics()
        if b"ok\n" not in answer:
            faults.append("HTTP/2 is not served any more")
    (folder / "tls.md").write_text("\n".join([summary, *told, *faults]) + "\n")
    return "; ".join([summary, *told]), faults
