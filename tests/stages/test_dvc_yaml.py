"""dvc.yaml names what each stage imports and reads: no more, or work is repeated; no less, or
results are stale.
"""

import ast
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
import yaml

from .conftest import ROOT

PACKAGES = ("celflow", "stages", "promotion", "serving", "dashboard", "cli")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
MODELS = PARAMS["models"]


def filled(text: str, key: str, item: dict[str, str]) -> str:
    """A value of dvc.yaml with its ${...} filled in."""
    values = {"key": key, **{f"item.{name}": value for name, value in item.items()}}
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", str(value))
    return text


def stages() -> dict[str, tuple[dict, str, dict[str, str]]]:
    """Every stage as `dvc stage list` names it: its definition, key and item."""
    found = {}
    for name, stage in PIPELINE.items():
        if "foreach" in stage:
            assert stage["foreach"] == "${models}"
            found |= {f"{name}@{key}": (stage["do"], key, item) for key, item in MODELS.items()}
        else:
            found[name] = (stage, "", {})
    return found


STAGES = stages()


def paths(name: str, field: str) -> list[str]:
    """The paths in a field of a stage, such as `deps`."""
    stage, key, item = STAGES[name]
    entries = [next(iter(e)) if isinstance(e, dict) else e for e in stage.get(field, [])]
    return [filled(entry, key, item) for entry in entries]


def file_of(module: str) -> Path | None:
    """The file of a module in this repository, from its root."""
    path = Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


@cache
def imports(file: Path) -> frozenset[str]:
    """Modules of this repository that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(module for module in found if module.split(".")[0] in PACKAGES)


def closure(command: str, item: dict[str, str]) -> set[Path]:
    """Every file of this repository that a command `python -m MODULE` may import, `code` included.

    Empty files say nothing and count as nothing.
    """
    module = command.split()[2]
    start = file_of(f"{module}.__main__") or file_of(module)
    assert start is not None
    waiting, seen = [start], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        modules = set(imports(file))
        if any(one.startswith("stages.models.common.table") for one in modules):
            # it imports by name what the table of models says
            modules.add(".".join(PurePosixPath(item["code"]).parts))
        for one in modules:
            parts = one.split(".")
            for length in range(1, len(parts) + 1):  # a package is imported before its modules
                if (found := file_of(".".join(parts[:length]))) is not None:
                    waiting.append(found)
    return {file for file in seen if (ROOT / file).read_text().strip()}


def within(file: Path, deps: list[str]) -> bool:
    return any(file == Path(dep) or Path(dep) in file.parents for dep in deps)


@pytest.mark.parametrize("name", STAGES)
def test_everything_that_a_stage_imports_is_a_dep(name):
    stage, key, item = STAGES[name]
    deps = paths(name, "deps")
    missing = [
        str(f) for f in closure(filled(stage["cmd"], key, item), item) if not within(f, deps)
    ]
    assert not missing, f"add to the deps of {name}: {sorted(missing)}"


@pytest.mark.parametrize("stage", PIPELINE)
def test_every_source_among_the_deps_is_imported(stage):
    instances = [name for name in STAGES if name.split("@")[0] == stage]
    files = {
        file
        for name in instances
        for file in closure(filled(STAGES[name][0]["cmd"], *STAGES[name][1:]), STAGES[name][2])
    }
    sources = {d for n in instances for d in paths(n, "deps") if d.split("/")[0] in PACKAGES}
    unused = [d for d in sorted(sources) if not any(within(file, [d]) for file in files)]
    assert not unused, f"take out of the deps of {stage}: {unused}"


def outputs(name: str) -> list[str]:
    return [path for field in ("outs", "metrics", "plots") for path in paths(name, field)]


@pytest.mark.parametrize("name", STAGES)
def test_every_data_dep_is_raw_or_made_by_an_earlier_stage(name):
    names = list(STAGES)
    key = STAGES[name][1]
    earlier = [n for n in names[: names.index(name)] if STAGES[n][1] in ("", key)]
    made = [path for stage in earlier for path in outputs(stage)]
    data = [d for d in paths(name, "deps") if d.split("/")[0] not in PACKAGES]
    assert not [d for d in data if not within(Path(d), made)]


@pytest.mark.parametrize("name", ["clean", "facecrop", "split"])
def test_reports_persist_where_the_stage_fails(name):
    """DVC removes all other outputs before it runs a stage."""
    stage = STAGES[name][0]
    entries = [entry for field in ("outs", "metrics") for entry in stage[field]]
    reports = [e for e in entries if "report" in str(e) or "quarantine" in str(e)]
    assert reports
    assert all(next(iter(entry.values()))["persist"] is True for entry in reports)


def test_no_two_models_share_an_output():
    made = [path for name in STAGES for path in outputs(name)]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("name", [name for name, (_, key, _) in STAGES.items() if key])
def test_a_word_in_one_models_folder_leaves_other_models_as_they_are(name):
    item = STAGES[name][2]
    folders = {dep for dep in paths(name, "deps") if dep.startswith("stages/models/")}
    assert folders <= {"stages/models/common", item["code"]}
