"""The `crystal-gen` command."""

from collections.abc import Sequence

from crystal_data.cli.lazy import TRAINER_COMMANDS, Command, dispatch

COMMANDS = {
    **TRAINER_COMMANDS,
    "predict": Command(
        "make the crystals of a data set anew, for `crystal-data evaluate`",
        "crystal_gen.commands.predict:main",
    ),
    "generate": Command(
        "make crystals of a wanted composition and symmetry",
        "crystal_gen.commands.generate:main",
    ),
    "symmetry": Command(
        "say which space groups and Wyckoff positions a composition is likely to have",
        "crystal_gen.commands.symmetry:main",
    ),
    "library": Command(
        "keep crystals as templates in a folder, apart from evaluation sets",
        "crystal_gen.commands.library:main",
    ),
    "strata": Command(
        "say which references copying could find, for `crystal-data evaluate --strata`",
        "crystal_gen.commands.strata:main",
    ),
    "models": Command(
        "list the trained models that come with the package", "crystal_gen.commands.models:main"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal-gen`."""
    return dispatch(
        "crystal-gen",
        "Crystals for a wish: a composition, a space group, Wyckoff positions.",
        COMMANDS,
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
