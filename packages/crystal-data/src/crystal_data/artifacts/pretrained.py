"""Models that can be saved, loaded by name and published."""

import tempfile
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Any, Literal, Self, get_args, get_origin

from torch import Tensor, nn

from crystal_data.artifacts.artifact import Artifact, TargetScale
from crystal_data.artifacts.files import ARTIFACT
from crystal_data.artifacts.kinds import BaseModel
from crystal_data.artifacts.registry import ArtifactError, ModelRegistry, registry_of
from crystal_data.artifacts.size_limit import limited_by
from crystal_data.graphs.spec import GraphSpec
from crystal_data.remembered_arguments import RemembersArguments


class PretrainedModel(RemembersArguments, nn.Module):
    """An ``nn.Module`` with ``save_pretrained``, ``from_pretrained`` and ``push_to_hub``.

    A subclass is listed in its package's registry (``<package>.registry.MODELS``). The arguments
    of its constructor are remembered as given. They must be plain JSON; a model that takes other
    objects overrides ``artifact_arguments`` and ``from_arguments``, and one that needs files, such
    as those of a tokenizer, ``artifact_files`` and ``from_artifact``.
    """

    #: Edges that it wants; None for a model without.
    graph_spec: GraphSpec | None = None

    @property
    def supported_elements(self) -> frozenset[int] | None:
        """Atomic numbers that it can take; None for all."""
        return None

    def follow_targets(self, num_outputs: int) -> None:
        """Takes as many outputs as its targets have numbers; whoever fits the model calls it.

        A model that was given a number (``num_outputs``) keeps that one.

        Args:
            num_outputs: Numbers of all targets of a crystal or of an atom.
        """
        arguments = self._arguments
        if arguments.get("num_outputs", num_outputs) is None:
            self.set_num_outputs(num_outputs)

    def set_num_outputs(self, num_outputs: int) -> None:
        """Gets a fresh last layer where the number changes.

        A model whose argument ``num_outputs`` may be None overrides it.
        """
        raise NotImplementedError(f"{type(self).__name__} has a fixed number of outputs")

    @classmethod
    def registry(cls) -> ModelRegistry:
        """The registry of the package that defines this model."""
        package = cls.__module__.partition(".")[0]
        return registry_of(package, allow_package=package)  # it is imported already

    def artifact_arguments(self) -> dict[str, Any]:
        """The arguments that build this model again; plain JSON."""
        return dict(self._arguments)

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        """Builds the model, with fresh weights, from what ``artifact_arguments`` gave."""
        return cls(**arguments)

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        """Builds the model, with fresh weights, from an artifact and its extra files."""
        return cls.from_arguments(artifact.arguments)

    def artifact_weights(self) -> Mapping[str, Tensor]:
        """Weights by the names that a model has which is built from the artifact."""
        return self.state_dict()

    def artifact_files(self) -> Mapping[str, bytes]:
        """Extra files of the artifact: contents by relative name."""
        return {}

    def artifact_base(self) -> BaseModel | None:
        """The published model that this one was trained from; None if there is none."""
        return None

    def to_artifact(
        self,
        *,
        targets: Mapping[str, TargetScale] | None = None,
        metadata: Mapping[str, Any] | None = None,
        untrained: Sequence[str] = (),
    ) -> Artifact:
        """The model as what is saved; arguments as in :meth:`save_pretrained`."""
        registry = self.registry()
        registry.check(type(self))
        graph_spec = self.graph_spec
        return Artifact(
            package=registry.package,
            class_name=type(self).__name__,
            arguments=self.artifact_arguments(),
            weights={k: v for k, v in self.artifact_weights().items() if k not in untrained},
            graph_spec=None if graph_spec is None else graph_spec.to_dict(),
            targets=targets or {},
            metadata=metadata or {},
            untrained=untrained,
            files=self.artifact_files(),
            base=self.artifact_base(),
        )

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        targets: Mapping[str, TargetScale] | None = None,
        metadata: Mapping[str, Any] | None = None,
        untrained: Sequence[str] = (),
    ) -> Path:
        """Writes an artifact.

        Args:
            folder: Made, or replaced if it is an artifact already.
            targets: Scales of the outputs, in their order.
            metadata: Versions, data, metrics; plain JSON.
            untrained: Names of weights to leave out, because no training has changed them.

        Returns:
            The folder.

        Raises:
            ArtifactError: If the model is not in its package's registry, or something is not
                plain JSON.
        """
        artifact = self.to_artifact(targets=targets, metadata=metadata, untrained=untrained)
        return artifact.save(folder)

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | Path, *, allow_package: str | None = None
    ) -> Self:
        """Loads a model from a folder or from the hub; called on a base class, any that fits.

        Args:
            path_or_hub_id: Folder of the artifact or of a run that has one, or ``owner/name``.
            allow_package: Import name of a package outside ours whose model may be loaded; its
                code runs.

        Raises:
            ArtifactError: If the artifact cannot be read, names an unknown model or one of
                another class, or its weights or graph options do not fit.
        """
        _, model = load_model(path_or_hub_id, allow_package)
        if not isinstance(model, cls):
            name = type(model).__name__
            raise ArtifactError(
                f"{path_or_hub_id}: holds a {name}, not a {cls.__name__}",
                f"load it with {name}.from_pretrained",
            )
        return model

    def push_to_hub(
        self,
        repo_id: str,
        *,
        targets: Mapping[str, TargetScale] | None = None,
        metadata: Mapping[str, Any] | None = None,
        private: bool = False,
    ) -> None:
        """Publishes an artifact as ``owner/name`` with the account that is logged in."""
        artifact = self.to_artifact(targets=targets, metadata=metadata)
        push_artifact(artifact, repo_id, private=private)


