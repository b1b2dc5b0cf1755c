"""Predictions of several models as the columns of one table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystal_data.errors import InvalidArgumentError
from crystal_data.inference.description import decimals_for, summary_line
from crystal_data.inference.ensemble import Ensemble
from crystal_data.inference.predict import SourcePredictions
from crystal_data.inference.predictor import Predictor
from crystal_data.inference.shipped import ShippedModels
from crystal_data.io.value_cells import atom_value_cells, value_cells, with_unit
from crystal_data.loading.domain import beyond_training


@dataclass(frozen=True)
class NamedEnsemble:
    """Models of the same targets.

    Args:
        names: What the user calls them.
        ensemble: The models, one or more.
    """

    names: tuple[str, ...]
    ensemble: Ensemble

    def summary_lines(self) -> list[str]:
        """One line for each target: what it was trained on, and its error."""
        metadata, name = self.ensemble.metadata, ", ".join(self.names)
        return [
            summary_line(name, metadata, target, self.ensemble.unit_of(target))
            for target in self.ensemble.targets
        ]


def load_ensembles(
    shipped: ShippedModels, names: Sequence[str], *, allow_package: str | None = None
) -> list[NamedEnsemble]:
    """Loads models; single ones of the same targets become one ensemble.

    Args:
        shipped: The models of the package.
        names: Of models, as ``ShippedModels.load`` takes them.
        allow_package: As ``Predictor.from_pretrained``.

    Raises:
        InvalidArgumentError: If there is no such model, or a target would be predicted twice.
    """
    singles: dict[tuple[str, ...], list[str]] = {}
    members: dict[tuple[str, ...], list[Predictor]] = {}
    found = []
    for name in names:
        loaded = shipped.load(name, allow_package=allow_package)
        if isinstance(loaded, Ensemble):
            found.append(NamedEnsemble((name,), loaded))
        else:
            singles.setdefault(loaded.targets, []).append(name)
            members.setdefault(loaded.targets, []).append(loaded)
    found += [NamedEnsemble(tuple(singles[key]), Ensemble(members[key])) for key in singles]
    targets = [target for one in found for target in one.ensemble.targets]
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        raise InvalidArgumentError(
            f"--model: {', '.join(twice)} would be predicted twice",
            "an ensemble is made of models "
            "with the same targets, or give the others in a call of their own",
        )
    return found


def prediction_columns(
    predictions: SourcePredictions, ensembles: Sequence[NamedEnsemble]
) -> dict[str, list[str]]:
    """Columns of the table: ``id``, each target with its unit, and ``note``.

    Numbers have as many digits as the error of the model allows.

    Args:
        predictions: Of the members of all ensembles, one after the other.
        ensembles: Whose members have predicted.
    """
    columns = {"id": predictions.identifiers}
    notes = [predictions.store.strings("notes").take(predictions.rows)]
    left = list(predictions.predictions)
    num_atoms = predictions.store.num_atoms[predictions.rows]
    for one in ensembles:
        ensemble, size = one.ensemble, len(one.ensemble.members)
        of_members, left = left[:size], left[size:]
        for name, values in ensemble.combine(of_members).items():
            field = ensemble.fields[name.partition(":")[0]]
            decimals = decimals_for(ensemble.metadata, field.name)
            columns[with_unit(name, field.unit)] = (
                atom_value_cells(np.split(values, np.cumsum(num_atoms)[:-1]), decimals)
                if field.per == "atom"
                else value_cells(values, decimals)
            )
        for member in ensemble.members:
            noted = beyond_training(predictions.store, member.metadata.get("training", {}))
            notes.append([noted[row] for row in predictions.rows])
    columns["note"] = [
        "; ".join(dict.fromkeys(filter(None, row))) for row in zip(*notes, strict=True)
    ]
    return columns
