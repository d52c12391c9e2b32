"""HTTP/2 frame by frame, for what no library sends: over TLS, or without where a listener allows it."""

import socket
import ssl
import struct

import lab

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PROTOCOL_ERROR, CANCEL, ENHANCE_YOUR_CALM = 1, 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name, value):
    """A header field, literally: HPACK without Huffman and without a table."""
    name, value = name.encode("latin-1"), value.encode("latin-1")
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def header(*fields, method="GET", path="/", scheme="https", authority="shop.test"):
    """The block of a request; what is None is left out."""
    pseudo = {":method": method, ":scheme": scheme, ":path": path, ":authority": authority}
    block = b"".join(field(name, value) for name, value in pseudo.items() if value is not None)
    return block + b"".join(field(*one) for one in fields)


class Client:
    """A connection after its handshake, with the preface sent."""

    def __init__(self, port, tls=True, settings=b"", preface=PREFACE, receive_buffer=None):
        tcp = socket.socket()
        if receive_buffer:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        tcp.settimeout(lab.PATIENCE)
        tcp.connect(("127.0.0.1", port))
        if tls:
            context = ssl.create_default_context(cafile=f"{lab.KEYS}/shop.pem")
            context.set_alpn_protocols(["h2"])
            tcp = context.wrap_socket(tcp, server_hostname="shop.test")
        self.socket, self.buffer = tcp, b""
        if preface:
            self.send(preface, frame(SETTINGS, 0, 0, settings))

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def ask(self, *fields, stream=1, end=True, **pseudo):
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(HEADERS, flags, stream, header(*fields, **pseudo)))

    def frames(self):
        """What comes, as (kind, flags, stream, payload), until the connection ends."""
        while True:
            while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3]):
                try:
                    piece = self.socket.recv(65536)
                except (ConnectionError, ssl.SSLError):
                    return
                if not piece:
                    return
                self.buffer += piece
            length = int.from_bytes(self.buffer[:3])
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9])
            payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
            yield kind, flags, stream, payload

    def outcome(self, stream=1):
        """How a stream ended: with its status, or ("cut", status), ("reset", code), ("goaway", code), "closed"."""
        status = None
        for kind, flags, at, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8])
                if code:
                    return "goaway", code
            if at != stream:
                continue
            if kind == RST_STREAM:
                return ("cut", status) if status else ("reset", int.from_bytes(payload[:4]))
            if kind == HEADERS and status is None:
                status = status_of(payload)
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                return status
        return ("cut", status) if status else "closed"

    def close(self):
        self.socket.close()


def status_of(block):
    """The status at the beginning of a block: from the static table, or in letters."""
    static = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
    # An update of the table's size may stand before it.
    while block and block[0] & 0xE0 == 0x20:
        block = block[1:]
    if not block:
        return None
    if block[0] in static:
        return static[block[0]]
    if block[0] & 0x0F == 8 and len(block) > 2:
        length, text = block[1] & 0x7F, block[2:]
        return int(text[:length]) if not block[1] & 0x80 else int(huffman(text[:length]))
    return None


def huffman(coded):
    """Digits in HPACK's code (RFC 7541, B): 0 to 2 have five bits, 3 to 9 six."""
    bits = "".join(f"{byte:08b}" for byte in coded)
    digits = ""
    while len(digits) < 3:
        if bits[:5] in ("00000", "00001", "00010"):
            digits, bits = digits + str(int(bits[:5], 2)), bits[5:]
        else:
            digits, bits = digits + str(int(bits[:6], 2) - 0b011001 + 3), bits[6:]
    return digits
