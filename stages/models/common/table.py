"""From a line of the table of models in params.yaml to its class."""

from importlib import import_module
from pathlib import PurePosixPath
from typing import Any

from celflow.errors import UserError
from celflow.params import Params
from celflow.quiet_tensorflow import import_tensorflow
from stages.models.common.model import Model


def create(name: str, params: Params) -> Model[Any]:
    """The model `name`, of the class that its code brings.

    The folder that the line's `code` names has in its `__init__.py` a table `MODELS`, name to
    class; where that has one class only, the name may be any.

    Raises:
        UserError: the table of models has no such line, `code` no such class, the class another
            task, or a setting is wrong.
    """
    line = params.model(name)
    import_tensorflow()
    try:
        classes = import_module(".".join(PurePosixPath(line.code).parts)).MODELS
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"models.{name}.code '{line.code}' brings no model: {error}") from error
    found = classes.get(name) or (next(iter(classes.values())) if len(classes) == 1 else None)
    if found is None:
        raise UserError(f"models.{name}.code '{line.code}' brings {', '.join(classes)} only")
    if line.task not in found.tasks:
        raise UserError(
            f"{name} is made for {' or '.join(found.tasks)}: "
            f"its task in params.yaml can't be '{line.task}'"
        )
    model: Model[Any] = found(name, params)
    return model
