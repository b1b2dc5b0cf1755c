"""The `crystal-embed` command."""

from collections.abc import Sequence

from crystal_data.cli.lazy import TRAINER_COMMANDS, Command, dispatch

COMMANDS = {
    **TRAINER_COMMANDS,
    "predict": Command(
        "predict properties of structures; with --config, of a config's data",
        "crystal_embed.commands.predict:main",
    ),
    "embed": Command(
        "write the vectors that a model has for atoms or crystals",
        "crystal_embed.commands.embed:main",
    ),
    "ensemble": Command(
        "join models to one that says how sure it is, and calibrate it",
        "crystal_embed.commands.ensemble:main",
    ),
    "models": Command(
        "list the models and tables that come with the package",
        "crystal_embed.commands.models:main",
    ),
    "export": Command(
        "write predictions as a leaderboard wants them", "crystal_embed.commands.export:main"
    ),
    "export-table": Command(
        "write a model's element vectors as JSON, CSV, safetensors",
        "crystal_embed.commands.export_table:main",
    ),
    "analyze": Command(
        "clusters, neighbors and properties of element vectors, with figures",
        "crystal_embed.commands.analyze:main",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal-embed`."""
    return dispatch(
        "crystal-embed",
        "Atomic embeddings from crystal transformers, in front of crystal graph networks: "
        "train, score, predict, take the element table out.",
        COMMANDS,
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
