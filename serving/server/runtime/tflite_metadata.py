"""The signatures that a TensorFlow Lite model carries in its metadata, as TensorFlow Serving does.

They are `SignatureDef` messages in a flexbuffer map, under the name below
(tensorflow/lite/tools/signature/signature_def_util.h).
"""

from pathlib import Path

import grpc
from flatbuffers import flexbuffers
from google.protobuf.message import DecodeError
from tensorflow.lite.python import schema_py_generated as schema

from serving.protos import meta_graph_pb2
from serving.server.status import StatusError

NAME = "signature_defs_metadata"


def signature_defs(file: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """Name to `SignatureDef`; none where the model has no such metadata.

    Raises:
        StatusError: INVALID_ARGUMENT: it can't be read.
    """
    try:
        model = schema.Model.GetRootAs(file.read_bytes(), 0)
        for number in range(model.MetadataLength()):
            metadata = model.Metadata(number)
            if metadata.Name() == NAME.encode():
                content = flexbuffers.Loads(
                    model.Buffers(metadata.Buffer()).DataAsNumpy().tobytes()
                )
                return {
                    name: meta_graph_pb2.SignatureDef.FromString(_bytes(text))
                    for name, text in content.items()
                }
    except (DecodeError, AttributeError, TypeError, ValueError, IndexError) as error:
        message = f"the signatures in the metadata of {file} can't be read: {error}"
        raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, message) from None
    return {}


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
