"""Runs skewless, DuckDB and Polars in turn on generated card transactions; see scripts/bench."""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

import duckdb
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq

T0_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SPAN_US = 3 * 86_400_000_000
CATEGORIES = np.array(["grocery", "fuel", "travel", "dining", "fashion", "health", "toys", "misc"])

COLUMNS = """txn_id BIGINT, user_id BIGINT NOT NULL, category VARCHAR, amount DOUBLE,
    event_time TIMESTAMP NOT NULL, WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'"""
F3 = """SELECT txn_id, user_id, event_time,
    COUNT(*) OVER h AS c1, SUM(amount) OVER h AS s1, AVG(amount) OVER h AS a1,
    MAX(amount) OVER h AS m1, STDDEV(amount) OVER h AS sd1,
    COUNT(*) OVER d AS c24, SUM(amount) OVER d AS s24, AVG(amount) OVER d AS a24,
    MAX(amount) OVER d AS m24, STDDEV(amount) OVER d AS sd24
FROM txn
WINDOW h AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW),
       d AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW)"""


TEN = ["c1", "s1", "a1", "m1", "sd1", "c24", "s24", "a24", "m24", "sd24"]
# The same ten values at labels, for an engine without a point-in-time join over windows: labels go
# among the events, a microsecond early so that nothing at their own time counts.
TRAINING = """WITH both_sides AS (
    SELECT NULL::BIGINT AS label_id, user_id, event_time AS t, amount, 1 AS event FROM txn
    UNION ALL
    SELECT label_id, user_id, label_time - INTERVAL 1 MICROSECOND, NULL, NULL FROM labels)
SELECT label_id, user_id, t AS label_time, COUNT(event) OVER h AS c1, SUM(amount) OVER h AS s1,
    AVG(amount) OVER h AS a1, MAX(amount) OVER h AS m1, STDDEV(amount) OVER h AS sd1,
    COUNT(event) OVER d AS c24, SUM(amount) OVER d AS s24, AVG(amount) OVER d AS a24,
    MAX(amount) OVER d AS m24, STDDEV(amount) OVER d AS sd24
FROM both_sides
WINDOW h AS (PARTITION BY user_id ORDER BY t
             RANGE BETWEEN INTERVAL 3599999999 MICROSECONDS PRECEDING AND CURRENT ROW),
       d AS (PARTITION BY user_id ORDER BY t
             RANGE BETWEEN INTERVAL 86399999999 MICROSECONDS PRECEDING AND CURRENT ROW)
QUALIFY label_id IS NOT NULL"""


def generate_labels(path, rows, users=100_000, seed=11):
    """Labels in no order: uniform users, and times after the first day of the events."""
    rng = np.random.default_rng(seed)
    times = T0_US + rng.integers(SPAN_US // 3, SPAN_US, rows)
    table = pa.table({
        "label_id": np.arange(rows, dtype=np.int64),
        "user_id": rng.integers(0, users, rows),
        "label_time": pa.array(times, pa.timestamp("us")),
    })
    pq.write_table(table, path + ".part", compression="zstd", row_group_size=131_072)
    os.replace(path + ".part", path)


def generate(path, rows, users=100_000, seed=7):
    """Transactions in arrival order: zipf-like users, log-normal cents, disorder up to 30 s."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, users + 1, dtype=np.float64) ** -0.8
    cdf = np.cumsum(weights) / weights.sum()
    user = rng.permutation(users)[np.searchsorted(cdf, rng.random(rows))].astype(np.int64)
    arrival = np.sort(rng.integers(30_000_000, SPAN_US, rows))
    quick = rng.random(rows) < 0.8
    delay = np.where(quick, rng.integers(0, 2_000_000, rows), rng.integers(0, 30_000_000, rows))
    table = pa.table({
        "txn_id": np.arange(rows, dtype=np.int64),
        "user_id": user,
        "category": pa.array(CATEGORIES[rng.integers(0, len(CATEGORIES), rows)].astype(object)),
        "amount": np.round(rng.lognormal(3.2, 1.1, rows), 2),
        "event_time": pa.array(T0_US + arrival - delay, pa.timestamp("us")),
    })
    pq.write_table(table, path + ".part", compression="zstd", row_group_size=131_072)
    os.replace(path + ".part", path)


def run(command, **kwargs):
    """(wall seconds, CPU seconds, peak MiB) of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(command)} failed:\n{process.stderr.read().decode()}")
    del before
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


