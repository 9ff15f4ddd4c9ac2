"""The page served to one browser on this machine, and to nobody else.

Only the loopback address, a random port, a random token in the path, and a Host header that names
this address (so that no other site can reach it by rebinding a name); only GET, without a body;
nothing is read from disk but the file that was given, once.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mechopt.errors import MechoptError
from mechopt.explorer import answers
from mechopt.explorer.page import page
from mechopt.explorer.terms import HURRY, PATIENCE, PageTerms
from mechopt.problem.instance import Instance

LONGEST_TARGET = 16_384  # characters of a request's address
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Explorer(ThreadingHTTPServer):
    """The server; `address` is what to open. `serve_forever()`, `shutdown()`."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, instance: Instance, file: str) -> None:
        import mechopt.known.sequential.solve  # noqa: F401 (or the first answer would wait for it)

        self.instance, self.file = instance, file
        self.token = secrets.token_urlsafe(24)
        self.one_at_a_time = threading.Lock()
        self.asked = 0  # answers: a frontier that is being drawn makes way for them
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"

    def answer(self, query: dict[str, str]) -> dict[str, Any]:
        patience = HURRY if query.pop("quick", "") else PATIENCE
        terms = PageTerms.read(query, self.instance)
        return answers.answer(self.instance, terms, self.file, patience=patience)

    def frontier(self, query: dict[str, str]) -> dict[str, Any]:
        before = self.asked
        terms = PageTerms.read(query, self.instance)
        return answers.frontier(self.instance, terms, lambda: self.asked != before)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no fault."""


class _Handler(BaseHTTPRequestHandler):
    server: Explorer
    server_version = "mechopt"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        if not self._allowed():
            return
        parts = urlsplit(self.path)
        token, _, name = parts.path.removeprefix("/").partition("/")
        if not compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that mechopt printed")
            return
        routes: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
            "answer": self.server.answer,
            "frontier": self.server.frontier,
        }
        if name == "":
            text = page(self.server.instance, self.server.file)
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", text)
        elif name in routes:
            self._json(routes[name], dict(parse_qsl(parts.query, keep_blank_values=True)))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _allowed(self) -> bool:
        """Whether the request is small, has no body, and names this address as its host."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self._refuse(HTTPStatus.FORBIDDEN, "this host is not served")
        elif self.headers.get("Sec-Fetch-Site") not in (None, "none", "same-origin"):
            self._refuse(HTTPStatus.FORBIDDEN, "other sites are not served")
        elif "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request has no body here")
        elif len(self.path) > LONGEST_TARGET:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")
        else:
            return True
        return False

    def _json(self, make: Callable[[dict[str, str]], Any], query: dict[str, str]) -> None:
        from mechopt.files.documents import dumps

        self.server.asked += make == self.server.answer
        try:
            with self.server.one_at_a_time:
                text = dumps(make(query))
        except MechoptError as error:
            text = json.dumps({"error": str(error)})
        self._send(HTTPStatus.OK, "application/json", text)

    def _refuse(self, status: HTTPStatus, said: str) -> None:
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", said + "\n")

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: the address holds the token."""
