"""Options of ``fit``, ``validate``, ``test`` and ``predict``, known without a parser."""

from collections.abc import Mapping

from crystal_data.training.source_arguments import Argument, arguments_of
from crystal_data.training.source_names import Definition, find

TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
_SHARED = (
    *("config", "seed_everything", "trainer", "model", "data"),
    *("init_from", "freeze", "data_root", "overwrite"),
)
# Further spellings that the parser takes for a name.
ALIASES = {"data-root": "data_root"}
# Those of one method of the Trainer each. Without a subcommand there are none.
_OF_COMMANDS = {
    None: (),
    "fit": ("ckpt_path",),
    "validate": ("ckpt_path", "verbose"),
    "test": ("ckpt_path", "verbose"),
    "predict": ("ckpt_path", "return_predictions"),
}


def option_names(subcommand: str | None) -> tuple[str, ...]:
    """Options at the top level, which are the keys of a config too.

    Args:
        subcommand: None for a command line without one.
    """
    return (*_SHARED, *_OF_COMMANDS[subcommand])


def trainer_arguments() -> Mapping[str, Argument] | None:
    """Arguments of the Trainer; None if they cannot be read from its source."""
    found = find(TRAINER)
    return arguments_of(found) if isinstance(found, Definition) else None
