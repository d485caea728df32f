"""Inserts points row by row with psycopg2's execute_batch, as the first version of Tidegauge did.

Reads tab-separated points (device_id, metric_name, microseconds since the Unix epoch, value) from a file,
looks up their series, and then starts the clock. Prints one JSON object with the number of committed points
and the seconds that it took.
"""

import argparse
import datetime
import json
import time

import psycopg2
import psycopg2.extras

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--points", required=True, help="file of tab-separated points")
    parser.add_argument("--rows-per-commit", type=int, default=1000)
    options = parser.parse_args()

    connection = psycopg2.connect(options.database_url)
    with connection.cursor() as cursor:
        rows = resolve(cursor, read(options.points))
        connection.commit()
        began = time.perf_counter()
        for start in range(0, len(rows), options.rows_per_commit):
            insert(cursor, rows[start : start + options.rows_per_commit])
            connection.commit()
        seconds = time.perf_counter() - began
    connection.close()
    print(json.dumps({"points": len(rows), "seconds": seconds}))


def read(path):
    """Yields (device_id, metric_name, time, value) for each line of the file."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            device_id, metric_name, micros, value = line.rstrip("\n").split("\t")
            at = EPOCH + datetime.timedelta(microseconds=int(micros))
            yield device_id, metric_name, at, float(value)


def resolve(cursor, points):
    """Returns rows for the table `points`, with series ids in place of names."""
    cursor.execute("SELECT device_id, metric_name, series_id FROM series")
    ids = {(device_id, metric_name): series_id for device_id, metric_name, series_id in cursor}
    return [(at, ids[device_id, metric_name], value) for device_id, metric_name, at, value in points]


def insert(cursor, rows):
    statement = 'INSERT INTO points ("timestamp", series_id, value) VALUES (%s, %s, %s)'
    psycopg2.extras.execute_batch(cursor, statement, rows, page_size=len(rows))


if __name__ == "__main__":
    main()
