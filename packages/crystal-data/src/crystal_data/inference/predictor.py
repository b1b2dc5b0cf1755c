"""A trained model with the scales of its outputs: from crystals to properties in their units."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.artifacts.artifact import TargetScale
from crystal_data.artifacts.pretrained import PretrainedModel, load_model
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.inference.predictions import Predictions
from crystal_data.io.read import CrystalInput, read_crystals
from crystal_data.loading.domain import without
from crystal_data.transforms.normalize import TargetNormalizer
from crystal_data.transforms.target_columns import TargetColumns


class Predictor:
    """Predicts one or more properties of crystals, in their own units.

    Args:
        model: Gives the normalized numbers of all targets side by side; it is put into evaluation
            mode.
        scales: Name to scale of each target, in the order of the outputs.
        metadata: What is known of the training, as an artifact has it.
    """

    def __init__(
        self,
        model: PretrainedModel,
        scales: Mapping[str, TargetScale],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model.eval()
        self.targets = tuple(scales)
        self.fields = {name: scale.field for name, scale in scales.items()}
        self.units = {name: scale.unit for name, scale in scales.items()}
        self.minimum = {name: scale.minimum for name, scale in scales.items()}
        self.metadata = dict(metadata or {})
        self._columns = TargetColumns(list(self.fields.values()))
        are_probabilities = any(scale.is_probability for scale in scales.values())
        if are_probabilities and not all(scale.is_probability for scale in scales.values()):
            raise ArtifactError("some targets are probabilities of a class and others are not")
        self._normalizer = TargetNormalizer(
            self._columns.fields, are_probabilities=are_probabilities
        ).take(
            [np.array(scale.mean) for scale in scales.values()],
            [scale.std for scale in scales.values()],
            [scale.minimum for scale in scales.values()],
        )

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | Path, *, allow_package: str | None = None
    ) -> Self:
        """Loads the artifact of a folder, of a run, or of ``owner/name`` on the hub.

        Args:
            path_or_hub_id: One of these.
            allow_package: Import name of a package outside ours whose model may be loaded; its
                code runs.

        Raises:
            ArtifactError: If the artifact cannot be loaded, or predicts no property.
        """
        artifact, model = load_model(path_or_hub_id, allow_package)
        if not artifact.targets:
            raise ArtifactError(
                f"{path_or_hub_id}: {artifact.class_name} predicts no property",
                f"load it with {artifact.class_name}.from_pretrained",
            )
        return cls(model, artifact.targets, artifact.metadata)

    @property
    def graph_spec(self) -> GraphSpec | None:
        """Edges that the model needs; None for a model without."""
        return self.model.graph_spec

    @property
    def supported_elements(self) -> Collection[int] | None:
        """Atomic numbers that the model can take; None for all."""
        return self.model.supported_elements

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._normalizer.mean.device

    def to(self, device: torch.device | str) -> Self:
        """Moves the model to a device; returns itself."""
        self.model.to(device)
        self._normalizer.to(device)
        return self

    def predict(
        self, crystals: CrystalInput | Iterable[CrystalInput], batch_size: int = 64
    ) -> Predictions:
        """Predicts for crystals in memory or in files.

        Args:
            crystals: What :func:`~crystal_data.io.read.read_crystals` takes.
            batch_size: Crystals at a time.

        Returns:
            Target to values in the order of the crystals, ``[num_crystals, *shape]`` with the
            shape of its field, which for numbers is none; of atoms those of all crystals end to
            end, ``[num_atoms, *shape]``. Its ``ids`` are the crystals' identifiers.

        Raises:
            InvalidCrystalError: If one of them cannot be used or has an element that the model
                does not know: the predictions would no longer line up with the inputs.
        """
        crystals = _all_crystals(crystals)
        self._check_elements(crystals)
        parts = []
        for start in range(0, len(crystals), batch_size):
            batch = CrystalBatch.from_crystals(crystals[start : start + batch_size])
            if self.graph_spec is not None:
                batch = batch.with_edges(self.graph_spec)
            parts.append(self.predict_batch(batch.float32()))
        return Predictions(self.shaped(parts), [crystal.identifier for crystal in crystals])

    def shaped(self, parts: Sequence[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """Target to values, as ``predict`` gives them.

        Args:
            parts: What ``predict_batch`` gave for batches one after the other.
        """
        columns = np.concatenate([np.empty((0, self._columns.width)), *parts])
        return {
            name: field.shaped(columns[:, place])
            for (name, field), place in zip(self.fields.items(), self._columns.places, strict=True)
        }

    @torch.inference_mode()
    def predict_batch(self, batch: CrystalBatch) -> NDArray[np.float64]:
        """Predicts for a batch that has the edges of ``graph_spec``.

        Args:
            batch: In torch's default dtype, as ``CrystalBatch.float32`` gives it.

        Returns:
            Shape ``[num_crystals, width]``, or ``[num_atoms, width]`` where targets are those of
            atoms; width is one for each number, nine for a tensor.

        Raises:
            InvalidArgumentError: If the model has another number of outputs.
        """
        output: Tensor = self.model(batch.to(self.device))
        self._columns.check_output(type(self.model).__name__, output, batch)
        values: NDArray[np.float64] = self._normalizer.denormalize(output).double().cpu().numpy()
        return values

    def _check_elements(self, crystals: Sequence[Crystal]) -> None:
        known = self.supported_elements
        if known is None:
            return
        for crystal in crystals:
            others = [x for x in crystal.composition if ATOMIC_NUMBERS[x] not in known]
            if others:
                raise InvalidCrystalError(
                    crystal.identifier, Reason.UNSUPPORTED_ELEMENT, without(others)
                )


def _all_crystals(inputs: CrystalInput | Iterable[CrystalInput]) -> list[Crystal]:
    if isinstance(inputs, Sequence) and all(isinstance(item, Crystal) for item in inputs):
        return list(inputs)  # two of one name are allowed here
    found = read_crystals(inputs)
    for one in found.rejected:
        raise InvalidCrystalError(
            one.identifier,
            one.reason,
            f"{one.file + ': ' if one.file else ''}{one.detail}; to leave out what cannot be used, "
            "predict for read_crystals(…).crystals",
        )
    return found.crystals
