"""A collector of OpenTelemetry: takes traces over HTTP, reads them by the official definitions, and tells them.

POST /v1/traces  OTLP in JSON or protobuf; 400 for what is neither, by the letter
GET /spans       what came so far: each span with its resource, as the definitions have it
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SPANS = []
HEADERS = []


def with_bytes(value):
    """OTLP writes ids in hexadecimal digits where protobuf's own JSON has base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(inner)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else with_bytes(inner)
            for key, inner in value.items()
        }
    return [with_bytes(inner) for inner in value] if isinstance(value, list) else value


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def take(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert len(span.trace_id) == 16 and len(span.span_id) == 8, "ids of another length"
                SPANS.append({
                    "resource": attributes(resource.resource.attributes),
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "state": span.trace_state,
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "error": span.status.code == Status.STATUS_CODE_ERROR,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                })


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest()
        try:
            if self.headers["content-type"] == "application/json":
                json_format.ParseDict(with_bytes(json.loads(body)), request)
            else:
                request.ParseFromString(body)
            take(request)
        except Exception as error:
            print("refused:", error, body, file=sys.stderr, flush=True)
            return self.answer(400, {"message": str(error)})
        HEADERS.append(self.headers["authorization"])
        self.answer(200, {})

    def do_GET(self):
        self.answer(200, {"spans": SPANS, "authorization": HEADERS})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector)
    server.serve_forever()
