"""HTTP/1.1 over the daemon's Unix socket, with the standard library alone. One connection is kept and opened anew when it
breaks. Knows bytes and status codes. Does not know what a message means.
"""
import http.client
import json
import socket

DEFAULT_SOCKET = "/run/weighbridge/weighbridged.sock"
MAX_ANSWER_BYTES = 1 << 20


class Absent(Exception):
    """Nobody answers, for now: the same message may be sent again later."""


class Refused(Exception):
    """The daemon's problem: it will not take this message, however often it is sent."""

    def __init__(self, status, problem):
        self.status, self.code = status, problem.get("code", "answer-malformed")
        self.detail, self.remedy = problem.get("detail", ""), problem.get("remedy", "")
        super().__init__(f"{self.detail} ({self.code}); {self.remedy}")


class UnixConnection(http.client.HTTPConnection):
    """The same protocol over another kind of socket."""

    def __init__(self, path, timeout):
        super().__init__("weighbridged", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Wire:
    """One daemon. Not for several threads at once."""

    def __init__(self, path=DEFAULT_SOCKET, timeout=10.0):
        self.path, self.timeout, self.connection = path, timeout, None

    def post(self, path, message, timeout=None):
        """Sends one message and reads its answer."""
        return self.ask("POST", path, json.dumps(message).encode(), timeout)

    def get(self, path):
        """Asks for one message."""
        return self.ask("GET", path, None, None)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def ask(self, method, path, body, timeout):
        try:
            status, answer = self.exchange(method, path, body, timeout)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Absent(f"{self.path}: {error!r}") from error
        try:
            message = json.loads(answer)
        except ValueError as error:
            raise Absent(f"{self.path} answered {status} and no message") from error
        if status == 200:
            return message
        problem = message if isinstance(message, dict) else {}
        # 5xx is the world's doing, not the message's: a full disk, a service that is going down.
        raise Absent(str(Refused(status, problem))) if status >= 500 and status != 501 else Refused(status, problem)

    def exchange(self, method, path, body, timeout):
        kept = self.connection is not None
        if not kept:
            self.connection = UnixConnection(self.path, self.timeout)
        try:
            return self.once(method, path, body, timeout)
        except (ConnectionError, http.client.BadStatusLine):
            if not kept:
                raise
            # The daemon was started anew since: every message may be sent twice.
            self.close()
            self.connection = UnixConnection(self.path, self.timeout)
            return self.once(method, path, body, timeout)

    def once(self, method, path, body, timeout):
        connection = self.connection
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(timeout or self.timeout)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER_BYTES + 1)
        if len(answer) > MAX_ANSWER_BYTES:
            raise http.client.HTTPException("an answer over 1 MiB")
        return response.status, answer
