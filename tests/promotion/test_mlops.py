"""The Python API does what the commands do."""

from datetime import datetime, timedelta

import pytest

from celflow import mlops
from celflow.errors import UserError

NOBODY = "127.0.0.1:1"


def test_a_version_is_promoted_looked_back_at_and_rolled_back(tiny):
    for kind in ("b0", "b1"):
        tiny.register("colours", kind)
    before = datetime.now()
    assert [one.version for one in mlops.models()] == [2, 1]

    judged = []
    with pytest.raises(mlops.GateFailed, match=r"colours version 2 does not pass") as refused:
        mlops.promote("colours", 2, server=NOBODY, judged=judged.append)
    assert judged == [refused.value.verdict]

    moved = mlops.promote("colours", 2, force=True, reason="a try", server=NOBODY)
    assert (moved.version.version, moved.alias) == (2, "champion")
    assert moved.deployed.aliases == {"colours": {"champion": 2, "previous": 1}}
    assert not moved.deployed.confirmed, "no server runs"

    last = mlops.history("colours")[-1]
    assert (last.kind, last.version, last.reason, last.forced) == ("promote", 2, "a try", True)
    assert mlops.champion_at("colours", before) == 1
    assert mlops.champion_at("colours", datetime.now() + timedelta(seconds=1)) == 2
    assert mlops.show("colours", 2)["aliases"] == ["champion"]
    assert mlops.diff("colours", 1, 2)["parameters"] == {}

    back = mlops.rollback("colours", reason="it was worse", server=NOBODY)
    assert (back.version.version, back.verdict) == (1, None)
    (line,) = mlops.status(server=NOBODY)
    assert line.registered == line.configured == {"champion": 1}


def test_what_is_not_there_is_said(tiny):
    tiny.register("colours", "b0")
    with pytest.raises(UserError, match="no model 'vgg'"):
        mlops.history("vgg")
    with pytest.raises(UserError, match="no champion of character_embedding"):
        mlops.forget("juno")
    with pytest.raises(UserError, match="no champion of colours"):
        mlops.shadow("colours", server=NOBODY)
