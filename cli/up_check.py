"""`celflow up --check`: every model and every service is asked once."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from celflow.errors import UserError
from celflow.images import encode_png
from cli.services import Service
from serving.client import Client


def run(client: Client, models: Iterable[str], services: Sequence[Service]) -> bool:
    """Print a table with a line for each model and service; returns whether all answered."""
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    picture = encode_png(noise)
    checks: list[tuple[str, Callable[[], str]]] = [
        *((model, partial(_ask_model, client, model, picture)) for model in sorted(models)),
        *((service.name, partial(_ask_service, service)) for service in services),
    ]
    table = Table("what", "state", "answer")
    passed = True
    for name, check in checks:
        try:
            table.add_row(name, "[green]ok", check())
        except UserError as error:
            passed = False
            table.add_row(name, "[red]failed", escape(str(error)))
    Console().print(table)
    return passed


def _ask_model(client: Client, model: str, picture: bytes) -> str:
    answer = client.predict(model, [picture], "stable")
    if "image_png" in answer.outputs:
        result = "a picture"
    elif "boxes" in answer.outputs:
        result = f"{len(answer.faces()[0])} faces"
    else:
        best = answer.classifications()[0]
        result = f"{best.name} {best.score:.0%}"
    return f"version {answer.version}: {result}, {answer.milliseconds:.0f} ms"


def _ask_service(service: Service) -> str:
    if not service.ready():
        raise UserError("its health check fails")
    return "healthy"
