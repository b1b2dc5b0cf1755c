"""What a pipeline file says, spread out to the single runs that it means."""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crystal_apps.pipeline.references import SEED, references, substitute
from crystal_data.errors import CrystalError
from crystal_data.io import DamagedFileError, read_yaml
from crystal_data.shipped_configs import ConfigError, announced_configs, find_config

COMMANDS = ("fit", "validate", "test", "predict")
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


class PipelineError(CrystalError):
    """A pipeline file that cannot be run, or a run of it that failed."""


@dataclass(frozen=True)
class Run:
    """One stage for one choice of its variants and one seed.

    Args:
        stage: Name of the stage.
        variant: Axis to the chosen value's name, in the order of the file.
        seed: Of all that is random in it.
        configs: Files for ``--config``; later ones override earlier ones.
        commands: Subcommands of ``crystal``, in their order.
        options: Dotted option to its value; references to other runs and the seed are still in
            it.
        needs: Runs that it starts from.
    """

    stage: str
    variant: Mapping[str, str]
    seed: int
    configs: tuple[Path, ...]
    commands: tuple[str, ...]
    options: Mapping[str, Any]
    needs: tuple["Run", ...] = ()

    @property
    def name(self) -> str:
        """Folder of the run within that of the pipeline: stage, variant and seed."""
        return "/".join([*self._parts, f"seed-{self.seed}"])

    @property
    def title(self) -> str:
        """The same for people."""
        return " · ".join([*self._parts, f"seed {self.seed}"])

    @property
    def _parts(self) -> list[str]:
        return [self.stage, *self.variant.values()]

    def resolved(self, folder: Path) -> dict[str, Any]:
        """The options with references replaced: by the folder of the run, and ``${seed}``."""
        found = {run.stage: str(folder / run.name) for run in self.needs}
        found[SEED] = str(self.seed)
        resolved: dict[str, Any] = substitute(dict(self.options), found)
        return resolved


@dataclass(frozen=True)
class Stage:
    """One entry of ``stages``.

    Args:
        name: Of its folder, and for references.
        configs: Files for ``--config``.
        commands: What is run, in order.
        options: Dotted option to value, the same for all its runs.
        vary: Axis to value name to the options that this value sets. ``${axis}`` in any option
            stands for the value's name.
        vary_configs: Axis and value name to the files that this value adds to ``configs``.
    """

    name: str
    configs: tuple[Path, ...]
    commands: tuple[str, ...]
    options: Mapping[str, Any]
    vary: Mapping[str, Mapping[str, Mapping[str, Any]]]
    vary_configs: Mapping[tuple[str, str], tuple[Path, ...]]

    def variants(self) -> list[dict[str, str]]:
        """Every combination of one value of each axis."""
        combinations = itertools.product(*self.vary.values())
        return [dict(zip(self.vary, chosen, strict=True)) for chosen in combinations]

    def chosen_configs(self, variant: Mapping[str, str]) -> tuple[Path, ...]:
        """Files of the runs of one variant, those of its values last."""
        own = (self.vary_configs.get(chosen, ()) for chosen in variant.items())
        return (*self.configs, *itertools.chain.from_iterable(own))

    def chosen_options(self, variant: Mapping[str, str]) -> dict[str, Any]:
        """Options of the runs of one variant; references to stages and the seed are still in it."""
        options = dict(self.options)
        for axis, value in variant.items():
            options |= self.vary[axis][value]
        chosen: dict[str, Any] = substitute(options, variant)
        return chosen


