"""`crystal-gan models`: the trained models that come with the package."""

from collections.abc import Sequence

from crystal_data.cli.models import run_models
from crystal_gan.shipped import SHIPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return run_models(SHIPPED, argv)
