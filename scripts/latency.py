"""From Kafka to Redis: how long after an event was produced its value can be read, while other
events arrive at a given rate. Load, broker, Redis and engine share the machine.

    eval "$(scripts/services env)"; scripts/latency.py BINARY [--rate N] [--probes N]

A probe is an event of an entity that was never seen: its hash appears in Redis when its value is
there. Time runs from before the call that produces it to after the read that finds it.

Needs confluent-kafka and redis (PyPI).
"""

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import tempfile
import time
from datetime import datetime, timezone

import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

SQL = """
CREATE SOURCE payments (
    user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '5 seconds'
) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json',
        'properties.bootstrap.servers' = '{broker}');
CREATE FEATURE spend WITH ('online' = '{redis}') AS
SELECT user_id, COUNT(*) OVER h AS n, AVG(amount) OVER h AS mean, STDDEV(amount) OVER h AS spread,
       MAX(amount) OVER d AS most
FROM payments
WINDOW h AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW),
       d AS (PARTITION BY user_id ORDER BY event_time
             RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW);
"""
USERS = 10_000
FIRST_PROBE = 1_000_000_000


def event(user, amount):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f'{{"user_id":{user},"amount":{amount},"event_time":"{now}"}}'.encode()


def load(broker, topic, rate, sent, stop):
    """Sends `rate` events a second, every 5 ms some."""
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5})
    dice = random.Random(1)
    began, count = time.monotonic(), 0
    while not stop.value:
        due = int((time.monotonic() - began) * rate)
        while count < due:
            user = int(USERS * dice.random() ** 2)
            producer.produce(topic, event(user, dice.randrange(1, 50_000) / 100), str(user))
            count += 1
        producer.poll(0)
        sent.value = count
        time.sleep(0.005)
    producer.flush()


def quantile(values, q):
    return values[min(len(values) - 1, int(q * len(values)))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--probes", type=int, default=1_000)
    options = parser.parse_args()
    broker, url = os.environ["KAFKA"], os.environ["REDIS"].rstrip("/") + "/9"
    topic = f"latency-{os.getpid()}"
    admin = AdminClient({"bootstrap.servers": broker})
    for made in admin.create_topics([NewTopic(topic, 4, 1)]).values():
        made.result()
    store = redis.Redis.from_url(url)
    store.flushdb()
    with tempfile.TemporaryDirectory() as home:
        command = [os.path.abspath(options.binary), "--home", home]
        sql = SQL.format(topic=topic, broker=broker, redis=url)
        subprocess.run([*command, "sql", "-e", sql], check=True, stdout=subprocess.DEVNULL)
        engine = subprocess.Popen([*command, "-q", "run", "--no-http"])
        sent, stop = multiprocessing.Value("q", 0), multiprocessing.Value("b", 0)
        arguments = (broker, topic, options.rate, sent, stop)
        loader = multiprocessing.Process(target=load, args=arguments)
        loader.start()
        time.sleep(5)
        producer = Producer({"bootstrap.servers": broker, "linger.ms": 0})
        dice, took = random.Random(2), []
        began, before = time.monotonic(), sent.value
        for probe in range(FIRST_PROBE, FIRST_PROBE + options.probes):
            started = time.monotonic()
            producer.produce(topic, event(probe, 1.5), str(probe))
            producer.poll(0)
            while not store.hexists(f"spend:{probe}", "n"):
                if time.monotonic() - started > 30:
                    raise SystemExit(f"probe {probe} was not there after 30 s")
            took.append(time.monotonic() - started)
            time.sleep(dice.random() * 0.02)
        rate = (sent.value - before) / (time.monotonic() - began)
        stop.value = 1
        loader.join()
        engine.terminate()
        engine.wait()
    took.sort()
    shown = {
        "events_per_second": round(rate),
        "probes": len(took),
        **{f"p{q}_ms": round(quantile(took, q / 100) * 1e3, 2) for q in (50, 90, 99)},
        "max_ms": round(took[-1] * 1e3, 2),
    }
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
