"""`fit`, `validate`, `test` and `predict` of every package: LightningCLI with our run folders."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentError, Namespace, get_loader, set_loader
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.trainer.states import TrainerFn
from typing_extensions import override

from crystal_data.artifacts.registry import ArtifactError
from crystal_data.artifacts.shipped import find_artifact
from crystal_data.homes import set_data_home
from crystal_data.io.files import atomic_path
from crystal_data.io.yaml_text import check_nesting
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.processes.error_reporting import report_errors
from crystal_data.processes.parent import as_parent, end_with_parent
from crystal_data.processes.reporting_rank import is_reporting_rank
from crystal_data.run_folder import (
    BEST,
    LAST,
    RunError,
    RunFolder,
    latest_run,
    new_run,
    run_group,
    run_of_checkpoint,
)
from crystal_data.shipped_configs import ConfigError
from crystal_data.training.allowed import Allowed
from crystal_data.training.allowed_paths import OPTION, NotAllowedError
from crystal_data.training.callbacks import (
    ArtifactExport,
    EpochPrinter,
    FitSummary,
    InterruptNote,
    LearningRate,
    ResultsFile,
)
from crystal_data.training.checkpoints import AtomicCheckpointIO, ExactResume, LastCheckpoint
from crystal_data.training.config_arguments import (
    TRAINER_COMMANDS,
    config_files,
    configs_first,
    named_configs,
)
from crystal_data.training.crystal_module import CrystalModule
from crystal_data.training.freezing import Freeze
from crystal_data.training.jsonargparse_internals import own_defaults
from crystal_data.training.loggers import missing_logger
from crystal_data.training.memory import keep_freed_memory
from crystal_data.training.metrics_table import MetricsTable, print_metrics
from crystal_data.training.predictions import PredictionWriter
from crystal_data.training.quiet import quiet
from crystal_data.training.seeds import EpochSeed
from crystal_data.training.suggest import explain
from crystal_data.training.trainer_run import is_first_process, run_of
from crystal_data.training.wrong_value import condense, place_of

_EPILOG = (
    f"{OPTION} NAME, which may be repeated, lets configs name classes and functions of a further "
    "module. It can be given on the command line alone."
)
_PARSER_MODE = "shallow_yaml"
_TRAINER_DEFAULTS = {
    # Our sampler deals out batches by rank; Lightning's would repeat samples.
    "use_distributed_sampler": False,
    "enable_model_summary": False,
}


class SaveRunConfig(SaveConfigCallback):
    """Saves the config as given, without the run's own paths, so that it can be run again."""

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        run = run_of(trainer)
        if trainer.is_global_zero and not self.already_saved:
            run.path.mkdir(parents=True, exist_ok=True)
            config = self.config.clone()
            config["trainer.default_root_dir"] = config["ckpt_path"] = None
            config["overwrite"] = False
            with warnings.catch_warnings():
                # Without this option, which newer jsonargparse calls otherwise, a value that was
                # set to null would be lost.
                warnings.simplefilter("ignore", DeprecationWarning)
                with atomic_path(run.config_file(TrainerFn(stage).value)) as temporary:
                    self.parser.save(config, str(temporary), skip_none=False, overwrite=True)
        self.already_saved = True


