"""The hub looking at itself."""
