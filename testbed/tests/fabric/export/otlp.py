"""A collector of OTLP metrics: otlp.py ADDRESS PORT FILE [REFUSALS]

Reads ExportMetricsServiceRequest from its bytes, by the field numbers of OpenTelemetry's description of it and none of
its code, and appends each as a line of JSON. The first REFUSALS requests are answered 503, to be sent again in a second.
"""

import http.server
import json
import struct
import sys

ADDRESS, PORT, FILE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
refusals = int(sys.argv[4]) if len(sys.argv) > 4 else 0


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The fields of a message: number and value."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
            assert len(value) == length, "cut short"
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def each(data, number):
    return [value for of, value in fields(data) if of == number]


def one(data, number, default=b""):
    return (each(data, number) or [default])[-1]


def attributes(data, number):
    """KeyValue{key = 1, value = 2: AnyValue{string_value = 1}}"""
    return {one(pair, 1).decode(): one(one(pair, 2), 1).decode() for pair in each(data, number)}


def fixed(data, number, form):
    value = one(data, number, None)
    return None if value is None else struct.unpack(form, value)[0]


# A metric's data by its field's number.
KINDS = {5: "gauge", 7: "sum", 9: "histogram"}


def points(metric):
    """Metric{name = 1, unit = 3, one of KINDS}; NumberDataPoint{start = 2, time = 3, double = 4, int = 6, attributes = 7};
    HistogramDataPoint{start = 2, time = 3, count = 4, sum = 5, buckets = 6, bounds = 7, attributes = 9}"""
    ((number, data),) = [(number, one(metric, number)) for number in KINDS if each(metric, number)]
    kind = KINDS[number]
    for point in each(data, 1):
        about = {
            "name": one(metric, 1).decode(),
            "unit": one(metric, 3).decode(),
            "kind": kind,
            "temporality": one(data, 2, 0),
            "start": fixed(point, 2, "<Q"),
            "time": fixed(point, 3, "<Q"),
        }
        if kind == "histogram":
            buckets, bounds = packed(point, 6, "Q"), packed(point, 7, "d")
            count = fixed(point, 4, "<Q") or 0
            assert len(buckets) == len(bounds) + 1 and sum(buckets) == count, "buckets"
            assert list(bounds) == sorted(bounds), "bounds"
            yield about | {"value": count, "sum": fixed(point, 5, "<d"), "labels": attributes(point, 9)}
        else:
            number = fixed(point, 6, "<q")
            yield about | {
                "monotonic": bool(one(data, 3, 0)),
                "value": fixed(point, 4, "<d") if number is None else number,
                "labels": attributes(point, 7),
            }


def packed(data, number, form):
    values = one(data, number)
    return struct.unpack(f"<{len(values) // 8}{form}", values)


def request(data):
    """resource_metrics = 1: {resource = 1: {attributes = 1}, scope_metrics = 2: {metrics = 2}}"""
    (of_resource,) = each(data, 1)
    metrics = [metric for scope in each(of_resource, 2) for metric in each(scope, 2)]
    return {
        "resource": attributes(one(of_resource, 1), 1),
        "points": [point for metric in metrics for point in points(metric)],
    }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global refusals
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert (self.path, self.headers["Content-Type"]) == ("/v1/metrics", "application/x-protobuf")
        line = json.dumps(request(body))
        if refusals:
            refusals -= 1
            self.send_response(503)
            self.send_header("Retry-After", "1")
        else:
            with open(FILE, "a") as out:
                out.write(line + "\n")
            self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, form, *values):
        print(form % values, flush=True)


http.server.ThreadingHTTPServer((ADDRESS, PORT), Handler).serve_forever()
