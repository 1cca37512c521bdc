"""Which labels of a model's config can be put in force."""

from serving.protos import model_server_config_pb2
from serving.server.repository.served_model import ServedModel


def labels_in_force(
    config: model_server_config_pb2.ModelConfig, served: ServedModel, allow_unavailable: bool
) -> tuple[dict[str, int], list[str]]:
    """The labels to put in force, and why some of the config's cannot be.

    Args:
        config: of the model.
        served: its versions that are loaded, and the labels so far.
        allow_unavailable: let a label that is new name a version that is not loaded.
    """
    labels: dict[str, int] = {}
    refused = []
    for label, version in sorted(config.version_labels.items()):
        new = label not in served.labels
        in_force = served.labels.get(label) == version
        if version in served.versions or in_force or (new and allow_unavailable):
            labels[label] = version
            continue
        refused.append(
            f"Request to assign label {label} to version {version} of model {config.name}, "
            "which is not currently available for inference"
        )
        if not new:
            labels[label] = served.labels[label]
    return labels, refused
