"""Rude stand-ins for foreign systems, on real ports: for tests and for the demo, never for the product."""
