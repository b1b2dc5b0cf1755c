"""What a module was made with, as plain values in its checkpoints, and modules made from that.

Nothing in a checkpoint is executed: classes are looked up by name in the crystal packages, models
in the registries that these announce.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor

from crystal_data.artifacts.artifact import Artifact
from crystal_data.artifacts.pretrained import PretrainedModel, build_model
from crystal_data.artifacts.registry import PACKAGES, ArtifactError
from crystal_data.errors import CrystalError
from crystal_data.remembered_arguments import RemembersArguments
from crystal_data.transforms.base import Transform

_MODEL, _VALUE = "model", "value"  # kinds of objects among the arguments


class CheckpointError(CrystalError, ValueError):
    """A checkpoint that no module can be made from, with the reason and the remedy."""


def describe(module: RemembersArguments) -> dict[str, Any]:
    """The class of a module and its arguments.

    An argument that cannot be told in plain values, such as the function that makes an optimizer,
    is left out; so is a model that no registry knows.
    """
    arguments, given = {}, dict(module._arguments)
    for one in signature(type(module).__init__).parameters.values():
        if one.kind is Parameter.VAR_KEYWORD:
            given |= given.pop(one.name, {})
    for name, value in given.items():
        try:
            arguments[name] = _plain(value)
        except _NotPlainError:
            continue
    return {"class": type(module).__name__, "arguments": arguments}


def arguments_for(
    module_class: type, description: Any, given: Mapping[str, Any], state: Mapping[str, Tensor]
) -> dict[str, Any]:
    """What a module is made with again.

    Args:
        module_class: Class of the module.
        description: What :func:`describe` gave, out of a checkpoint.
        given: Arguments that take the place of those described.
        state: Weights of the module; nothing much larger is built.

    Raises:
        CheckpointError: If the checkpoint is of another class, describes nothing, or an argument
            is missing.
    """
    name = module_class.__name__
    found = description if isinstance(description, Mapping) else {}
    if found and found.get("class") != name:
        raise CheckpointError(
            f"the checkpoint is of a {found.get('class')!s:.50}, not of a {name}",
            f"load it with {found.get('class')!s:.50}.load_from_checkpoint",
        )
    described = found.get("arguments") or {}
    try:
        arguments = {
            key: _restored(value, state) for key, value in described.items() if key not in given
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the checkpoint does not say how a {name} is made") from error
    arguments |= given
    needed = signature(module_class.__init__).parameters.values()  # type: ignore[misc]
    missing = [
        one.name
        for one in list(needed)[1:]
        if one.default is Parameter.empty
        and one.kind in {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
        and one.name not in arguments
    ]
    if missing:
        raise CheckpointError(
            f"the checkpoint does not hold what a {name} is made with: {', '.join(missing)}",
            f"give it: {name}.load_from_checkpoint(path, {missing[0]}=...)",
        )
    return arguments


class _NotPlainError(ValueError):
    """An argument that plain values cannot tell."""


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"kind": dict.__name__, "values": {key: _plain(one) for key, one in value.items()}}
    if isinstance(value, PretrainedModel):
        return _described_model(value)
    home, name = type(value).__module__, type(value).__qualname__
    if home.partition(".")[0] in PACKAGES and _is_value(type(value)):
        if is_dataclass(value):
            arguments = {one.name: getattr(value, one.name) for one in fields(value)}
        else:
            arguments = value._arguments
        plain = {key: _plain(one) for key, one in arguments.items()}
        return {"kind": _VALUE, "module": home, "class": name, "arguments": plain}
    raise _NotPlainError


def _described_model(model: PretrainedModel) -> dict[str, Any]:
    try:
        registry = model.registry()
        registry.check(type(model))
    except ArtifactError as error:
        raise _NotPlainError from error
    return {
        "kind": _MODEL,
        "package": registry.package,
        "class": type(model).__name__,
        "arguments": model.artifact_arguments(),
        "graph_spec": None if model.graph_spec is None else model.graph_spec.to_dict(),
        "files": {
            name: torch.frombuffer(bytearray(content), dtype=torch.uint8)
            for name, content in model.artifact_files().items()
        },
    }


def _restored(value: Any, state: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restored(one, state) for one in value]
    if not isinstance(value, Mapping):
        return value
    if value["kind"] == dict.__name__:
        return {key: _restored(one, state) for key, one in value["values"].items()}
    if value["kind"] == _MODEL:
        files = {name: bytes(one.numpy()) for name, one in value["files"].items()}
        artifact = Artifact(
            package=value["package"],
            class_name=value["class"],
            arguments=value["arguments"],
            graph_spec=value["graph_spec"],
            weights={name: one for name, one in state.items() if one.isfinite().all()},
            files=files,
        )
        return build_model(artifact)
    return _restored_value(value, state)


def _restored_value(value: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
    home, name = value["module"], value["class"]
    if home.partition(".")[0] not in PACKAGES:
        raise CheckpointError(f"the checkpoint names {home!s:.50}.{name!s:.50}, which is not used")
    found = getattr(import_module(home), name)
    if not isinstance(found, type) or found.__module__ != home or not _is_value(found):
        raise CheckpointError(f"the checkpoint names {home}.{name}, which is no plain value")
    return found(**{key: _restored(one, state) for key, one in value["arguments"].items()})


def _is_value(found: type) -> bool:
    """Whether objects of a class are nothing but what they were made with."""
    return is_dataclass(found) or issubclass(found, Transform)
