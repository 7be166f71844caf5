"""Serves one page and its model on an address that only its reader knows."""

import contextlib
import errno
import ipaddress
import re
import secrets
import selectors
import socket
import socketserver
import sys
import threading
from collections.abc import Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from gdl.errors import GdlError
from gdl.explorer.served import Served, Unwanted
from gdl.explorer.wire import packed_tensors, read_tensors

__all__ = ["BODY_LIMIT", "PageServer"]

BODY_LIMIT = 64_000_000
"""Bytes in the body of a request, at most."""

CONNECTIONS = 64
"""Connections at a time; more are closed at once."""

PATIENCE = 30.0
"""Seconds in which a client must have sent its request, and in which it must take the answer."""

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of each answer: it is kept nowhere, and of use to no other page."""


class PageServer(ThreadingHTTPServer):
    """An HTTP server of one page at /TOKEN/ and of its model at /TOKEN/run/PROGRAM; all else is 404.

    Who lacks the token learns nothing. A page of another origin cannot use it either: the header Host
    must be that of `address`, unless others are to reach the server, and Origin, if it is there, the
    server's.

    Args:
        host: Name or address of the interface.
        port: 0 for a free one.

    Raises:
        GdlError: This interface or port cannot be had.
    """

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        self.lock = threading.Lock()
        self.page, self.policy = b"", ""
        self.model: Served | None = None
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        try:
            self.address_family, *_, where = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            super().__init__(where, _Handler)  # pyright: ignore[reportArgumentType]
        except (OSError, UnicodeError) as e:
            raise GdlError(_refused(host, port, e)) from e
        bound = ipaddress.ip_address(str(self.server_address[0]).partition("%")[0])
        name = host
        if bound.is_unspecified:  # all interfaces: this machine opens its own
            name = "127.0.0.1" if bound.version == 4 else "::1"
        elif bound.is_loopback:
            name = str(bound)  # browsers write 127.1 and the like in this way
        name = f"[{name}]" if ":" in name else name
        names = {name, host}
        self.is_open = not bound.is_loopback
        """Whether other machines can reach it."""
        self.hosts = {f"{each}:{self.server_port}".lower() for each in names}
        if self.server_port == 80:  # which browsers leave out
            self.hosts |= {each.lower() for each in names}
        self.address = f"http://{name}:{self.server_port}/{self.token}/"

    @property
    def programs(self) -> Collection[str]:
        """The names of the programs that can be run."""
        return () if self.model is None else self.model.programs

    def server_bind(self) -> None:
        """Bind without the look-up of the machine's full name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # pyright: ignore

    def serve(self, page: str, policy: str, model: Served) -> None:
        """Serve a page until an exception, such as that of a signal, ends it; then close the port.

        Args:
            page: The page.
            policy: Its content security policy, which is also sent as a header.
            model: What its programs run.
        """
        self.page, self.policy, self.model = page.encode(errors="replace"), policy, model
        try:
            self.serve_forever()
        finally:
            self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it where there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that is gone, and in one line what else went wrong."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"warning: A request failed ({type(error).__name__}).", file=sys.stderr)


class _Refused(GdlError):
    """A request that is refused with another status than 400."""

    def __init__(self, sentence: str, status: HTTPStatus) -> None:
        super().__init__(sentence)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection, which is one request."""

    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = PATIENCE

    def setup(self) -> None:
        """End the connection of a client that sends its request too slowly, byte by byte."""
        super().setup()
        self.deadline = threading.Timer(PATIENCE, self._hang_up)
        self.deadline.daemon = True
        self.deadline.start()

    def finish(self) -> None:
        """Close."""
        self.deadline.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Answer with the page."""
        if self._place() == "":
            kind = "text/html; charset=utf-8"
            self._answer(HTTPStatus.OK, kind, self.server.page, self.server.policy)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Run a program of the model."""
        room, _, program = (self._place() or "").partition("/")
        if room != "run" or program not in self.server.programs:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            tensors = read_tensors(self._body())
            self.deadline.cancel()
            body = packed_tensors(self._run(program, tensors))
        except Unwanted:
            self._hang_up()
        except _Refused as e:
            self._say(e.status, str(e))
        except GdlError as e:
            self._say(HTTPStatus.BAD_REQUEST, str(e))
        else:
            self._answer(HTTPStatus.OK, "application/octet-stream", body)

    def _place(self) -> str | None:
        """Return the path behind the token; None for a request that is not this page's."""
        match = re.fullmatch(r"/([^/]*)/(.*)", self.path)
        token = match[1].encode("latin-1") if match else b""
        if not secrets.compare_digest(token, self.server.token.encode()) or not match:
            return None
        hosts, origins = self.headers.get_all("Host") or [], self.headers.get_all("Origin")
        if len(hosts) != 1 or not (self.server.is_open or hosts[0].lower() in self.server.hosts):
            return None  # another name that leads here, which a stranger's page would use
        if origins not in (None, [f"http://{hosts[0]}"]):
            return None
        return match[2]

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,15}", length):
            raise GdlError("The request has no length.")
        if int(length) > BODY_LIMIT:
            raise _Refused(
                f"A request has at most {BODY_LIMIT} bytes.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            )
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise GdlError("The body is shorter than its length says.")
        return body

    def _run(self, program: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert self.server.model is not None
        try:
            with self.server.lock:
                return self.server.model.run(program, tensors, self._is_awaited)
        except (GdlError, Unwanted):
            raise
        except (torch.cuda.OutOfMemoryError, MemoryError) as e:
            raise GdlError("There is not enough memory for so many images.") from e
        except Exception as e:
            print(f"warning: {program} failed ({type(e).__name__}: {e}).", file=sys.stderr)
            sentence = f"The model failed in {program}: the terminal of the server says why."
            raise _Refused(sentence, HTTPStatus.INTERNAL_SERVER_ERROR) from e

    def _say(self, status: HTTPStatus, sentence: str) -> None:
        self._answer(status, "text/plain; charset=utf-8", sentence.encode())

    def _answer(
        self, status: HTTPStatus, kind: str, body: bytes, policy: str = "default-src 'none'"
    ) -> None:
        self.send_response_only(status)  # without the names of the server's programs
        for name, value in (HEADERS | {"Content-Type": kind}).items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", f"{policy}; frame-ancestors 'none'")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Answer without a detail; a method that is not known is no other than a place that is not."""
        unknown = code == HTTPStatus.NOT_IMPLEMENTED
        self._say(HTTPStatus.NOT_FOUND if unknown else HTTPStatus(code), "")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log."""

    def _is_awaited(self) -> bool:
        """Return whether the client has not closed the connection, as a tab that is closed does."""
        try:
            with selectors.DefaultSelector() as found:
                found.register(self.connection, selectors.EVENT_READ)
                return not found.select(0) or self.connection.recv(1, socket.MSG_PEEK) != b""
        except (OSError, ValueError):
            return False

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _refused(host: str, port: int, error: Exception) -> str:
    """Return a sentence about an interface or a port that cannot be had."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"port={port} is in use: name another one, or leave it out for a free one."
    if number in (errno.EACCES, errno.EPERM):
        return f"port={port} may not be used by you: name one from 1024 on, or leave it out."
    return f"host={host} is no interface of this machine: leave it out, for 127.0.0.1."
