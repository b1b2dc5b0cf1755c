"""The pipelines and benchmarks that come with the package, by name."""

from collections.abc import Sequence
from pathlib import Path

from crystal_data.cli.configs import ANNOUNCED, show_configs
from crystal_data.processes import report_errors
from crystal_data.shipped_configs import announced_configs, configs_of

QUICKSTART = Path(__file__).parent / "quickstart" / "pipeline.yaml"


def shipped_pipelines() -> dict[str, Path]:
    """Name and file of each pipeline, the quickstart's among them."""
    return configs_of("crystal_apps", "pipelines") | {"quickstart": QUICKSTART}


def shipped_benchmarks() -> dict[str, Path]:
    """Name and file of each benchmark."""
    return configs_of("crystal_apps", "benchmarks")


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal configs`."""
    groups = {ANNOUNCED: announced_configs(), "crystal run NAME": shipped_pipelines()}
    return show_configs(groups, argv)
