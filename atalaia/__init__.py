"""Atalaia: one hub for a team that lives on systems which are not its own."""

__version__ = "0.1.0"
