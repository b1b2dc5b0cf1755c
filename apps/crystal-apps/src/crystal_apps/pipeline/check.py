"""Reads a run's configuration as the training command would, without building its model."""

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser
from typing_extensions import override

from crystal_apps.pipeline.spec import PipelineError
from crystal_data import CrystalDataModule
from crystal_data.training.allowed import Allowed
from crystal_data.training.cli import CrystalCLI


class _ParsedOnly(CrystalCLI):
    """Stops before anything is built: the files that a model starts from may not be there yet."""

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        self.config["seed_everything"] = False  # to read a config changes no random numbers

    @override
    def instantiate_classes(self) -> None:
        return

    @override
    def after_instantiate_classes(self) -> None:
        return


def read_data_module(
    title: str, arguments: Sequence[str], allow_modules: Sequence[str] = ()
) -> CrystalDataModule:
    """Checks all options of a run and builds its data module, which reads nothing yet.

    Args:
        title: Of the run, for messages.
        arguments: Those of ``crystal fit`` without the word ``fit``.
        allow_modules: Further modules whose classes and functions configs may name.

    Raises:
        PipelineError: If an option is unknown or has a wrong value.
    """
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stderr(said):
        warnings.simplefilter("ignore")
        try:
            config: Any = _ParsedOnly(arguments, run=False, allow_modules=allow_modules).config
        except SystemExit as error:
            message = said.getvalue().strip().removeprefix("error: ")
            raise PipelineError(f"{title}: {message}") from error
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(CrystalDataModule, "data")
        with Allowed(allow_modules).in_force():
            parsed = parser.parse_object({"data": config.data.as_dict()})
            data_module: CrystalDataModule = parser.instantiate_classes(parsed).data
    return data_module
