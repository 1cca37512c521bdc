"""The main job, as a user does it: train, look, serve, ask, promote, roll back, get it wrong."""

import base64
import json
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from celflow.params import load
from serving.client import Client

from ..promotion.team import BUCKET, KEYS, s3
from .conftest import LEFT_OUT, ROOT, Project, Stack, clone, fetch

pytestmark = pytest.mark.slow
MODELS = [model for model in load(ROOT / "params.yaml").models if model not in LEFT_OUT]


def test_a_version_is_made_again(trained):
    """From its commit and data, in a clone; what goes before is compared in test_new_model.py."""
    done = json.loads(trained.run("celflow", "verify", "xception", 1, "--json").stdout)
    assert done["result"] == "bit-equal", done


def test_what_was_pushed_is_pulled_elsewhere_and_nothing_runs_again(trained, tmp_path, monkeypatch):
    """By a store of S3."""
    other = Project(tmp_path / "other")
    other.folder.mkdir()
    # All that a commit of this moment would hold, which leaves the stack's repository as it is.
    commit = f"export GIT_INDEX_FILE={tmp_path}/index; git add -A; git archive $(git write-tree)"
    trained.run("sh", "-c", f"{commit} | tar -x -C {other.folder}")
    other.run("git", "init", "-q")
    with s3() as address:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)
        for project, words in ((trained, ("push",)), (other, ("pull",))):
            project.run(
                "dvc", "remote", "add", "--local", "--default", "team", f"s3://{BUCKET}/dvc"
            )
            project.run("dvc", *words)
    done = other.run("dvc", "repro").stdout
    assert re.findall("Running stage '(.*)'", done) == ["raw"]
    for model in MODELS:
        name = f"metrics/{model}.json"
        assert (other.folder / name).read_bytes() == (trained.folder / name).read_bytes()
    assert "xception: version 1 (new; champion)" in other.run("celflow", "register").stdout


def test_nothing_changed_means_only_the_listing_runs(trained):
    done = trained.run("dvc", "repro").stdout
    assert re.findall("Running stage '(.*)'", done) == ["raw"]


@pytest.mark.parametrize(
    ("edited", "models"),
    [
        ("stages/models/xception/xception.py", {"xception"}),
        ("stages/models/sketchify/unet.py", {"sketchify"}),
        ("stages/models/cartoonizer/card.md", {"cartoonizer"}),
        ("stages/models/character_embedding/gallery.py", {"character_embedding"}),
        ("stages/models/common/augment.py", set(MODELS)),
    ],
)
def test_an_edit_names_the_stages_of_its_models(trained, edited, models):
    path = trained.folder / edited
    before = path.read_bytes()
    path.write_bytes(before + b"\n# edited\n")
    try:
        status = json.loads(trained.run("dvc", "status", "--json").stdout)
    finally:
        path.write_bytes(before)
    stages = {f"{stage}@{m}" for stage in ("train", "evaluate", "export") for m in models}
    if "face_detector" in models:
        stages.add("facecrop")  # which finds faces by it
    assert set(status) - {"raw"} == stages, "and raw, which runs every time"


def test_dvc_shows_what_there_is(trained):
    assert "train@xception" in trained.run("dvc", "dag").stdout
    shown = json.loads(trained.run("dvc", "metrics", "show", "--json").stdout)
    assert "balanced_accuracy" in shown[""]["data"]["metrics/xception.json"]["data"]
    assert "train.xception.epochs" in trained.run("dvc", "params", "diff", "--all").stdout
    trained.run("dvc", "metrics", "diff")
    trained.run("dvc", "plots", "show", "--out", "plots-page")
    page = (trained.folder / "plots-page/index.html").read_text()
    assert "val_loss" in page and "sheet" in page


def test_an_experiment_runs(trained):
    words = ["-S", "train.colours.threshold=0.3", "-n", "at-30", "evaluate@colours"]
    trained.run("dvc", "exp", "run", *words)
    assert "at-30" in trained.run("dvc", "exp", "show", "--csv").stdout
    trained.configure({"train": {"colours": {"threshold": "tuned"}}})
    trained.run("dvc", "repro")


