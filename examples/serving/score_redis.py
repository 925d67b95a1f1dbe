"""Scores card transactions with features that the engine has put into Redis.

    python3 score_redis.py redis://127.0.0.1:6379/0 8002

GET /score?user_id=42&amount=250 answers as score_http.py does. Reads one hash per user with
HGETALL, so any Redis client would do; here it is a few lines of its protocol, to need nothing.
"""

import http.server
import json
import socket
import sys
import threading
import urllib.parse

REDIS = urllib.parse.urlsplit(sys.argv[1])
LOCAL = threading.local()


class Redis:
    """One connection: commands out, replies in (RESP2)."""

    def __init__(self):
        self.socket = socket.create_connection((REDIS.hostname, REDIS.port or 6379), timeout=1)
        self.file = self.socket.makefile("rb")
        if REDIS.password:
            self.call(*filter(None, ("AUTH", REDIS.username, REDIS.password)))
        if REDIS.path.strip("/"):
            self.call("SELECT", REDIS.path.strip("/"))

    def call(self, *words):
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            data = word.encode()
            parts += [b"$%d\r\n" % len(data), data, b"\r\n"]
        self.socket.sendall(b"".join(parts))
        return self.reply()

    def reply(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"$":
            if int(rest) < 0:
                return None
            return self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"-":
            raise ValueError(rest.decode())
        if not kind:
            raise OSError("the connection was closed")
        return rest.decode()


def number(text):
    """As the engine writes numbers; a NULL has no field."""
    if text is None:
        return None
    return float(text) if any(c in text for c in ".eniN") else int(text)


def features(user_id):
    """The values of a user and the time they were written for."""
    # The key that 'online.key' makes: percent-encoded where a character means something.
    quoted = "".join(f"%{ord(c):02X}" if c in "%:{} " else c for c in user_id)
    if getattr(LOCAL, "redis", None) is None:
        LOCAL.redis = Redis()
    try:
        flat = LOCAL.redis.call("HGETALL", f"user_spend:{quoted}")
    except OSError:
        LOCAL.redis = None
        raise
    found = dict(zip(flat[::2], flat[1::2]))
    names = ("txn_count_30m", "avg_amount_1h", "max_amount_24h")
    values = {name: number(found.get(name)) for name in names}
    values["txn_count_30m"] = values["txn_count_30m"] or 0
    return values, found.get("_as_of:user_spend")


def score(amount, values):
    """How unusual the amount is: 0 as always, 1 far beyond."""
    mean = values["avg_amount_1h"]
    most = values["max_amount_24h"]
    if mean is None or most is None:
        return 0.5
    busy = min(values["txn_count_30m"] / 100, 1)
    return round(0.7 * min(amount / max(most, 1) / 2, 1) + 0.3 * busy, 6)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        try:
            values, as_of = features(query["user_id"])
            points = score(float(query["amount"]), values)
            user = query["user_id"]
            answer = {"user_id": user, "score": points, "features": values, "as_of": as_of}
            status = 200
        except (KeyError, ValueError) as error:
            answer, status = {"error": str(error)}, 400
        except OSError as error:
            answer, status = {"error": f"no features: {error}"}, 503
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
