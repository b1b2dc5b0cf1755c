"""`crystal-gen models`: the models that come with the package."""

from collections.abc import Sequence

from crystal_data.cli.models import Table, run_models, size_of
from crystal_data.inference import ShippedModels
from crystal_gen.shipped import SHIPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return run_models(SHIPPED, argv, table=_table)


def _table(shipped: ShippedModels) -> Table:
    from crystal_data.artifacts import Artifact

    rows = [("model", "class", "may be wished for", "training set", "size")]
    for name, folder in shipped.artifacts().items():
        artifact = Artifact.load(folder)
        wishes = ", ".join(artifact.arguments.get("properties", ())) or "nothing"
        data = str(artifact.metadata.get("data", {}).get("source", ""))
        rows.append((name, artifact.class_name, wishes, data, size_of(folder)))
    return rows