DUCKDB_CHILD = """
import sys, duckdb
source, out, tmp, sql, *labels = sys.argv[1:]
c = duckdb.connect()
c.execute(f"SET threads=2; SET preserve_insertion_order=false; SET TimeZone='UTC';"
          f"SET memory_limit='14GB'; SET temp_directory='{tmp}'")
c.execute(f"CREATE VIEW txn AS SELECT * FROM '{source}'")
for file in labels:
    c.execute(f"CREATE VIEW labels AS SELECT * FROM '{file}'")
c.execute(f"COPY ({sql}) TO '{out}' (FORMAT parquet, COMPRESSION snappy)")
"""


# The same idea: labels among the events, a microsecond early, in two rolling groups.
POLARS_CHILD = """
import sys, os
os.environ["POLARS_MAX_THREADS"] = "2"
import polars as pl
source, labels, out = sys.argv[1:]
c, amount = pl.col, pl.col("amount")
events = pl.scan_parquet(source).select(
    pl.lit(None, dtype=pl.Int64).alias("label_id"), "user_id", c("event_time").alias("t"), "amount")
asked = pl.scan_parquet(labels).select(
    "label_id", "user_id", (c("label_time") - pl.duration(microseconds=1)).alias("t"),
    pl.lit(None, dtype=pl.Float64).alias("amount"))
both = pl.concat([events, asked]).sort("user_id", "t").collect()
def rolled(period, hours):
    aggregates = [
        amount.count().cast(pl.Int64).alias(f"c{hours}"),
        pl.when(amount.count() > 0).then(amount.sum()).alias(f"s{hours}"),
        amount.mean().alias(f"a{hours}"), amount.max().alias(f"m{hours}"),
        amount.std().alias(f"sd{hours}")]
    windows = both.rolling("t", period=period, closed="both", group_by="user_id")
    return windows.agg(*aggregates).drop("user_id", "t")
parts = [both.select("label_id", "user_id", c("t").alias("label_time")),
         rolled("3599999999us", 1), rolled("86399999999us", 24)]
rows = pl.concat(parts, how="horizontal").filter(c("label_id").is_not_null())
rows.write_parquet(out, compression="snappy")
"""


def check(ours, theirs, row="txn_id"):
    """Row counts and integer sums must agree; returns the largest relative float difference."""
    c = duckdb.connect()
    c.execute("SET TimeZone='UTC'")
    worst = 0.0
    ints, floats = ["c1", "c24"], ["s1", "a1", "m1", "sd1", "s24", "a24", "m24", "sd24"]
    total = lambda f: c.execute(
        f"SELECT count(*), {', '.join(f'sum({x})' for x in ints)} FROM '{f}'").fetchone()
    if total(ours) != total(theirs):
        sys.exit(f"answers differ: {total(ours)} and {total(theirs)}")
    for x in floats:
        worst = max(worst, c.execute(
            f"SELECT max(abs(a.{x} - b.{x}) / greatest(abs(b.{x}), 1e-3)) FROM '{ours}' a "
            f"JOIN '{theirs}' b USING ({row})").fetchone()[0] or 0.0)
        nulls = c.execute(f"SELECT count(*) FROM '{ours}' a JOIN '{theirs}' b USING ({row}) "
                          f"WHERE (a.{x} IS NULL) <> (b.{x} IS NULL)").fetchone()[0]
        if nulls:
            sys.exit(f"{nulls} values of {x} are NULL on one side only")
    return worst