def load_model(
    path_or_hub_id: str | Path, allow_package: str | None = None
) -> tuple[Artifact, PretrainedModel]:
    """An artifact and the model that it holds; arguments as ``from_pretrained``.

    Raises:
        ArtifactError: As ``Artifact.load`` and ``model_from_artifact``; it names the artifact.
    """
    artifact = Artifact.load(path_or_hub_id, kind="model")
    try:
        return artifact, model_from_artifact(artifact, allow_package)
    except ArtifactError as error:
        raise ArtifactError(f"{path_or_hub_id}: {error}") from error


def model_from_artifact(artifact: Artifact, allow_package: str | None = None) -> PretrainedModel:
    """Builds the model that an artifact names and loads its weights.

    What the artifact lists as untrained keeps fresh values.

    Args:
        artifact: Of the kind ``model``.
        allow_package: As ``from_pretrained``.

    Raises:
        ArtifactError: If the name is unknown, or arguments, weights or graph options do not fit.
    """
    model = build_model(artifact, allow_package)
    fresh = {k: v for k, v in model.state_dict().items() if k in artifact.untrained}
    try:
        model.load_state_dict({**fresh, **artifact.weights}, strict=True)
    except RuntimeError as error:
        raise _not_as_saved(artifact, error) from error
    return model


def build_model(artifact: Artifact, allow_package: str | None = None) -> PretrainedModel:
    """Builds the model that an artifact names, with fresh weights; nothing much larger is built.

    Args:
        artifact: Of the kind ``model``.
        allow_package: As ``from_pretrained``.

    Raises:
        ArtifactError: If the name is unknown, or arguments or graph options do not fit.
    """
    model_class = registry_of(artifact.package, allow_package).model_class(artifact.class_name)
    if not issubclass(model_class, PretrainedModel):
        raise ArtifactError(f"{artifact.package}.{artifact.class_name} is not a PretrainedModel")
    try:
        _check_arguments(model_class, artifact.arguments)
        with limited_by(artifact.weights, artifact.arguments):
            model = model_class.from_artifact(artifact)
    # The arguments come from a file, and a constructor may stumble over a wrong one anywhere.
    except Exception as error:
        raise _not_as_saved(artifact, error) from error
    rebuilt = None if model.graph_spec is None else model.graph_spec.to_dict()
    if rebuilt != artifact.graph_spec:
        raise ArtifactError(
            f"{artifact.class_name} was trained on graphs {artifact.graph_spec} but now asks for "
            f"{rebuilt}; its predictions would be wrong"
        )
    return model


def _not_as_saved(artifact: Artifact, error: Exception) -> ArtifactError:
    reason = " ".join(str(error).split())[:300]
    if not isinstance(error, ValueError):
        reason = f"{type(error).__name__}: {reason}"
    return ArtifactError(f"{artifact.class_name} cannot be built as saved: {reason}")


def _check_arguments(model_class: type[PretrainedModel], arguments: Mapping[str, Any]) -> None:
    """Raises where a constructor would take a wrong number or word for another one.

    Raises:
        ValueError: If an argument that is annotated as bool, int, float or a choice is none.
    """
    for name, parameter in signature(model_class.__init__).parameters.items():
        if name not in arguments:
            continue
        value, kind = arguments[name], parameter.annotation
        if value is not None and len(kinds := {*get_args(kind)} - {NoneType}) == 1:
            kind = kinds.pop() if NoneType in get_args(kind) else kind
        if get_origin(kind) is Literal:
            fits, expected = value in get_args(kind), " or ".join(get_args(kind))
        elif kind in (bool, int, float):
            # True is an int, and 1 is as good as 1.0.
            accepted = (int, float) if kind is float else kind
            fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
            expected = kind.__name__
        else:
            continue
        if not fits:
            raise ValueError(f"argument '{name}' is {value!r:.50}, expected {expected}")


def push_artifact(artifact: Artifact, repo_id: str, *, private: bool = False) -> None:
    """Uploads an artifact to the hub.

    Raises:
        ArtifactError: If the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as scratch:
        folder = artifact.save(Path(scratch) / ARTIFACT)
        try:
            api = HfApi()
            api.create_repo(repo_id, exist_ok=True, private=private)
            api.upload_folder(repo_id=repo_id, folder_path=folder)
        # The hub's client lets errors of several network libraries through.
        except Exception as error:
            raise ArtifactError(
                f"{repo_id}: the hub could not take it ({type(error).__name__}: {error})",
                "`hf auth login` logs in; save_pretrained writes the same folder here",
            ) from error
