"""What a SavedModel from outside may do."""

from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format

from celflow.errors import UserError
from serving.protos import saved_model_pb2
from serving.scan.scan import check, scan

TEXT = tf.TensorSpec([], tf.string)


class Doubles(tf.Module):
    """An honest model: a variable, a table of words, pictures, a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable(2.0)
        keys = tf.lookup.KeyValueTensorInitializer(["a"], [1])
        self.table = tf.lookup.StaticHashTable(keys, -1)

    @tf.function(input_signature=[TEXT])
    def __call__(self, picture):
        pixels = tf.cast(tf.io.decode_image(picture, expand_animations=False), tf.float32)
        while tf.reduce_sum(pixels) < 1:
            pixels += 1
        return pixels * self.factor + tf.cast(self.table.lookup(tf.constant("a")), tf.float32)


def saved(folder: Path, function=None) -> Path:
    """A SavedModel; function: one of a string, served as `serving_default`."""
    module = Doubles()
    if function is None:
        signatures = module.__call__
    else:
        module.other = signatures = tf.function(function, input_signature=[TEXT])
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def changed(folder: Path, change, text: bool = False) -> Path:
    """Change a SavedModel's message as somebody would who has no TensorFlow at hand."""
    file = folder / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(message.meta_graphs[0])
    if text:
        (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(message))
        file.unlink()
    else:
        file.write_bytes(message.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def model(honest, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(honest, tmp_path / "model"))


def test_an_honest_model_passes(honest):
    assert scan(honest) == []
    check(honest)


def writes(path):
    tf.io.write_file("/tmp/celflow-test-never", path)
    return path


def prints(path):
    tf.print(path, output_stream="file:///tmp/celflow-test-never")
    return path


def lists(path):
    return tf.io.matching_files(path)


def python(path):
    return tf.numpy_function(lambda x: x, [path], tf.string)


def table(path):
    data = tf.data.TextLineDataset(path)
    return data.reduce(tf.constant(0), lambda n, _: n + 1)


def saves(path):
    tf.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[path])
    return path


def reads(path):
    return tf.raw_ops.RestoreV2(
        prefix=path, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0]


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (tf.io.read_file, "ReadFile"),
        (writes, "WriteFile"),
        (prints, "PrintV2"),
        (lists, "MatchingFiles"),
        (python, "PyFunc"),
        (table, "TextLineDataset"),
        (saves, "SaveV2"),
        (reads, "RestoreV2"),
    ],
)
def test_what_a_model_does_not_need_is_refused(tmp_path, function, op):
    folder = saved(tmp_path / "model", function)
    assert op in " ".join(scan(folder))
    with pytest.raises(UserError, match="could do more than answer"):
        check(folder)


def add(graph, name: str, op: str, *inputs: str):
    node = graph.add(name=name, op=op)
    node.input.extend(inputs)
    return node


def constant(graph, name: str, text: bytes):
    node = add(graph, name, "Const")
    node.attr["value"].tensor.string_val.append(text)
    return node


@pytest.mark.parametrize("text", [False, True])
def test_an_op_that_nothing_reaches(model, text):
    def change(meta):
        add(meta.graph_def.node, "idle", "ReadFile", "saver_filename")

    assert scan(changed(model, change, text)) == ["op ReadFile (idle)"]


def test_an_op_in_a_function_that_nothing_calls(model):
    def change(meta):
        function = meta.graph_def.library.function.add()
        function.signature.name = "__idle"
        add(function.node_def, "python", "EagerPyFunc")

    assert scan(changed(model, change)) == ["op EagerPyFunc (__idle/python)"]


def test_a_function_that_hides_behind_an_ops_name(model):
    def change(meta):
        meta.graph_def.library.function.add().signature.name = "ReadFile"
        add(meta.graph_def.node, "x", "ReadFile", "saver_filename")

    assert "a function with a name like an op's, ReadFile" in scan(changed(model, change))


@pytest.mark.parametrize("key", ["saved_model_main_op", "legacy_init_op"])
def test_reading_a_checkpoint_as_it_starts(model, key):
    def change(meta):
        constant(meta.graph_def.node, "path", b"/etc/passwd")
        add(meta.graph_def.node, "more", "RestoreV2", "path")
        meta.collection_def[key].node_list.value.append("more")

    found = " ".join(scan(changed(model, change)))
    assert "RestoreV2 where it answers or starts" in found
    assert "RestoreV2 with a path of its own (more)" in found


def test_writing_where_variables_are_read(model):
    def change(meta):
        meta.saver_def.restore_op_name = meta.saver_def.save_tensor_name.split(":")[0]

    assert "SaveV2 where it reads its variables" in " ".join(scan(changed(model, change)))


@pytest.mark.parametrize("suffix", [b"/../../x", b"/etc/x"])
def test_a_path_that_leads_elsewhere(model, suffix):
    def change(meta):
        constant(meta.graph_def.node, "suffix", suffix)
        add(meta.graph_def.node, "path", "StringJoin", "saver_filename", "suffix")
        add(meta.graph_def.node, "more", "RestoreV2", "path")

    assert scan(changed(model, change)) == ["op RestoreV2 with a path of its own (more)"]


def test_a_saver_called_from_a_function_or_by_the_model_itself(model):
    def change(meta):
        saver = next(f for f in meta.graph_def.library.function if "save" in f.signature.name)
        function = meta.graph_def.library.function.add()
        function.signature.name = "__other"
        call = add(function.node_def, "call", "StatefulPartitionedCall")
        call.attr["f"].func.name = saver.signature.name
        meta.object_graph_def.concrete_functions[saver.signature.name].SetInParent()

    found = " ".join(scan(changed(model, change)))
    assert "a checkpoint op called from __other" in found
    assert "a checkpoint op in the model's own function" in found


def test_links_out_of_the_folder(model, tmp_path):
    (tmp_path / "secret").write_text("x")
    (model / "assets/secret").symlink_to(tmp_path / "secret")
    (model / "assets/inner").symlink_to(model / "saved_model.pb")
    assert scan(model) == ["assets/secret is a link"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("saved_model.pb", b"\xff\xff"), ("saved_model.pbtxt", b"no {"), ("x", b"")],
)
def test_what_is_no_saved_model(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="SavedModel"):
        scan(tmp_path)
