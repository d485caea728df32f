#!/usr/bin/env python3
"""Sends points to Tidegauge, reads them back and compares them.

This is an example to copy from, and an end-to-end test. It prints one JSON object. If the points
differ, it prints the difference to standard error and exits with code 1. It needs the packages of
requirements.txt, and a device that has no points in the current minute and the four after it.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import grpc
import grpc_tools
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto"
FILES = ["tidegauge/v1/point.proto", "tidegauge/v1/ingest.proto", "tidegauge/v1/query.proto"]
SECOND = 1_000_000  # timestamps are in microseconds
MINUTE = 60 * SECOND
# The service accepts points up to 10 minutes ahead of its clock by default.
LONGEST = 5 * MINUTE
BATCHES = 4
TIMEOUT = 60  # time limit for a call, in seconds


class Difference(Exception):
    """A difference between what was sent and what was found."""


def expect(what, found, wanted):
    if found != wanted:
        raise Difference(f"{what}: found {found}, expected {wanted}")


def generate_stubs(folder):
    """Compiles the contract into a folder and makes it importable."""
    includes = [f"-I{PROTO}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", *includes, *outputs, *FILES]) != 0:
        raise Difference(f"cannot compile the contract under {PROTO}")
    sys.path.insert(0, folder)


class Client:
    """A client of both services, for one device."""

    def __init__(self, ingest, query, device_id, traceparent=None):
        self.ingest_pb = import_module("tidegauge.v1.ingest_pb2")
        self.query_pb = import_module("tidegauge.v1.query_pb2")
        self.point_pb = import_module("tidegauge.v1.point_pb2")
        ingest_grpc = import_module("tidegauge.v1.ingest_pb2_grpc")
        query_grpc = import_module("tidegauge.v1.query_pb2_grpc")
        self.ingest = ingest_grpc.IngestServiceStub(grpc.insecure_channel(ingest))
        self.query = query_grpc.QueryServiceStub(grpc.insecure_channel(query))
        self.device_id = device_id
        # The services continue the trace that this header names.
        self.metadata = [("traceparent", traceparent)] if traceparent else None

    def stream_rows(self, metric_name, points):
        """Streams batches in row form over `Ingest`. Returns a summary once all are committed."""
        rows = []
        for timestamp_us, value in points:
            row = self.point_pb.Point(
                device_id=self.device_id, metric_name=metric_name, value=value
            )
            row.timestamp.FromMicroseconds(timestamp_us)
            rows.append(row)
        size = math.ceil(len(rows) / BATCHES)
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        requests = (
            self.ingest_pb.IngestRequest(batch=self.ingest_pb.Batch(points=batch))
            for batch in batches
        )
        summary = self.ingest.Ingest(requests, timeout=TIMEOUT, metadata=self.metadata)
        expect(f"committed batches of {metric_name}", summary.batch_count, len(batches))
        return summary

    def send_series(self, metric_name, points):
        """Sends one series in columns over `IngestBatch`. Returns once it is committed."""
        timestamps, values = zip(*points)
        series = self.point_pb.SeriesPoints(
            device_id=self.device_id,
            metric_name=metric_name,
            timestamps_us=timestamps,
            values=values,
        )
        request = self.ingest_pb.IngestBatchRequest(batch=self.ingest_pb.Batch(series=[series]))
        return self.ingest.IngestBatch(request, timeout=TIMEOUT, metadata=self.metadata).result

    def interval(self, metric_name, start_us, end_us):
        """Returns the fields that both queries share: a series and [start, end)."""
        start = Timestamp()
        end = Timestamp()
        start.FromMicroseconds(start_us)
        end.FromMicroseconds(end_us)
        selector = self.query_pb.SeriesSelector(device_id=self.device_id, metric_name=metric_name)
        return {"selectors": [selector], "start": start, "end": end}

    def read_points(self, metric_name, start_us, end_us):
        """Returns raw points as (timestamp, value), in time order."""
        request = self.query_pb.QueryRangeRequest(**self.interval(metric_name, start_us, end_us))
        points = []
        row_count = None
        for response in self.query.QueryRange(request, timeout=TIMEOUT, metadata=self.metadata):
            points += zip(response.points.timestamps_us, response.points.values)
            if response.HasField("footer"):
                row_count = response.footer.row_count
        # A stream without a footer is incomplete.
        expect(f"row count in the footer of {metric_name}", row_count, len(points))
        return points

    def read_minutes(self, metric_name, start_us, end_us):
        """Returns minute buckets as {start: (count, sum, min, max, first, last)}."""
        asked = self.interval(metric_name, start_us, end_us)
        request = self.query_pb.QueryAggregatedRequest(granularity="GRANULARITY_MINUTE", **asked)
        buckets = {}
        row_count = None
        responses = self.query.QueryAggregated(request, timeout=TIMEOUT, metadata=self.metadata)
        for response in responses:
            frame = response.buckets
            columns = zip(frame.count, frame.sum, frame.min, frame.max, frame.first, frame.last)
            buckets.update(zip(frame.bucket_starts_us, columns))
            if response.HasField("footer"):
                row_count = response.footer.row_count
        expect(f"minute count in the footer of {metric_name}", row_count, len(buckets))
        return buckets


def minutes_of(points):
    """Returns the minute buckets that these points should yield."""
    values_of = {}
    for timestamp_us, value in points:
        values_of.setdefault(timestamp_us - timestamp_us % MINUTE, []).append(value)
    return {
        start: (len(values), sum(values), min(values), max(values), values[0], values[-1])
        for start, values in values_of.items()
    }


def run(client, count):
    # The points begin in the current minute, where no rollup is materialised. A late point would
    # appear in its bucket only after the next refresh of the rollup.
    start_us = time.time_ns() // 1_000 // MINUTE * MINUTE
    end_us = start_us + LONGEST
    # The points are a second and a microsecond apart, or closer if they would not fit. The values
    # are quarters, which add up without rounding.
    step_us = min(SECOND + 1, LONGEST // count)
    temperature = [(start_us + at * step_us, 20 + at % 16 / 4) for at in range(count)]
    humidity = [(start_us + at * step_us, 50 - at % 32 / 4) for at in range(count)]
    pressure = [(start_us, 1013.25), (start_us + 1, math.nan), (start_us + 2, 1013.5)]

    accepted = 0
    for metric_name, points, send in [
        ("temperature", temperature, client.stream_rows),
        ("humidity", humidity, client.send_series),
    ]:
        answer = send(metric_name, points)
        if answer.rejections:
            message = answer.rejections[0].message
            raise Difference(f"points of {metric_name} were rejected: {message}")
        expect(f"accepted points of {metric_name}", answer.accepted_count, count)
        accepted += answer.accepted_count

    # A rejected point is reported with its index and reason. The other points are stored.
    answer = client.send_series("pressure", pressure)
    rejected = [(one.point_index, one.point_count, one.reason) for one in answer.rejections]
    reason = client.ingest_pb.REJECTION_REASON_VALUE_NOT_FINITE
    expect("rejections of pressure", rejected, [(1, 1, reason)])
    expect("accepted points of pressure", answer.accepted_count, 2)
    accepted += answer.accepted_count

    read_back = buckets = 0
    for metric_name, points in [
        ("temperature", temperature),
        ("humidity", humidity),
        ("pressure", pressure[::2]),
    ]:
        stored = client.read_points(metric_name, start_us, end_us)
        expect(f"points of {metric_name} read back", len(stored), len(points))
        for sent, found in zip(points, stored):
            expect(f"point of {metric_name} read back", found, sent)
        minutes = client.read_minutes(metric_name, start_us, end_us)
        in_minutes = sum(minute[0] for minute in minutes.values())
        expect(f"points in the minutes of {metric_name}", in_minutes, len(points))
        expect(f"minutes of {metric_name}", minutes, minutes_of(points))
        read_back += len(stored)
        buckets += len(minutes)

    sent = len(temperature) + len(humidity) + len(pressure)
    return {
        "sent": sent,
        "accepted": accepted,
        "read_back": read_back,
        "buckets": buckets,
        "rejected": answer.rejected_count,
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--ingest", required=True, metavar="HOST:PORT", help="address of ingest-service")
    add("--query", required=True, metavar="HOST:PORT", help="address of query-service")
    add("--device", required=True, metavar="ID", help="device without points in these minutes")
    add(
        "--count",
        type=int,
        default=100,
        metavar="N",
        help="points of each of two metrics, 1 to 100000 (default 100)",
    )
    add("--traceparent", metavar="ID", help="trace to continue, in the W3C Trace Context format")
    arguments = parser.parse_args()
    if not 1 <= arguments.count <= 100_000:
        parser.error(f"--count is {arguments.count}: it must be 1 to 100000")
    with tempfile.TemporaryDirectory() as folder:
        try:
            generate_stubs(folder)
            client = Client(
                arguments.ingest, arguments.query, arguments.device, arguments.traceparent
            )
            print(json.dumps(run(client, arguments.count)))
        except Difference as difference:
            sys.exit(f"first_point.py: {difference}")
        except grpc.RpcError as error:
            sys.exit(f"first_point.py: {error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
