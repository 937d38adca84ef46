"""HTTP/1.1 on one connection, by uvicorn and httptools, of which neither bounds the head of a request."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = 1 << 16
"""Bytes of a request line and its headers, as in most servers or more; one chunk of the socket may come on top."""


class BoundedConnection(HttpToolsProtocol):
    """A connection that is closed where the head of a request goes on and on."""

    _head = 0
    """Bytes that came since the head began, in chunks that held nothing but of it."""
    _in_head = True
    _fresh = True
    """Whether it began in this chunk, which may have the end of the request before it."""

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        if self._in_head:
            self._head += 0 if self._fresh else len(data)
            if self._head > _HEAD and not self.transport.is_closing():
                self.send_400_response("The head of the request is too long.")
        self._fresh = False

    def on_headers_complete(self) -> None:
        """See httptools.HttpRequestParser."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools.HttpRequestParser."""
        self._in_head = self._fresh = True
        self._head = 0
        super().on_message_complete()
