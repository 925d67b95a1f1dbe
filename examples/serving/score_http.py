"""Scores card transactions with features that the engine computes when it is asked.

    python3 score_http.py http://127.0.0.1:6566 8001

GET /score?user_id=42&amount=250 answers {"user_id", "score", "features", "as_of"}. Standard
library only; one connection to the engine per thread, kept open.
"""

import http.client
import http.server
import json
import sys
import threading
import urllib.parse

ENGINE = urllib.parse.urlsplit(sys.argv[1])
LOCAL = threading.local()


def features(user_id):
    """The values of a user and the time they hold for."""
    path = f"/features/user_spend/{urllib.parse.quote(user_id, safe='')}"
    for attempt in (1, 2):
        if getattr(LOCAL, "engine", None) is None:
            LOCAL.engine = http.client.HTTPConnection(ENGINE.hostname, ENGINE.port, timeout=1)
        try:
            LOCAL.engine.request("GET", path)
            answer = LOCAL.engine.getresponse()
            body = json.loads(answer.read())
            break
        except (http.client.HTTPException, OSError):
            # The engine was restarted, or closed an idle connection.
            LOCAL.engine.close()
            LOCAL.engine = None
            if attempt == 2:
                raise
    if answer.status != 200:
        raise ValueError(body["error"]["message"])
    return body["values"], body["as_of"]


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
