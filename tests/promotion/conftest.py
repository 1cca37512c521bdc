"""The small project of the tests of stages."""

from ..stages.conftest import project

__all__ = ["project"]
