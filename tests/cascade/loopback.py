"""A real HTTP server on loopback that plays a script of replies, one for each request."""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Play = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Received:
    """What the client sent."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    raw: bytes


@dataclass
class Loopback:
    """A server whose nth request gets the nth reply of `script`; later ones get the last.

    >>> with Loopback([json_reply({"ok": True})]) as server:
    ...     server.url
    """

    script: list[Play]
    received: list[Received] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.received.append(Received(self.path, headers, json.loads(raw), raw))
                place = min(len(owner.received), len(owner.script)) - 1
                owner.script[place](self)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                connection, address = super().get_request()
                owner.connections.append(connection)
                return connection, address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is what several of the tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        # A client that kept its connection must notice too that the server is gone.
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


def reply(
    status: int, body: bytes, headers: Mapping[str, str] | None = None, *, said_length: int = 0
) -> Play:
    """This status and body; `said_length` above the real length cuts the answer off halfway."""

    def play(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(said_length or len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = said_length > len(body)

    return play


def json_reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Play:
    """This JSON."""
    return reply(status, json.dumps(data).encode(), headers)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True


def drip(*, headers_first: bool) -> Play:
    """One byte every 20 ms, for ever: within a body, or already within the headers."""

    def play(handler: BaseHTTPRequestHandler) -> None:
        if headers_first:
            handler.send_response(200)
            handler.send_header("content-length", "100000")
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        while True:
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)

    return play


def stall(released: threading.Event) -> Play:
    """Take the request and say nothing until released."""

    def play(handler: BaseHTTPRequestHandler) -> None:
        released.wait(10)
        handler.close_connection = True

    return play
