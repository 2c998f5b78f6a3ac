"""`atalaia demo`: the hub with simulated upstreams, a consumer that verifies, and a fault panel."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from atalaia import logs
from atalaia.cli.common import Config, DatabaseUrl, errors, fail, settings_of
from atalaia.cli.demo.run import run_demo
from atalaia.errors import AtalaiaError
from atalaia.redact import Redactor


def demo(
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Keep the demo's data here; else it is gone at the end.")
    ] = None,
    database_url: DatabaseUrl = None,
    config: Config = None,
    rate: Annotated[
        float, typer.Option(min=0.0, help="How busy everybody is; 1 is normal, 0 is quiet.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it is as one JSON object.")] = False,
) -> None:
    """Show the product with simulated Asterisks, vehicles and WhatsApp channels, and faults on request."""
    folder = data_dir or Path(tempfile.mkdtemp(prefix="atalaia-demo-"))
    try:
        settings = settings_of(folder, database_url, config, host=host, port=port)
        logs.configure(settings, Redactor(settings.secret_values()))
        uvloop.run(run_demo(settings, folder, rate=rate, as_json=as_json))
    except AtalaiaError as error:
        fail(str(error))
    finally:
        if data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
            if not as_json:
                errors.print("The demo's data is gone. Keep it next time with --data-dir.")
