"""`crystal-gan predict`: properties of structures, by trained models."""

from collections.abc import Sequence

from crystal_data.cli.predict import run_predict
from crystal_gan.shipped import SHIPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return run_predict(SHIPPED, argv)