def test_check_tries_everything(trained):
    done = trained.run("celflow", "up", "--check", *Stack(trained.folder).port_flags)
    for name in (*MODELS, "mlflow", "model-server", "dashboard"):
        assert name in done.stdout
    assert "failed" not in done.stdout


def test_a_port_in_use_is_named_with_its_flag(trained):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = [*Stack(trained.folder).port_flags, "--rest-port", port]
        error = trained.fails("celflow", "up", *words)
    assert str(port) in error and "--rest-port" in error


def test_pages_and_health(stack):
    stack.reset()
    assert fetch(f"{stack.dashboard_url}/_stcore/health") == "ok"
    assert fetch(f"http://127.0.0.1:{stack.ports[3]}/health") == "OK"
    status = json.loads(fetch(f"http://127.0.0.1:{stack.ports[1]}/v1/models/colours"))
    states = {one["version"]: one["state"] for one in status["model_version_status"]}
    assert states["1"] == states["2"] == "AVAILABLE"


def test_sort(stack, tmp_path):
    stack.reset()
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(Path(stack.picture).read_bytes())
    (folder / "rubbish.jpg").write_bytes(b"no picture")
    done = stack.celflow(
        "sort", folder, "--by", "photo", "--model", "xception", "--to", tmp_path / "piles"
    )
    assert "left out" in done.stdout and "rubbish.jpg" in done.stdout
    piles = {path.parent.name for path in (tmp_path / "piles").rglob("*.png")}
    assert len(piles) == 1 and piles <= {"cartoon", "photo", "unsure"}


def test_predict(stack):
    stack.reset()
    done = stack.celflow("predict", "colours", stack.picture, "--json")
    (answer,) = json.loads(done.stdout)
    assert answer["version"] == 1
    assert set(answer["scores"]) == {"cartoon", "photo"}
    assert "cartoon" in stack.celflow("predict", "xception", stack.picture, stack.picture).stdout
    done = stack.celflow("predict", "colours", stack.picture, "--json", "--version", "canary")
    (answer,) = json.loads(done.stdout)
    assert (answer["version"], next(iter(answer["scores"]))) == (2, "photo")


def test_rest_says_what_grpc_says(stack):
    """Of every served model, as docs/serving.md shows it."""
    stack.reset()
    rest = f"http://127.0.0.1:{stack.ports[1]}/v1/models"
    picture = Path(stack.picture).read_bytes()
    body = {"instances": [{"b64": base64.b64encode(picture).decode()}] * 2}
    with Client(stack.server, timeout=120) as client:
        for name in MODELS:
            request = urllib.request.Request(f"{rest}/{name}:predict", json.dumps(body).encode())
            with urllib.request.urlopen(request, timeout=120) as answer:
                rows = json.load(answer)["predictions"]
            outputs = client.predict(name, [picture] * 2).outputs
            assert len(rows) == 2 and rows[0].keys() == outputs.keys()
            for output, array in outputs.items():
                assert np.shape([row[output] for row in rows])[:2] == array.shape[:2]
            if "verdict" in outputs:
                assert [row["verdict"].encode() for row in rows] == outputs["verdict"].tolist()


def test_what_a_user_can_get_wrong_is_one_line(stack, tmp_path):
    rubbish = tmp_path / "rubbish.jpg"
    rubbish.write_text("no picture")
    here = ["--server", stack.server]
    picture = stack.picture
    for words, text in [
        (["predict", "xception", rubbish, *here], "rubbish.jpg"),
        (["predict", "xception", tmp_path / "none.jpg", *here], "none.jpg"),
        (["predict", "vgg", picture, *here], "vgg"),
        (["predict", "xception", picture, "--version", "99", *here], "99"),
        (["predict", "xception", picture, "--server", "127.0.0.1:1"], "127.0.0.1:1"),
        (["promote", "xception", "99", *here], "has no version 99"),
        (["promote", "vgg", "1", *here], "no model 'vgg'"),
        (["rollback", "character_embedding", *here], "nothing to roll back to"),
    ]:
        assert text in stack.fails("celflow", *words)
    stack.run("celflow", "promote", code=2)
    stack.run("celflow", "predict", "xception", "--nonsense", code=2)


