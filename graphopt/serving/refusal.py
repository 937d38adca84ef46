"""A request that is answered with an error, as the protocol says it."""

from __future__ import annotations

from http import HTTPStatus

RETRY_AFTER = 1
"""Seconds after which a client may ask again what a busy server refused."""


class RefusedError(Exception):
    """A status and one sentence for the client; it never leaves the server as an exception."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(status, sentence)  # both, so that it can be sent from one process to another
        self.status = status
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def bad(sentence: str) -> RefusedError:
    """Refuse a request that its client has to change."""
    return RefusedError(HTTPStatus.BAD_REQUEST, sentence)


def busy(sentence: str) -> RefusedError:
    """Refuse a request that may be sent again, here later or to another server now."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
