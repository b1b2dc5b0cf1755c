"""`crystal-embed ensemble`: several models as one whose predictions have an interval."""

from collections.abc import Sequence

from crystal_data.cli.ensemble import run_ensemble
from crystal_embed.shipped import SHIPPED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    return run_ensemble(SHIPPED, argv)