def row(name, runs):
    wall, cpu, memory = (statistics.median(r[i] for r in runs) for i in range(3))
    print(f"| {name} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |")
    return wall


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--json-rows", type=int, default=1_000_000)
    parser.add_argument("--reps", type=int, default=3)
    a = parser.parse_args()
    folder = os.path.join(a.data, str(a.rows))
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(folder, "transactions.parquet")
    if not os.path.exists(source):
        generate(source, a.rows)
    events = os.path.join(folder, f"transactions-{a.json_rows}.ndjson")
    if not os.path.exists(events):
        duckdb.connect().execute(
            f"COPY (SELECT * REPLACE (strftime(event_time, '%Y-%m-%dT%H:%M:%S.%fZ') AS event_time)"
            f" FROM '{source}' LIMIT {a.json_rows}) TO '{events}' (FORMAT json)")
    labels = os.path.join(folder, f"labels-{a.labels}.parquet")
    if not os.path.exists(labels):
        generate_labels(labels, a.labels)
    work = os.path.join(folder, "work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)

    def definition(path, fmt, offline):
        text = (f"CREATE SOURCE txn ({COLUMNS}) WITH ('connector' = 'file', 'path' = '{path}',"
                f" 'format' = '{fmt}');\nCREATE FEATURE f3 WITH ('offline' = '{offline}') AS {F3};\n")
        file = os.path.join(work, f"{fmt}.sql")
        with open(file, "w") as f:
            f.write(text)
        return file

    batch, stream = definition(source, "parquet", "none"), definition(events, "json", "none")
    home = os.path.join(work, "home")
    subprocess.run([a.binary, "--home", home, "apply", batch], check=True, stdout=subprocess.DEVNULL)
    ours, theirs = os.path.join(work, "ours.parquet"), os.path.join(work, "duckdb.parquet")
    our_labels, their_labels, polars_labels = (
        os.path.join(work, f"{x}-labels.parquet") for x in ("our", "their", "polars"))
    names = ["skewless", "duckdb", "stream", "training", "training duckdb", "training polars"]
    runs = {name: [] for name in names}
    for _ in range(a.reps):
        runs["skewless"].append(run([a.binary, "--home", home, "backfill", "f3", "--out", ours,
                                     "--overwrite"]))
        runs["duckdb"].append(run([sys.executable, "-c", DUCKDB_CHILD, source, theirs,
                                   os.path.join(work, "tmp"), F3]))
        shutil.rmtree(os.path.join(work, "stream"), ignore_errors=True)
        runs["stream"].append(run([a.binary, "--home", os.path.join(work, "stream"), "run", stream,
                                   "--until", "end", "--no-http"]))
        runs["training"].append(run([
            a.binary, "--home", home, "training-set", "--labels", labels, "--time", "label_time",
            "--features", ",".join(f"f3:{x}" for x in TEN), "--out", our_labels, "--overwrite"]))
        runs["training duckdb"].append(run([
            sys.executable, "-c", DUCKDB_CHILD, source, their_labels, os.path.join(work, "tmp"),
            TRAINING, labels]))
        runs["training polars"].append(run([
            sys.executable, "-c", POLARS_CHILD, source, labels, polars_labels]))
    worst = check(ours, theirs)
    worst_label = check(our_labels, their_labels, "label_id")
    worst_label = max(worst_label, check(our_labels, polars_labels, "label_id"))
    print(f"F3 backfill, {a.rows} rows, Parquet to Parquet, median of {a.reps} interleaved runs "
          f"(whole processes); largest relative difference {worst:.1e}\n")
    print("| engine | wall s | CPU s | peak MiB |\n|---|---|---|---|")
    mine, peer = row("skewless", runs["skewless"]), row(f"DuckDB {duckdb.__version__}", runs["duckdb"])
    print(f"\nratio of wall times, DuckDB / skewless: {peer / mine:.2f}\n")
    print(f"training set, {a.labels} labels over {a.rows} rows, ten values; largest relative "
          f"difference {worst_label:.1e}\n")
    print("| engine | wall s | CPU s | peak MiB |\n|---|---|---|---|")
    mine = row("skewless", runs["training"])
    peer = row(f"DuckDB {duckdb.__version__}", runs["training duckdb"])
    other = row(f"Polars {polars.__version__}", runs["training polars"])
    print(f"\nratio of wall times, DuckDB / skewless: {peer / mine:.2f}, "
          f"Polars / skewless: {other / mine:.2f}\n")
    print("| F3 stream | wall s | CPU s | peak MiB |\n|---|---|---|---|")
    seconds = row(f"{a.json_rows} JSON events", runs["stream"])
    print(f"\n{a.json_rows / seconds:,.0f} JSON events/s, start and stop of the process included")
    with open(os.path.join(folder, "results.json"), "w") as f:
        json.dump(runs, f)


if __name__ == "__main__":
    main()