class CrystalCLI(LightningCLI):
    """LightningCLI over the modules and data modules of all packages.

    ``--config`` takes a file or the name of a config that ships (``crystal_data.shipped_configs``).

    Options of its own: ``--init_from`` starts from the weights of an artifact, ``--freeze`` keeps
    some of them as they are, ``--data_root`` names the folder of the public data sets,
    ``--overwrite`` lets a fit replace the training in its folder, which it refuses else. Without
    ``--trainer.default_root_dir`` a fit makes ``runs/<name of the config>/<number>``; ``test``,
    ``validate`` and ``predict`` take the best checkpoint of the newest run of the same config, or
    that of ``--ckpt_path``, and leave their results in its run; with ``--init_from`` and no
    ``--ckpt_path`` they take the artifact as it is.

    Checkpoints (``.ckpt``) are for resuming your own runs. To pass a model on use the artifact.

    Classes come from these packages, torch, lightning and torchmetrics; see ``docs/security.md``.

    Args:
        args: Arguments; those of the process by default.
        run: False only builds the objects, from arguments without a subcommand.
        allow_modules: Further modules whose classes and functions configs may name.
    """

    def __init__(
        self,
        args: Sequence[str] | None = None,
        *,
        run: bool = True,
        allow_modules: Sequence[str] = (),
    ) -> None:
        try:
            self._args = named_configs(configs_first(sys.argv[1:] if args is None else args))
        except ConfigError as error:
            _refuse(f"--config: {error}")
        self._allowed = Allowed(allow_modules)
        set_loader(_PARSER_MODE, load_value, exceptions=(yaml.YAMLError,))
        options = {
            "allow_abbrev": False,
            "exit_on_error": False,
            "default_env": False,
            "epilog": _EPILOG,
            "parser_mode": _PARSER_MODE,
        }
        with self._allowed.in_force(), own_defaults():
            super().__init__(
                CrystalModule,
                CrystalDataModule,
                save_config_callback=SaveRunConfig,
                trainer_defaults=dict(_TRAINER_DEFAULTS),
                seed_everything_default=0,
                parser_kwargs={**options, **{name: dict(options) for name in TRAINER_COMMANDS}}
                if run
                else options,
                subclass_mode_model=True,
                subclass_mode_data=True,
                args=self._args,
                run=run,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    @staticmethod
    @override
    def subcommands() -> dict[str, set[str]]:
        # Without this option a config could have a checkpoint read as a pickle, which runs code.
        return {
            name: {*skipped, "weights_only"} for name, skipped in LightningCLI.subcommands().items()
        }

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--init_from",
            type=str | None,
            default=None,
            help="Model to start from: weights that fit by name and shape. Folder of a run or an "
            "artifact, name of a model that ships (see `models`), or hub id.",
        )
        parser.add_argument(
            "--freeze",
            type=list[str],
            default=[],
            help="Parameters that fit leaves as they are, by name: '[convolutions.*, input.*]'.",
        )
        parser.add_argument(
            "--data_root",
            "--data-root",
            type=str | None,
            default=None,
            help="Folder of the public data sets; sets CRYSTAL_DATA_HOME.",
        )

        parser.add_argument(
            "--overwrite",
            type=bool,
            default=False,
            help="With fit and --trainer.default_root_dir: true replaces a training that is there.",
        )

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(args)
            # The parser leaves what it cannot use as it is where an option has no declared type.
            subcommand = self.config.get("subcommand")
            chosen = self.config[subcommand] if subcommand else self.config
            self._allowed.check_config(chosen.as_dict())
        except (ArgumentError, NotAllowedError, UnicodeError, RecursionError) as error:
            said = str(error)
            message = explain(args, self._allowed, refused=True)
            if message is None and (refusal := self._allowed.refusal_in(said)):
                message = f"{place_of(said)}: {refusal}" if place_of(said) else said
            _refuse(message or _advice(condense(said), args))

    @override
    def before_instantiate_classes(self) -> None:
        config = self._chosen()
        if config.get("trainer.use_distributed_sampler"):
            _refuse(
                "trainer.use_distributed_sampler: true would deal samples out a second time; the "
                "data module's own sampler already gives each process its share; leave it out"
            )
        if missing := missing_logger(config.get("trainer.logger")):
            _refuse(f"trainer.logger: {missing}")
        if config.get("data_root"):
            set_data_home(config["data_root"])
        if self.subcommand is not None:
            try:
                self._choose_run(config)
            except RunError as error:
                _refuse(str(error))

    @override
    def after_instantiate_classes(self) -> None:
        config = self._chosen()
        source = config.get("init_from")
        evaluates = self.subcommand in {"validate", "test", "predict"}
        # A checkpoint that is evaluated holds what became of the weights it started from.
        if source is None or (evaluates and config.get("ckpt_path") is not None):
            return
        try:
            report = self.model.load_pretrained(find_artifact(source), strict=evaluates)
        except ArtifactError as error:
            _refuse(f"--init_from: {error}")
        if is_first_process():
            print(f"--init_from {source}: {report}")

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = self._chosen(self.config_init)["trainer"]
        if self.subcommand is None:
            kwargs["logger"] = trainer.get("logger") or False
            return self._trainer(**kwargs)
        given = trainer.get("callbacks") or []
        kwargs["callbacks"] = [*given, *self._default_callbacks(trainer, given)]
        if self.subcommand == "fit":
            kwargs["logger"] = _loggers(trainer.get("logger"), Path(trainer["default_root_dir"]))
        else:
            kwargs["logger"] = False
        resumes = self.subcommand == "fit"
        kwargs["plugins"] = _plugins(trainer.get("plugins"), AtomicCheckpointIO(resumes=resumes))
        if trainer.get("enable_progress_bar") is None:
            kwargs["enable_progress_bar"] = sys.stderr.isatty()
        return self._trainer(**kwargs)

    def validate(self, **kwargs: Any) -> None:
        """What LightningCLI calls for the subcommand of that name."""
        self._evaluate(self.trainer.validate, **kwargs)

    def test(self, **kwargs: Any) -> None:
        """As ``validate``."""
        self._evaluate(self.trainer.test, **kwargs)

    def _evaluate(
        self,
        run: Callable[..., Sequence[Mapping[str, float]]],
        *,
        verbose: bool = True,
        **kwargs: Any,
    ) -> None:
        # Lightning's own table shows every digit of a double.
        for metrics in run(verbose=False, **kwargs):
            if verbose and is_first_process():
                print_metrics(metrics)

    def _trainer(self, **kwargs: Any) -> Trainer:
        try:
            return super().instantiate_trainer(**kwargs)
        except (MisconfigurationException, ValueError) as error:
            # What Lightning says of options that it does not know, or that do not go together.
            raise RunError(" ".join(str(error).split())) from error

    def _default_callbacks(self, trainer: Namespace, given: Sequence[Callback]) -> list[Callback]:
        if self.subcommand != "fit":
            return [PredictionWriter(), ResultsFile()]
        callbacks: list[Callback] = [
            FitSummary(),
            InterruptNote(),
            EpochSeed(),
            LearningRate(),
            ExactResume(),
            ResultsFile(),
            ArtifactExport(),
        ]
        frozen = self._chosen(self.config_init).get("freeze")
        if frozen:
            callbacks.append(Freeze(frozen))
        if not sys.stderr.isatty():
            callbacks.append(EpochPrinter())
        if trainer.get("enable_checkpointing") is not False:
            callbacks += _checkpoints(self.model, RunFolder(Path(trainer["default_root_dir"])))
        kinds = {type(callback) for callback in given}
        return [callback for callback in callbacks if type(callback) not in kinds]

    def _chosen(self, config: Namespace | None = None) -> Namespace:
        config = self.config if config is None else config
        chosen: Namespace = config[self.subcommand] if self.subcommand else config
        return chosen

    def _choose_run(self, config: Namespace) -> None:
        root, ckpt_path = config.get("trainer.default_root_dir"), config.get("ckpt_path")
        fresh = self.subcommand == "fit" or config.get("init_from") is not None
        if ckpt_path is None and not fresh:
            ckpt_path = BEST
        group = run_group(config_files(self._args))
        if root is not None:
            run = RunFolder(Path(root))
        elif ckpt_path is None:
            # The other processes learn the folder of the first one from the Trainer's strategy.
            run = new_run(group) if is_first_process() else RunFolder(group)
        else:
            run = run_of_checkpoint(ckpt_path) or latest_run(group)
        if ckpt_path is not None:
            config["ckpt_path"] = str(run.resolve_checkpoint(ckpt_path))
        config["trainer.default_root_dir"] = str(run.path)
        starts = self.subcommand == "fit" and ckpt_path is None and not run.is_requeued
        replaces = starts and run.has_training
        if replaces and not config.get("overwrite"):
            raise RunError(
                f"{run.path} holds a training already",
                f"go on with it by --ckpt_path {LAST}, give another --trainer.default_root_dir, or "
                "replace it with --overwrite true",
            )
        if is_first_process():
            if replaces:
                run.clear()
            if self.subcommand == "fit":
                run.remove_unfinished()
            print(f"run: {run.path}", flush=True)


