"""Libraries of the extra ``language``, which load when they are needed."""

from importlib import import_module
from types import ModuleType

from crystal_data.errors import InvalidArgumentError


def optional_library(name: str) -> ModuleType:
    """A library of the extra.

    Args:
        name: ``transformers``, ``tokenizers`` or ``peft``.

    Raises:
        InvalidArgumentError: If it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise InvalidArgumentError(
            f"symmetry by a language model needs {name}, which is not installed",
            "pip install 'crystal-gen[language]'",
        ) from error
