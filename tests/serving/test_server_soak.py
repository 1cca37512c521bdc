"""Load for some seconds while versions come, go, break and vanish; and a server that is killed."""

import shutil
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from serving.client import Client, ServerDown

from .model_server import Asking, Repository, Server, free_port, model_config, until

pytestmark = pytest.mark.slow

SECONDS = 12.0


def test_soak(saved_models: Path, tmp_path: Path, png: bytes) -> None:
    """Every request gets an answer of a version that was served, and memory stays flat."""
    repository = Repository(saved_models, tmp_path / "half")
    repository.add(1, "half_plus_1")
    repository.add(2, "half_plus_2")
    Repository(saved_models, tmp_path / "pictures").add(1, "pictures")
    pictures = {"name": "pictures", "base_path": tmp_path / "pictures"}

    def config(**more: Any) -> Any:
        return model_config({"name": "half", "base_path": repository.base_path, **more}, pictures)

    flags = ("--enable_batching", "--file_system_poll_wait_seconds=0.1")
    with (
        Server(tmp_path, f"--model_base_path={tmp_path}/nothing", *flags, rest=False) as server,
        Client(server.address) as client,
    ):
        client.reload_config(config())

        def half(version: str | None = None) -> float:
            answer = client.run("half", {"x": np.float32([2])}, version)
            return float(answer.outputs["y"][0])

        def swap(version: int) -> None:
            repository.add(version, f"half_plus_{1 + version % 3}")
            client.wait_available("half", version, 20)

        def corrupt(version: int) -> None:
            broken = repository.add_broken(version)
            until(lambda: any(s.version == version and s.error for s in client.status("half")))
            shutil.rmtree(broken)

        def vanish(version: int) -> None:
            """The newest version is deleted: an older one takes over, loaded first."""
            swap(version)
            shutil.rmtree(repository.base_path / str(version))
            until(lambda: all(s.version != version or s.state == "END" for s in statuses()))

        def reload(version: int) -> None:
            swap(version)
            client.reload_config(
                config(versions=[version, version - 4], labels={"stable": version})
            )
            assert half("stable") == 2 + version % 3
            client.reload_config(config())

        def statuses() -> Any:
            return client.status("half")

        process = psutil.Process(server.process.pid)
        sizes = []
        with (
            Asking(half) as asking,
            Asking(lambda: client.classify("pictures", [png])) as looking,
        ):
            end = time.monotonic() + SECONDS
            for version in count(5):
                (swap, corrupt, vanish, reload)[version % 4](version)
                sizes.append(process.memory_info().rss)
                if time.monotonic() > end and version >= 12:
                    break
        assert asking.failures == []
        assert looking.failures == []
        assert set(asking.answers) <= {2, 3, 4}
        assert len(looking.answers) > 10
        assert sizes[-1] - sizes[len(sizes) // 2] < 100 << 20
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


def test_killed_and_started_again(saved_models: Path, tmp_path: Path) -> None:
    """A client that asks again while nobody is there loses no answer and gets no false one."""
    Repository(saved_models, tmp_path / "half").add(1, "half_plus_1")
    flags = (
        f"--port={free_port()}",
        "--model_name=half",
        f"--model_base_path={tmp_path / 'half'}",
    )
    numbers = count()

    def ask() -> bool:
        x = float(next(numbers))
        while True:
            try:
                answer = client.run("half", {"x": np.float32([x])})
                return bool(answer.outputs["y"][0] == x / 2 + 1)
            except ServerDown:
                time.sleep(0.05)

    with ExitStack() as servers:
        first = servers.enter_context(Server(tmp_path, *flags, rest=False))
        client = servers.enter_context(Client(first.address))
        with Asking(ask) as asking:
            until(lambda: len(asking.answers) > 20)
            first.process.kill()
            first.process.wait()
            before = len(asking.answers)
            second = servers.enter_context(Server(tmp_path, *flags, rest=False))
            assert second.address == first.address
            until(lambda: len(asking.answers) > before + 20)
    assert asking.failures == []
    assert all(asking.answers)