def load_value(text: str) -> Any:
    """A config, or the value of an option, as the parser reads it.

    Raises:
        NestingError: If it has so many levels that the parser might end the interpreter.
    """
    check_nesting(text)
    return get_loader("yaml")(text)


@report_errors
def run_command(args: Sequence[str], allow_modules: Sequence[str]) -> int:
    """Runs one of `fit`, `validate`, `test` and `predict`.

    Args:
        args: The subcommand and its options, without ``--allow-module``.
        allow_modules: Further modules whose classes and functions configs may name.

    Returns:
        Exit status.
    """
    end_with_parent()
    keep_freed_memory()
    # Lightning starts the processes of further devices.
    with quiet(), as_parent():
        try:
            CrystalCLI(args, allow_modules=allow_modules)
        except MisconfigurationException as error:
            # What Lightning says of options of the Trainer that do not go together.
            raise RunError(" ".join(str(error).split())) from error
    return 0


def _checkpoints(module: CrystalModule, run: RunFolder) -> list[ModelCheckpoint]:
    # The best one first: last.ckpt then knows of it, and after a kill between the two the epoch is
    # trained again from the one before.
    best = ModelCheckpoint(
        dirpath=run.checkpoints,
        filename=BEST,
        monitor=module.monitor,
        mode=module.monitor_mode,
        save_top_k=1,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
    return [best, LastCheckpoint(run.checkpoints)]


def _plugins(given: Any, default: CheckpointIO) -> list[Any]:
    plugins = given if isinstance(given, list) else [] if given is None else [given]
    if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        return plugins
    return [*plugins, default]


def _loggers(given: Any, root: Path) -> list[Logger]:
    # `logger: true` asks for Lightning's default, which the table is here.
    own = MetricsTable(root)
    if given is None or isinstance(given, bool):
        return [own]
    return [own, *(given if isinstance(given, list) else [given])]


def _advice(message: str, args: Sequence[str]) -> str:
    given = {arg.partition("=")[0].partition(".")[0] for arg in args}
    if not config_files(args) and not given.issuperset({"--model", "--data"}):
        return f"{message}; give a config with --config: a file, or a name that `configs` lists"
    return message


def _refuse(message: str) -> NoReturn:
    if is_reporting_rank():
        print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
