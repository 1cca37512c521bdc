"""Ask a candidate what the champion was asked, and keep the pictures on which they disagree."""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from celflow.files import write_bytes
from promotion.traffic import Asked, agree, in_words
from serving.client import Client, Prediction
from serving.client.requests import VersionSpec

DISAGREEMENTS = Path("data/disagreements")
TABLE = "disagreements.csv"


@dataclass(frozen=True)
class Disagreement:
    """A picture, as a file of the folder, and what two versions say of it."""

    file: str
    version: int
    answer: str
    other_version: int
    other_answer: str


@dataclass
class Comparison:
    """How a candidate answers what was asked.

    asked: pictures. agreed: answered alike. failed: the candidate refused them.
    """

    asked: int = 0
    agreed: int = 0
    failed: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)


def replay(
    client: Client,
    model: str,
    version: VersionSpec,
    asked: Iterable[Asked],
    keep: Path = DISAGREEMENTS,
) -> Comparison:
    """Ask a version all pictures, several at a time.

    keep: pictures on which the answers differ, and a table of them, go below keep/<model>/: as
    they are, so that they can become labels.

    Raises:
        ServerError: no server, or no such version.
    """
    comparison = Comparison()
    before = list(asked)
    answers = client.predict_many(model, (one.picture for one in before), version)
    for one, answer in zip(before, answers, strict=True):
        add(comparison, one, answer, keep / model)
    return comparison


def add(comparison: Comparison, asked: Asked, answer: Prediction | Exception, folder: Path) -> None:
    """Count an answer; a picture that is answered differently is kept in the folder."""
    comparison.asked += 1
    if not isinstance(answer, Prediction):
        comparison.failed += 1
        return
    if agree(asked.answer, answer):
        comparison.agreed += 1
        return
    name = hashlib.sha256(asked.picture).hexdigest()[:16] + _ending(asked.picture)
    comparison.disagreements.append(
        Disagreement(
            name,
            asked.answer.version,
            in_words(asked.answer),
            answer.version,
            in_words(answer),
        )
    )
    write_bytes(folder / name, asked.picture)
    _write_line(folder / TABLE, comparison.disagreements[-1])


def _write_line(table: Path, line: Disagreement) -> None:
    """Add a line to the table, unless an earlier run has found the same."""
    head = _csv(one.name for one in fields(line))
    content = table.read_bytes() if table.is_file() else head
    added = _csv(astuple(line))
    if b"\n" + added not in content:
        write_bytes(table, content + added)


def _csv(row: Iterable[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    return text.getvalue().encode()


def _ending(picture: bytes) -> str:
    """The ending of a picture's file, by its first bytes."""
    for start, ending in ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif")):
        if picture.startswith(start):
            return ending
    return ".bmp"
