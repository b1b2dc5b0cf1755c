"""The `crystal-gan` command."""

from collections.abc import Sequence

from crystal_data.cli.lazy import TRAINER_COMMANDS, Command, dispatch

COMMANDS = {
    **TRAINER_COMMANDS,
    "predict": Command(
        "predict properties of structures; with --config, of a config's data",
        "crystal_gan.commands.predict:main",
    ),
    "repair": Command(
        "put atoms where they belong, and fill in elements in doubt",
        "crystal_gan.commands.repair:main",
    ),
    "vary": Command(
        "make variants of crystals, ranked by a property", "crystal_gan.commands.vary:main"
    ),
    "models": Command(
        "list the trained models that come with the package", "crystal_gan.commands.models:main"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal-gan`."""
    return dispatch(
        "crystal-gan",
        "An equivariant network that learns crystals by repairing them: repair, vary, predict.",
        COMMANDS,
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
