"""`python -m atalaia` is the command line."""

from atalaia.cli import app

app()
