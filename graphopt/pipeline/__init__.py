"""Passes in order: their contract, the text that names them, the manager that runs them, what it reports."""
