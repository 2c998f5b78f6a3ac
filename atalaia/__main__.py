"""`python -m atalaia` is the command line."""

from atalaia.cli import main

main()
