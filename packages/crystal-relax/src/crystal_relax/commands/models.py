"""`crystal-relax models`: the models that come with the package."""

from collections.abc import Sequence

from crystal_data.cli.models import Table, run_models, size_of
from crystal_data.inference import ShippedModels
from crystal_relax.shipped import SHIPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return run_models(SHIPPED, argv, table=_table)


def _table(shipped: ShippedModels) -> Table:
    from crystal_data.artifacts import Artifact

    rows = [("model", "class", "training set", "crystals", "size")]
    for name, folder in shipped.artifacts().items():
        artifact = Artifact.load(folder)
        data = str(artifact.metadata.get("data", {}).get("source", ""))
        count = str(artifact.metadata.get("training", {}).get("num_crystals", ""))
        rows.append((name, artifact.class_name, data, count, size_of(folder)))
    return rows
