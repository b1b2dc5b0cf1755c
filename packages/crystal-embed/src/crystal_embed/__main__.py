"""The `crystal-embed` command."""

from collections.abc import Sequence

from crystal_data.commands.lazy import TRAINER_COMMANDS, Command, dispatch

COMMANDS = {
    **TRAINER_COMMANDS,
    "export-table": Command(
        "write a model's element vectors as JSON, CSV, safetensors", "crystal_embed.export:main"
    ),
    "analyze": Command(
        "clusters, neighbours and properties of element vectors, with figures",
        "crystal_embed.analysis.command:main",
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