@dataclass(frozen=True)
class Pipeline:
    """A pipeline file.

    Args:
        file: Where it was read from.
        seeds: Each stage runs once for each of them.
        stages: In the order of the file.
    """

    file: Path
    seeds: tuple[int, ...]
    stages: Mapping[str, Stage] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.stem

    def with_seeds(self, seeds: Sequence[int]) -> "Pipeline":
        """The same for other seeds."""
        return replace(self, seeds=tuple(seeds))

    def with_values(self, name: str, axis: str, values: Collection[str]) -> "Pipeline":
        """The same with these values alone of an axis of a stage."""
        stage = self.stages[name]
        kept = {value: options for value, options in stage.vary[axis].items() if value in values}
        narrowed = replace(stage, vary={**stage.vary, axis: kept})
        return replace(self, stages={**self.stages, name: narrowed})

    def with_stages(self, names: Collection[str]) -> "Pipeline":
        """The same with these stages alone, and those that they start from."""
        wanted = set(names)
        for stage in reversed(list(self.stages.values())):
            if stage.name in wanted:
                wanted.update(references([stage.options, stage.vary]))
        return replace(self, stages={k: v for k, v in self.stages.items() if k in wanted})

    def runs(self) -> list[Run]:
        """All runs, those that others start from before them.

        Raises:
            PipelineError: If a reference means no run.
        """
        runs: dict[tuple[str, tuple[str, ...], int], Run] = {}
        for seed in self.seeds:
            for stage in self.stages.values():
                for variant in stage.variants():
                    run = self._run(stage, variant, seed, runs)
                    runs[stage.name, tuple(variant.values()), seed] = run
        return list(runs.values())

    def _run(
        self,
        stage: Stage,
        variant: dict[str, str],
        seed: int,
        earlier: Mapping[tuple[str, tuple[str, ...], int], Run],
    ) -> Run:
        options = stage.chosen_options(variant)
        needs = []
        for name in references(options):
            other = self._referenced(stage, name)
            chosen = []
            for axis, values in other.vary.items():
                if variant.get(axis) not in values:
                    raise PipelineError(
                        f"{self.file}: stage {stage.name} refers to ${{{name}}}, which has a run "
                        f"for each {axis} ({', '.join(values)})",
                        f"to say which, {stage.name} has to vary {axis} with the same names",
                    )
                chosen.append(variant[axis])
            needs.append(earlier[name, tuple(chosen), seed])
        configs = stage.chosen_configs(variant)
        return Run(stage.name, variant, seed, configs, stage.commands, options, tuple(needs))

    def _referenced(self, stage: Stage, name: str) -> Stage:
        earlier = list(itertools.takewhile(lambda other: other != stage.name, self.stages))
        if name in earlier:
            return self.stages[name]
        near = get_close_matches(name, [*earlier, *stage.vary], n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"before it stand {earlier or 'none'}"
        raise PipelineError(
            f"{self.file}: stage {stage.name} refers to ${{{name}}}, which is no stage before it "
            f"and no axis of it; {hint}"
        )


def read_pipeline(path: str | Path) -> Pipeline:
    """Reads and checks a pipeline file.

    Raises:
        PipelineError: If it is not one; the message names the file, the stage and the key.
    """
    file = Path(path)
    content = read_mapping(file)
    _only_keys(content, ("seeds", "stages"), str(file))
    seeds = content.get("seeds", [0])
    if not _are_seeds(seeds):
        raise PipelineError(f"{file}: seeds is {seeds!r}; a list of different whole numbers from 0")
    stages = content.get("stages")
    if not isinstance(stages, dict) or not stages:
        raise PipelineError(f"{file}: stages is a mapping from name to stage, at least one")
    parsed = {str(name): _stage(file, str(name), stage) for name, stage in stages.items()}
    for stage in parsed.values():
        for axis in stage.vary.keys() & {*parsed, SEED}:
            raise PipelineError(
                f"{file}: stage {stage.name}: vary.{axis}: ${{{axis}}} means something else "
                "already",
                "give the axis another name",
            )
    return Pipeline(file, tuple(seeds), parsed)


def _stage(file: Path, name: str, content: Any) -> Stage:
    where = f"{file}: stage {name}"
    _check_name(name, where)
    if name == SEED:
        raise PipelineError(f"{where}: ${{{SEED}}} means the seed, so no stage is called that")
    if not isinstance(content, dict):
        raise PipelineError(f"{where}: a mapping with config and perhaps options is expected")
    _only_keys(content, ("config", "commands", "options", "vary"), where)
    commands = tuple(content.get("commands", ("fit", "test")))
    if not commands or any(command not in COMMANDS for command in commands):
        raise PipelineError(f"{where}: commands are some of {', '.join(COMMANDS)}, not {commands}")
    vary = content.get("vary", {})
    if not isinstance(vary, dict):
        raise PipelineError(f"{where}: vary maps an axis to its values")
    axes = {str(axis): _axis(values, f"{where}: vary.{axis}") for axis, values in vary.items()}
    own = {
        (axis, value): _configs(file, options.pop("config"), f"{where}: vary.{axis}.{value}")
        for axis, values in axes.items()
        for value, options in values.items()
        if "config" in options
    }
    is_named = any(all((axis, value) in own for value in axes[axis]) for axis in axes)
    if "config" not in content and not is_named:
        raise PipelineError(f"{where}: config names no file")
    configs = _configs(file, content["config"], where) if "config" in content else ()
    options = _options(content.get("options", {}), f"{where}: options")
    return Stage(name, configs, commands, options, axes, own)


def _configs(file: Path, given: Any, where: str) -> tuple[Path, ...]:
    names = given if isinstance(given, list) else [given]
    shipped = announced_configs()
    try:
        return tuple(find_config(str(name), shipped, file.parent) for name in names)
    except ConfigError as error:
        raise PipelineError(f"{where}: config: {error}") from error


def _axis(values: Any, where: str) -> dict[str, dict[str, Any]]:
    if isinstance(values, list):
        # Values that set nothing by themselves: options say ${axis}.
        values = {value: {} for value in map(str, values)}
    if not isinstance(values, dict) or not values:
        raise PipelineError(
            f"{where}: a list of values, or maps the name of each value to the options it sets"
        )
    for name in values:
        _check_name(str(name), where)
    return {str(name): _options(chosen, f"{where}.{name}") for name, chosen in values.items()}


def _options(options: Any, where: str) -> dict[str, Any]:
    if options is not None and not isinstance(options, dict):
        raise PipelineError(f"{where}: maps options, such as trainer.max_epochs, to values")
    return {str(key): value for key, value in (options or {}).items()}


def read_mapping(file: Path) -> dict[str, Any]:
    """Content of a YAML file that is a mapping.

    Raises:
        PipelineError: If it is not one.
    """
    try:
        content = read_yaml(file)
    except FileNotFoundError as error:
        raise PipelineError(f"{file}: no such file") from error
    except DamagedFileError as error:
        raise PipelineError(f"{file}: cannot be read: {error.what}") from error
    except OSError as error:
        raise PipelineError(f"{file}: cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise PipelineError(f"{file}: a mapping is expected")
    return content


def _only_keys(content: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in content:
        if key not in known:
            near = get_close_matches(str(key), known, n=1) or known
            raise PipelineError(f"{where}: unknown key '{key}'; did you mean '{near[0]}'?")


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        raise PipelineError(
            f"{where}: '{name}' becomes a folder", "take letters, digits, and - _ . + between them"
        )


def _are_seeds(seeds: Any) -> bool:
    return (
        isinstance(seeds, list)
        and bool(seeds)
        and all(type(seed) is int and seed >= 0 for seed in seeds)
        and len(set(seeds)) == len(seeds)
    )
