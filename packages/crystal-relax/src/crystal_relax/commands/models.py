"""`crystal-relax models`: the models that come with the package."""

from collections.abc import Sequence

from crystal_data.cli.command_parser import CommandParser
from crystal_data.cli.models import kilobytes
from crystal_data.cli.text_table import aligned
from crystal_data.processes import report_errors
from crystal_relax.shipped import SHIPPED


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.artifacts import Artifact

    CommandParser(
        "crystal-relax models", "List the trained models that come with the package."
    ).parse(argv)
    rows = [("model", "class", "training set", "crystals", "size")]
    for name, folder in SHIPPED.artifacts().items():
        artifact = Artifact.load(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        data = str(artifact.metadata.get("data", {}).get("source", ""))
        count = str(artifact.metadata.get("training", {}).get("num_crystals", ""))
        rows.append((name, artifact.class_name, data, count, kilobytes(size)))
    print("\n".join(aligned(rows)))
    return 0
