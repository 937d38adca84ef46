"""Tests, and the helpers they share: everything here is imported as `tests.…`."""
