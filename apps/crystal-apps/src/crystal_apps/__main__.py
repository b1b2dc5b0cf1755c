"""The `crystal` command, also installed as `lightning`."""

from collections.abc import Sequence

from crystal_data.cli.lazy import TRAINER_COMMANDS, Command, dispatch

COMMANDS = {
    "quickstart": Command(
        "pre-train, take out embeddings, train with and without, report",
        "crystal_apps.quickstart.command:main",
    ),
    **TRAINER_COMMANDS,
    "predict": Command(
        "predict properties of structures; with --config, of a config's data",
        "crystal_apps.predict:main",
    ),
    "configs": Command(
        "list the configs and pipelines that are found by name", "crystal_apps.shipped:main"
    ),
    "run": Command("run the stages of a pipeline", "crystal_apps.pipeline.command:main"),
    "benchmark": Command(
        "run recorded tables again and compare", "crystal_apps.benchmark.command:main"
    ),
    "report": Command("a self-contained page about finished runs", "crystal_apps.report.page:main"),
    "doctor": Command("versions, devices and clashes, for bug reports", "crystal_apps.doctor:main"),
}

_DESCRIPTION = (
    "Machine learning on crystals. fit, validate, test and predict take --config NAME "
    "or FILE.yaml, which may name the models and data modules of every package."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal`."""
    return dispatch("crystal", _DESCRIPTION, COMMANDS, argv)


def lightning(argv: Sequence[str] | None = None) -> int:
    """Runs the same under the name that Lightning's own documentation uses."""
    return dispatch("lightning", _DESCRIPTION, COMMANDS, argv)


if __name__ == "__main__":
    raise SystemExit(main())