def answered_by(stack, model: str, label: str = "stable") -> int:
    done = stack.celflow("predict", model, stack.picture, "--json", "--version", label)
    return json.loads(done.stdout)[0]["version"]


def test_promote_and_roll_back(stack):
    stack.reset()
    refused = stack.celflow("promote", "colours", 2, code=1)
    assert "gate: failed" in refused.stdout and "--force" in refused.stderr
    assert answered_by(stack, "colours") == 1

    done = stack.celflow("promote", "colours", 2, "--force")
    assert "answers colours:stable with version 2" in done.stdout
    assert answered_by(stack, "colours") == 2
    assert "champion" in stack.run("celflow", "models").stdout

    done = stack.celflow("rollback", "colours")
    assert "answers colours:stable with version 1" in done.stdout
    assert answered_by(stack, "colours") == 1

    stack.celflow("promote", "colours", 2, "--to", "challenger")
    assert answered_by(stack, "colours", "canary") == 2


def test_a_version_that_does_not_load_leaves_the_old_one(stack):
    """Break the stored files of a new version, then try to promote it."""
    code = (
        "from pathlib import Path; from celflow import registry as r; import shutil;"
        "v = r.get('character_embedding', 1)\n"
        "with r.saved_model(v) as folder:\n"
        "    shutil.copytree(folder, 'broken')\n"
        "Path('broken/saved_model.pb').write_bytes(b'rubbish')\n"
        "from stages.models.common.saved_model import digest\n"
        "tags = dict(v.tags)\n"
        "broken = Path('broken')\n"
        "new, made = r.register('character_embedding', v.run_id, broken, digest(broken), tags)\n"
        "print(new.version)"
    )
    number = stack.run("python", "-c", code).stdout.split()[-1]
    words = ["promote", "character_embedding", number, "--force", "--server", stack.server]
    error = stack.fails("celflow", *words)
    assert f"character_embedding version {number} could not be loaded" in error
    # Past the trial, too, nothing changes.
    words = [*words, "--to", "challenger"]
    assert "nothing has changed" in stack.fails("celflow", *words)
    assert answered_by(stack, "character_embedding") == 1
    # Registered it is, as challenger; that stops nobody else's promotion.
    done = stack.celflow("promote", "colours", 1, "--force")
    assert "left out" not in done.stdout
    assert "answers colours:stable with version 1" in done.stdout
    assert f"left out: character_embedding version {number}" in stack.celflow("deploy").stdout
    lines = stack.run("celflow", "models").stdout.splitlines()
    assert ["character_embedding", number] in [line.split()[:2] for line in lines]
    champion = (
        "from celflow.registry import with_alias as named;"
        "print(named('character_embedding', 'champion').version)"
    )
    assert stack.run("python", "-c", champion).stdout.split()[-1] == "1"
    stack.run("python", "-c", f"import celflow.registry as r; r.connect().delete_model_version("
              f"'character_embedding', '{number}')")  # fmt: skip


def test_a_service_that_dies_ends_the_house_and_is_named(trained, tmp_path):
    """Kill the model server of a second stack: `up` names its log and stops the others."""
    second = Stack(trained.folder)
    second.up()
    try:
        found = subprocess.run(
            ["pgrep", "-f", f"serving.server.*--port={second.ports[0]} "],
            capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
        subprocess.run(["kill", "-9", *found], check=True)
        assert second.process.wait(60) == 1
    finally:
        if second.process.poll() is None:
            second.down()
    text = (Path(trained.folder) / "up.log").read_text()
    assert "error: model-server ended by itself" in text and "Traceback" not in text


def test_pipeline_errors_are_one_line(tmp_path):
    project = clone(tmp_path)
    python = ["python", "-m"]
    assert "run `dvc repro`" in project.fails("celflow", "models")
    assert "run `dvc repro`" in project.fails("celflow", "up")
    project.run("sh", "-c", "mkdir elsewhere && cd elsewhere && ! celflow models && ! ls mlflow.db")
    project.configure({"data": {"characters": "data/none"}})
    assert "no folder data/" in project.fails(*python, "stages.raw")
    (project.folder / "params.yaml").write_text("seed: seven\n")
    assert "params.yaml" in project.fails(*python, "stages.clean")
