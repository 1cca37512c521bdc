"""An answer counts until its client has read it, however slowly."""

from types import SimpleNamespace

import pytest

from serving.protos import predict_pb2
from serving.server.api.grpc_api import _method
from serving.server.byte_budget import ByteBudget


class Aborted(Exception):
    pass


class Context:
    """A call; `end` is what happens when the client has read the answer, or is gone."""

    def __init__(self, is_open: bool = True) -> None:
        self.is_open = is_open
        self.end = lambda: None

    def time_remaining(self):
        return None

    def is_active(self):
        return self.is_open

    def add_callback(self, callback):
        if self.is_open:
            self.end = callback
        return self.is_open

    def abort(self, code, message):
        raise Aborted(code.name)


def test_answers_that_nobody_reads_leave_no_space_for_others():
    answer = predict_pb2.PredictResponse()
    answer.outputs["y"].tensor_content = bytes(1000)
    budget = ByteBudget(200)  # eight times as much in all
    method = _method(lambda request, deadline: answer, budget)
    context = Context()
    method(SimpleNamespace(), context)
    assert budget.held >= 1000
    with pytest.raises(Aborted, match="RESOURCE_EXHAUSTED"):
        method(SimpleNamespace(), Context())
    context.end()
    assert budget.held == 0
    method(SimpleNamespace(), Context(is_open=False))
    assert budget.held == 0, "the client is gone already"
