"""What has to be known of a model before its predictions are trusted, from its metadata."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from crystal_data.artifacts.card import interval_cells
from crystal_data.io.value_cells import with_unit


class ModelFacts(NamedTuple):
    """Facts about one target of a model; empty where the metadata do not tell."""

    training_set: str
    labels: str  # their range
    error: str
    interval: str  # share of the labels that it holds on the same crystals, and its width


def model_facts(metadata: Mapping[str, Any], target: str, unit: str) -> ModelFacts:
    """Training set, range of the labels, and error.

    Args:
        metadata: Of an artifact.
        target: What is predicted.
        unit: Of the target.
    """
    training = metadata.get("training", {})
    source = metadata.get("data", {}).get("source", "unknown data")
    rows = f", {training['num_crystals']} crystals" if training else ""
    spread = training.get("targets", {}).get(target)
    labels = "" if spread is None else f"{spread['min']:.3g} to {spread['max']:.3g} {unit}".strip()
    stated = _stated_evaluation(metadata, target)
    coverage, width = interval_cells(stated or {}, unit)
    interval = f"{width} wide, holds {coverage}" if coverage else ""
    return ModelFacts(f"{source}{rows}", labels, _error(metadata, target, unit), interval)


def summary_line(name: str, metadata: Mapping[str, Any], target: str, unit: str) -> str:
    """The same, elements and sizes of the training set too, in one line."""
    training_set, labels, error, interval = model_facts(metadata, target, unit)
    domain = metadata.get("training", {})
    parts = [f"trained on {training_set}"]
    if domain:
        parts.append(f"{len(domain['elements'])} elements, up to {domain['max_atoms']} atoms")
    if labels:
        parts.append(f"labels {labels}")
    parts.append(f"error {error}" if error else "error not known")
    if interval:
        parts.append(f"interval {interval}")
    return f"{name}: {with_unit(target, unit)}; {'; '.join(parts)}"


def decimals_for(metadata: Mapping[str, Any], target: str) -> int | None:
    """Digits behind the point that the error of a model leaves to its predictions.

    The last one is worth at most a tenth of the mean absolute error: 3 for an error of 0.056, 0 for
    one of 12. None where the error is not known.
    """
    found = _mean_absolute_error(metadata, target)
    if found is None or not 0 < found[0] < math.inf:
        return None
    return 1 - math.floor(math.log10(found[0]))


def _error(metadata: Mapping[str, Any], target: str, unit: str) -> str:
    found = _mean_absolute_error(metadata, target)
    return "" if found is None else f"{found[0]:.4g} {unit}".strip() + f" ({found[1]})"


def _mean_absolute_error(metadata: Mapping[str, Any], target: str) -> tuple[float, str] | None:
    """The stated evaluation of a model; without one, the error of its own test or validation.

    Returns:
        The error, and what it was measured on.
    """
    if (row := _stated_evaluation(metadata, target)) is not None:
        count = "" if row["num_crystals"] is None else f" of {row['num_crystals']} crystals"
        used_for = f", used for {row['used_for']}" if "used_for" in row else ""
        return row["mae"], f"MAE{count}, {row['data']}{used_for}"
    metrics = metadata.get("metrics", {})
    # Over several targets the mean is that of scaled errors, which have no unit.
    is_only = list(metadata.get("training", {}).get("targets", ())) == [target]
    for split in ("test", "val"):
        overall = metrics.get(f"{split}/mae") if is_only else None
        value = metrics.get(f"{split}/mae/{target}", overall)
        if value is not None:
            return value, f"{split} MAE"
    return None


def _stated_evaluation(metadata: Mapping[str, Any], target: str) -> Mapping[str, Any] | None:
    """The first evaluation on rows that were used for no choice; without one, the first."""
    rows = [row for row in metadata.get("evaluations", ()) if row["target"] == target]
    return next((row for row in rows if not row.get("used_for")), rows[0] if rows else None)
