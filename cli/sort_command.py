"""`celflow sort`, `watch`: a folder of pictures into a folder for each answer."""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from celflow.errors import UserError
from celflow.names import as_text, shown
from cli import output, picture_files
from cli.options import SERVER, AsJson, Server

if TYPE_CHECKING:
    from celflow.params import Params
    from serving.client import Client
    from sorting.journal import Mode, Plan
    from sorting.sorter import Sorter, Summary
    from sorting.verdicts import Ask

PATIENCE = 30.0  # seconds that the server may be away, a restart, before a sort gives up


class By(str, Enum):
    """What a pile stands for."""

    photo = "photo"
    character = "character"


Folder = Annotated[Path, typer.Argument(help="Pictures, also in sub-folders.")]
ByOption = Annotated[
    By, typer.Option(help="photo: cartoon, photo or unsure; character: who is in it.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="A served model.", show_default="the first of its task in params.yaml"),
]
To = Annotated[
    Path,
    typer.Option("--to", help="Folder of the piles; made if missing."),
]
Copy = Annotated[bool, typer.Option("--copy", help="Copy files (this is the default).")]
Move = Annotated[bool, typer.Option("--move", help="Move files; folders left empty go.")]
Link = Annotated[bool, typer.Option("--link", help="Make symbolic links.")]


@dataclass(frozen=True)
class _Job:
    """A sort that is set up: the plan, and whom to ask."""

    plan: "Plan"
    version: int | str
    config: "Params"

    def asker(self, client: "Client") -> "Ask":
        from sorting import verdicts

        return verdicts.asker(client, self.plan.model, self.version, self.config)


def sort(
    folder: Folder,
    by: ByOption = By.photo,
    model: ModelOption = None,
    version: picture_files.VersionOption = None,
    to: To = Path("sorted"),
    copy: Copy = False,
    move: Move = False,
    link: Link = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask, and say what would be done; change nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a sort that was begun, or stop.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Put everything back that was sorted into --to.")
    ] = False,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Sort pictures into folders, by cartoon or photo, or by character.

    No file is ever overwritten. A journal beside the piles lets the same command go on after
    anything that stopped it, and --undo put everything back.
    """
    if undo:
        _undo(to, as_json)
        return
    job = _job(folder, by, model, version, to, _mode(copy, move, link))
    if resume and not _is_begun(job.plan.out):
        raise UserError(f"nothing was begun in {shown(to)}: run without --resume")
    if dry_run:
        _dry_run(job, server, as_json)
        return
    from serving.client import Client
    from sorting.run import sort_files
    from sorting.sorter import Sorter

    with Client(server, timeout=60, patience=PATIENCE) as client, Sorter(job.plan) as sorter:
        ask = job.asker(client)
        if sorter.gone_on and not as_json:
            print(f"going on: {sorter.gone_on} were sorted before")
        try:
            sort_files(sorter, _new_files(job.plan, sorter), ask)
        except BaseException:
            with suppress(UserError):  # the first one counts
                sorter.finish(tidy=False)
            raise
        summary = sorter.finish()
    _report(job.plan, summary, as_json)


def watch(
    folder: Folder,
    by: ByOption = By.photo,
    model: ModelOption = None,
    version: picture_files.VersionOption = None,
    to: To = Path("sorted"),
    copy: Copy = False,
    move: Move = False,
    link: Link = False,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Sort a folder, and go on as files arrive in it; Ctrl-C ends it.

    A file counts as arrived when it has not changed for two seconds. Where the server is away, it
    is waited for.
    """
    from serving.client import Client
    from sorting.arrivals import arrivals, until_ctrl_c
    from sorting.sorter import Sorter

    job = _job(folder, by, model, version, to, _mode(copy, move, link))
    with Client(server, timeout=60) as client, Sorter(job.plan) as sorter:
        ask = job.asker(client)
        try:
            with until_ctrl_c() as pressed:
                if not as_json:
                    print(f"watching {shown(folder)}; Ctrl-C ends it", flush=True)
                for files in arrivals(job.plan.folder, job.plan.out, pressed):
                    _sort_when_served(sorter, files, _telling(ask) if not as_json else ask)
        except KeyboardInterrupt:
            pass
        finally:
            summary = sorter.finish(tidy=False)
    _report(job.plan, summary, as_json)


def _sort_when_served(sorter: "Sorter", files: list[Path], ask: "Ask") -> None:
    """Sort files; those that the server's end left unsorted when it is there again."""
    from celflow.waiting import until_available
    from sorting.run import sort_files

    def unsorted() -> list[Path]:
        return [file for file in files if file.is_file() and not sorter.is_done(file)]

    until_available(lambda: sort_files(sorter, unsorted(), ask))


def _mode(copy: bool, move: bool, link: bool) -> "Mode":
    if copy + move + link > 1:
        raise typer.BadParameter("--copy, --move and --link exclude each other")
    return "move" if move else "link" if link else "copy"


def _job(
    folder: Path, by: By, model: str | None, version: str | None, to: Path, mode: "Mode"
) -> _Job:
    from celflow import params
    from sorting import verdicts
    from sorting.journal import Plan

    config = params.load()
    model = model or verdicts.model_for(by.value, config)
    config.task(model)
    if not folder.is_dir():
        raise UserError(f"no folder {shown(folder)}")
    inside, out = folder.resolve(), to.resolve()
    if out == inside or out in inside.parents:
        raise UserError(
            f"{shown(to)} holds the folder that is to be sorted: name another with --to"
        )
    if os.path.lexists(out) and not out.is_dir():
        raise UserError(f"{shown(to)} is no folder: name another with --to")
    return _Job(Plan(inside, out, model, mode), picture_files.version_or_label(version), config)


def _is_begun(out: Path) -> bool:
    from sorting.journal import journal_folder

    return (journal_folder(out) / "journal.jsonl").is_file()


def _new_files(plan: "Plan", sorter: "Sorter") -> Iterable[Path]:
    from sorting.walk import files_in

    new = (file for file in files_in(plan.folder, plan.out) if not sorter.is_done(file))
    return _progress(new, sum(1 for _ in files_in(plan.folder, plan.out)) - sorter.gone_on)


def _progress(files: Iterable[Path], total: int) -> Iterable[Path]:
    from tqdm import tqdm

    return tqdm(files, "sort", max(total, 0), disable=None)


def _telling(ask: "Ask") -> "Ask":
    """`ask`, and a line for each answer."""
    from sorting.verdicts import LeftOut

    def told(file: Path) -> Any:
        verdict = ask(file)
        word = f"left out: {verdict.reason}" if isinstance(verdict, LeftOut) else verdict.pile
        print(f"{shown(file.name)}: {word}", flush=True)
        return verdict

    return told


def _dry_run(job: _Job, server: str, as_json: bool) -> None:
    from serving.client import Client
    from sorting.sorter import Summary
    from sorting.verdicts import LeftOut, verdicts
    from sorting.walk import files_in

    piles: Counter[str] = Counter()
    left_out: dict[str, str] = {}
    files = []
    plan = job.plan
    total = sum(1 for _ in files_in(plan.folder, plan.out))
    with Client(server, timeout=60, patience=PATIENCE) as client:
        found = _progress(files_in(plan.folder, plan.out), total)
        for file, verdict in verdicts(found, job.asker(client)):
            name = str(file.relative_to(plan.folder))
            if isinstance(verdict, LeftOut):
                left_out[name] = verdict.reason
                continue
            piles[verdict.pile] += 1
            files.append({"file": as_text(name), "pile": verdict.pile, "score": verdict.score})
    _report(plan, Summary(dict(piles.most_common()), left_out), as_json, files)


def _report(
    plan: "Plan", summary: "Summary", as_json: bool, files: list[dict[str, Any]] | None = None
) -> None:
    """Print what was done or, where `files` are given, what would be."""
    from sorting.journal import journal_folder

    beside = journal_folder(plan.out) / "report.csv"
    if as_json:
        output.print_json(
            {
                "folder": as_text(plan.folder), "to": as_text(plan.out), "model": plan.model,
                "mode": plan.mode, "piles": summary.piles,
                "left_out": [
                    {"file": as_text(name), "reason": why} for name, why in summary.left_out.items()
                ],
                **({"report": as_text(beside)} if files is None else {"files": files}),
            }
        )  # fmt: skip
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    lines = [f"{shown(name)}: {why}" for name, why in summary.left_out.items()]
    output.print_left_out(lines, f", see {shown(beside)}" if files is None else "")
    table = Table("folder", "pictures")
    for pile, count in summary.piles.items():
        table.add_row(escape(shown(plan.out / pile)), str(count))
    Console().print(table)
    if files is None:
        print(f"report: {shown(beside)}")
    else:
        print("nothing was changed")


def _undo(to: Path, as_json: bool) -> None:
    from sorting.undo import undo

    back, stayed = undo(to.resolve())
    if as_json:
        output.print_json(
            {
                "undone": back,
                "stayed": [{"file": as_text(f), "reason": r} for f, r in stayed.items()],
            }
        )
    else:
        output.print_left_out([f"{shown(name)} {reason}" for name, reason in stayed.items()])
        print(f"{back} files are back as they were")
    if stayed:
        raise typer.Exit(1)
