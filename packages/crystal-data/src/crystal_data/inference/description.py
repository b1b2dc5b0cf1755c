"""What has to be known of a model before its predictions are trusted, from its metadata."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ModelFacts(NamedTuple):
    """Facts about one target of a model; empty where the metadata do not tell."""

    training_set: str
    labels: str  # their range
    error: str


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
    return ModelFacts(f"{source}{rows}", labels, _error(metadata, target, unit))


def summary_line(name: str, metadata: Mapping[str, Any], target: str, unit: str) -> str:
    """The same, elements and sizes of the training set too, in one line."""
    training_set, labels, error = model_facts(metadata, target, unit)
    domain = metadata.get("training", {})
    parts = [f"trained on {training_set}"]
    if domain:
        parts.append(f"{len(domain['elements'])} elements, up to {domain['max_atoms']} atoms")
    if labels:
        parts.append(f"labels {labels}")
    parts.append(f"error {error}" if error else "error not known")
    return f"{name}: {with_unit(target, unit)}; {'; '.join(parts)}"


def with_unit(name: str, unit: str) -> str:
    """A column's name with its unit."""
    return f"{name} [{unit}]" if unit else name


def _error(metadata: Mapping[str, Any], target: str, unit: str) -> str:
    """The first evaluation of a model; without one, the error of its own test or validation."""
    for row in metadata.get("evaluations", ()):
        if row["target"] == target:
            count = "" if row["num_crystals"] is None else f" of {row['num_crystals']} crystals"
            return f"{row['mae']:.4g} {unit}".strip() + f" (MAE{count}, {row['data']})"
    metrics = metadata.get("metrics", {})
    # Over several targets the mean is that of scaled errors, which have no unit.
    is_only = list(metadata.get("training", {}).get("targets", ())) == [target]
    for split in ("test", "val"):
        overall = metrics.get(f"{split}/mae") if is_only else None
        value = metrics.get(f"{split}/mae/{target}", overall)
        if value is not None:
            return f"{value:.3g} {unit}".strip() + f" ({split} MAE)"
    return ""
