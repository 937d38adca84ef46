"""How a lowering says that it cannot take a node."""

from __future__ import annotations


class RefusalError(Exception):
    """A node is beyond this backend; the message is the reason, one clause that fits after `because`."""
