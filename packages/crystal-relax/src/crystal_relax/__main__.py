"""The `crystal-relax` command."""

from collections.abc import Sequence

from crystal_data.cli.lazy import TRAINER_COMMANDS, Command, dispatch

COMMANDS = {
    **TRAINER_COMMANDS,
    "relax": Command(
        "predict relaxed structures of files and folders", "crystal_relax.commands.relax:main"
    ),
    "models": Command(
        "list the trained models that come with the package", "crystal_relax.commands.models:main"
    ),
    "evaluate": Command(
        "measure predicted relaxed structures on true ones, beside two references",
        "crystal_relax.commands.evaluate:main",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal-relax`."""
    return dispatch(
        "crystal-relax",
        "Relaxed crystal structures, predicted from unrelaxed ones.",
        COMMANDS,
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
