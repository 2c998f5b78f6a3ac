"""Measurements. Each prints progress to stderr, its own baseline, and one JSON object as its last line."""
