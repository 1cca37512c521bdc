"""Look a SavedModel over before it is loaded: may it do only what a model has to?

A SavedModel is a program, and TensorFlow runs it with the rights of whoever loads it
(TensorFlow's SECURITY.md): its ops read and write files, call Python and open connections, some of
them already while it loads. So everything that is not on the list of allowed ops is refused,
wherever it stands in the graph, reached or not. Reading and writing checkpoints, which every
SavedModel can, is allowed to its saver alone.

Needs no TensorFlow.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from celflow.errors import UserError
from serving.protos import meta_graph_pb2, saved_model_pb2

ALLOWED = frozenset(
    line
    for line in Path(__file__).with_name("allowed_ops.txt").read_text(encoding="utf-8").split("\n")
    if line and not line.startswith("#")
)
CHECKPOINT_OPS = {"RestoreV2", "SaveV2", "MergeV2Checkpoints", "ShardedFilename"}
READ_ONLY = {"RestoreV2", "ShardedFilename"}
_INIT_OPS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op")
_LIKE_AN_OP = re.compile(r"[A-Z][A-Za-z0-9]*$")


def scan(folder: Path) -> list[str]:
    """What a SavedModel holds that a model does not need; a line each, nothing where all is well.

    folder: that of saved_model.pb or saved_model.pbtxt.

    Raises:
        UserError: there is none, or it can't be read.
    """
    found: list[str] = []
    for meta_graph in read(folder).meta_graphs:
        found += _MetaGraph(meta_graph).findings()
    found += [f"{path.relative_to(folder)} is a link" for path in _links(folder)]
    return list(dict.fromkeys(found))


def check(folder: Path) -> None:
    """Raise UserError where `scan` finds something."""
    found = scan(folder)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise UserError(f"{folder} could do more than answer: {'; '.join(found[:3])}{more}")


def read(folder: Path) -> "saved_model_pb2.SavedModel":
    """The message of a SavedModel. Raises UserError where there is none, or it can't be read."""
    binary, text = folder / "saved_model.pb", folder / "saved_model.pbtxt"
    try:
        if binary.is_file():  # as TensorFlow, which looks at the text only where this is missing
            return saved_model_pb2.SavedModel.FromString(binary.read_bytes())
        if text.is_file():
            message = saved_model_pb2.SavedModel()
            text_format.Parse(text.read_text(encoding="utf-8"), message)
            return message
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"{folder} holds no SavedModel that can be read: {error}") from error
    raise UserError(f"no SavedModel in {folder}: it has no saved_model.pb")


