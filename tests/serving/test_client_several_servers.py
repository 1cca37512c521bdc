"""Two servers behind one client: a killed one loses no answer."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from serving.client import Client, Prediction

from .model_server import Repository, Server, model_config


def test_a_killed_server_loses_no_answer(
    server: Server, saved_models: Path, tmp_path: Path
) -> None:
    """All 300 requests are answered, those under way on the killed server by the other one."""
    Repository(saved_models, tmp_path / "half").add(1, "half_plus_1")
    base = tmp_path / "half"
    with Client(server.address) as one:
        one.reload_config(model_config({"name": "half", "base_path": base}))
    with (
        Server(tmp_path, "--model_name=half", f"--model_base_path={base}", rest=False) as second,
        Client(second.address) as other,
        Client(f"{server.address},{second.address}") as client,
    ):
        other.wait_available("half", 1, 60)

        def ask(number: int) -> Prediction:
            if number == 100:
                second.process.kill()
            return client.run("half", {"x": np.float32([number])})

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(300)))
    assert [answer.outputs["y"].tolist() for answer in answers] == [[n / 2 + 1] for n in range(300)]
