"""Training sets against DuckDB's ASOF JOIN, where the two say the same: labels at event times,
inclusive. DuckDB joins the final rows that `backfill` writes; a training set probes history. The
values must be equal in every bit. Labels of keys that nobody has, before history and twice are
among them.

    scripts/asof.py BINARY [--seed N] [--rows N] [--labels N]

Needs duckdb, numpy and pyarrow (scripts/bench installs them).
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SQL = """
CREATE SOURCE clicks (
    user_id BIGINT, shop VARCHAR, amount DOUBLE, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = 'clicks.parquet', 'format' = 'parquet');
CREATE FEATURE spend AS
SELECT user_id, COUNT(*) OVER h AS n, SUM(amount) OVER h AS total, AVG(amount) OVER d AS mean,
       STDDEV(amount) OVER d AS spread, MAX(amount) OVER last AS recent, shop AS last_shop
FROM clicks
WINDOW h AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW),
       d AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW),
       last AS (PARTITION BY user_id ORDER BY event_time
                ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);
"""
VALUES = ["n", "total", "mean", "spread", "recent", "last_shop"]
START = 1_772_000_000_000_000


def events(rows, seed):
    """Rows in no order within a minute; several of one key at one time are equal rows."""
    dice = np.random.default_rng(seed)
    times = START + np.sort(dice.integers(0, 3 * 86_400, rows)) * 1_000_000
    times = times - dice.integers(0, 60, rows) * 1_000_000
    users = dice.integers(0, max(rows // 50, 3), rows)
    # ROWS frames and current rows tell peers apart: one row for each key and time.
    _, first = np.unique(np.stack([users, times]), axis=1, return_index=True)
    first.sort()
    users, times = users[first], times[first]
    late = np.maximum.accumulate(times) - 60_000_000 > times
    users, times = users[~late], times[~late]
    amounts = dice.normal(50, 1e6, len(times))
    return pa.table({
        "user_id": pa.array(users, pa.int64(), mask=dice.random(len(times)) < 0.01),
        "shop": pa.array([f"s{x % 17}" for x in range(len(times))]),
        "amount": pa.array(amounts, pa.float64(), mask=dice.random(len(times)) < 0.05),
        "event_time": pa.array(times, pa.timestamp("us", "UTC")),
    })


def labels(table, count, seed):
    """At event times; some of an unknown key, some before history, some twice."""
    dice = random.Random(seed)
    users, times = table["user_id"].to_pylist(), table["event_time"].cast(pa.int64()).to_pylist()
    found = []
    while len(found) < count:
        at = dice.randrange(len(times))
        user = users[at]
        if user is None:
            continue
        kind = dice.randrange(20)
        if kind == 0:
            found.append((-1 - dice.randrange(3), times[at]))
        elif kind == 1:
            found.append((user, START - 10**12))
        else:
            found.append((user, times[at]))
        if kind == 2:
            found.append(found[-1])
    return pa.table({
        "label_id": pa.array(range(len(found)), pa.int64()),
        "user_id": pa.array([user for user, _ in found], pa.int64()),
        "label_time": pa.array([time for _, time in found], pa.timestamp("us", "UTC")),
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--labels", type=int, default=5_000)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = lambda name: os.path.join(folder, name)
        table = events(a.rows, a.seed)
        pq.write_table(table, place("clicks.parquet"))
        pq.write_table(labels(table, a.labels, a.seed), place("labels.parquet"))
        with open(place("clicks.sql"), "w") as file:
            file.write(SQL)
        call = lambda *words: subprocess.run(
            [os.path.abspath(a.binary), "--home", place("home"), *words], cwd=folder, check=True)
        call("apply", "clicks.sql")
        call("backfill", "spend", "--out", "final.parquet")
        call("training-set", "--labels", "labels.parquet", "--time", "label_time", "--features",
             ",".join(f"spend:{x}" for x in VALUES), "--inclusive", "--out", "train.parquet")
        columns = ", ".join(f"f.{x}" for x in VALUES)
        theirs = duckdb.sql(f"""
            SELECT l.label_id, {columns} FROM '{place("labels.parquet")}' l
            ASOF LEFT JOIN '{place("final.parquet")}' f
              ON l.user_id = f.user_id AND l.label_time >= f.event_time
            ORDER BY l.label_id""").arrow()
        theirs = theirs.read_all() if hasattr(theirs, "read_all") else theirs
        ours = pq.read_table(place("train.parquet"))
        assert ours["label_id"].to_pylist() == list(range(len(ours))), "in the order of the labels"
        assert len(ours) == len(theirs), f"{len(ours)} and {len(theirs)} rows"
        wrong = 0
        for name in VALUES:
            mine, peer = ours[name].to_pylist(), theirs[name].to_pylist()
            for row, (x, y) in enumerate(zip(mine, peer)):
                # Nothing found: SQL's join gives NULL, an empty frame counts 0.
                y = 0 if name == "n" and y is None else y
                if x != y:
                    wrong += 1
                    if wrong < 10:
                        print(f"label {row}, {name}: {x!r} and {y!r}", file=sys.stderr)
        print(f"asof: {len(ours)} labels, {len(ours) * len(VALUES)} values, {wrong} different "
              f"(seed {a.seed}, DuckDB {duckdb.__version__})")
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