def _links(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            yield path


@dataclass
class _MetaGraph:
    """One graph of a SavedModel, with its functions."""

    message: "meta_graph_pb2.MetaGraphDef"

    @cached_property
    def main(self) -> dict[str, Any]:
        return {node.name: node for node in self.message.graph_def.node}

    @cached_property
    def functions(self) -> dict[str, Any]:
        return {f.signature.name: f for f in self.message.graph_def.library.function}

    @cached_property
    def file_ops(self) -> dict[str, set[str]]:
        """The checkpoint ops of each function, those of the functions that it calls included."""
        own = {
            name: {n.op for n in f.node_def if n.op in CHECKPOINT_OPS}
            for name, f in self.functions.items()
        }
        calls = {
            name: {c for n in f.node_def for c in self.called(n)}
            for name, f in self.functions.items()
        }
        changed = True
        while changed:
            changed = False
            for name, callees in calls.items():
                more = set().union(*(own[c] for c in callees)) - own[name]
                own[name] |= more
                changed |= bool(more)
        return own

    def called(self, node: Any) -> set[str]:
        """The functions that a node names: as its op, or in any attribute."""
        names = {node.op}
        pending = list(node.attr.values())
        while pending:
            value = pending.pop()
            for function in (value.func, *value.list.func):
                if function.name:
                    names.add(function.name)
                    pending += function.attr.values()
        return names & set(self.functions)

    def findings(self) -> list[str]:
        """All that is not allowed, a line each."""
        return [*self._unknown_ops(), *self._misused_checkpoints()]

    def _unknown_ops(self) -> Iterator[str]:
        for place, nodes in self._places():
            for node in nodes:
                if node.op in ALLOWED or node.op in CHECKPOINT_OPS:
                    continue
                if node.op not in self.functions:
                    yield f"op {node.op} ({place}{node.name})"
        for name in self.functions:
            if _LIKE_AN_OP.match(name):
                yield f"a function with a name like an op's, {name}"

    def _places(self) -> Iterator[tuple[str, Iterable[Any]]]:
        yield "", self.message.graph_def.node
        for name, function in self.functions.items():
            yield f"{name}/", function.node_def

    def _misused_checkpoints(self) -> Iterator[str]:
        saver = self.message.saver_def
        signatures = (
            tensor.name
            for signature in self.message.signature_def.values()
            for tensor in signature.outputs.values()
        )
        inits = (
            name
            for key in _INIT_OPS
            if key in self.message.collection_def
            for name in self.message.collection_def[key].node_list.value
        )
        for op in sorted(self._reached([*signatures, *inits])):
            yield f"op {op} where it answers or starts"
        for op in sorted(self._reached([saver.restore_op_name]) - READ_ONLY):
            yield f"op {op} where it reads its variables"
        for node in self.message.graph_def.node:
            touches_files = node.op in CHECKPOINT_OPS or self._touches_files(node)
            if touches_files and not self._own_path(node, self.main, saver.filename_tensor_name):
                yield f"op {node.op} with a path of its own ({node.name})"
        for name, function in self.functions.items():
            yield from self._function(name, function)
        for name in self.message.object_graph_def.concrete_functions:
            if self.file_ops.get(name):
                yield f"a checkpoint op in the model's own function {name}"

    def _function(self, name: str, function: Any) -> Iterator[str]:
        nodes = {node.name: node for node in function.node_def}
        arguments = [arg.name for arg in function.signature.input_arg] or [""]
        for node in function.node_def:
            if self._touches_files(node):
                yield f"a checkpoint op called from {name}"
            if node.op in CHECKPOINT_OPS and not self._own_path(node, nodes, arguments[0]):
                yield f"op {node.op} with a path of its own ({name}/{node.name})"

    def _touches_files(self, node: Any) -> bool:
        return any(self.file_ops[name] for name in self.called(node))

    def _reached(self, ends: Iterable[str]) -> set[str]:
        """The checkpoint ops that run for these tensors or nodes of the main graph."""
        pending, seen, ops = [_node(end) for end in ends], set(), set()
        while pending:
            name = pending.pop()
            node = self.main.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            ops |= {node.op} & CHECKPOINT_OPS
            for function in self.called(node):
                ops |= self.file_ops[function]
            pending += [_node(i) for i in node.input]
        return ops

    def _own_path(self, node: Any, nodes: dict[str, Any], given: str) -> bool:
        """Whether a checkpoint op's path is the one that is given, perhaps with more behind it."""
        paths = node.input[:2] if node.op == "MergeV2Checkpoints" else node.input[:1]
        return bool(paths) and all(self._begins(path, nodes, _node(given)) for path in paths)

    def _begins(self, path: str, nodes: dict[str, Any], given: str) -> bool:
        pending, seen = [_node(path)], set[str]()
        while pending:
            name = pending.pop()
            if name in seen or name == given:
                seen.add(name)
                continue
            seen.add(name)
            if name not in nodes:
                return False
            for text in nodes[name].attr["value"].tensor.string_val:
                if b".." in text or (text.startswith(b"/") and text != b"/"):
                    return False
            pending += [_node(i) for i in nodes[name].input if not i.startswith("^")]
        return given in seen


def _node(tensor: str) -> str:
    """The node of a tensor: `name`, `name:0`, `name:output:0` and `^name` are of `name`."""
    return tensor.removeprefix("^").split(":")[0]
