"""`atalaia deliveries`: placeholder."""

import typer

app = typer.Typer(help="Deliveries.", no_args_is_help=True)


@app.command("x")
def x() -> None:
    """x"""


@app.command("y")
def y() -> None:
    """x"""
