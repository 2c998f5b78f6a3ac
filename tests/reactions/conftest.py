"""The two databases, for every test of this folder."""

from tests.store.bases import base, shared, sqlite, store

__all__ = ["base", "shared", "sqlite", "store"]
