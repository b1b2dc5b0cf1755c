"""The names under which a package's models may be loaded; nothing else ever is."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from crystal_data.errors import CrystalError

# The entry points by which packages announce their registries.
GROUP = "crystal_data.models"
# An artifact names its package. Only these are imported without the caller's consent.
PACKAGES = ("crystal_data", "crystal_embed", "crystal_gan", "crystal_relax", "crystal_gen")


class ArtifactError(CrystalError, ValueError):
    """An artifact that cannot be loaded or written, with the reason and the remedy."""


class ModelRegistry:
    """Model names of one package, each with the module that defines it.

    A model package keeps one as ``MODELS`` in its module ``registry``, which imports no model::

        MODELS = ModelRegistry("crystal_embed", {"CGCNN": "crystal_embed.models.cgcnn"})

    and announces it in its ``pyproject.toml``, under its import name::

        [project.entry-points."crystal_data.models"]
        crystal_embed = "crystal_embed.registry:MODELS"

    Args:
        package: Import name of the package.
        models: Class name to the module where that class lives.
    """

    def __init__(self, package: str, models: Mapping[str, str]) -> None:
        self.package = package
        self._models = dict(models)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in alphabetical order."""
        return tuple(sorted(self._models))

    def model_class(self, name: str) -> type:
        """The class behind a name.

        Raises:
            ArtifactError: If the package has no model of that name.
        """
        if name not in self._models:
            near = get_close_matches(name, self._models, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(self.names)}"
            raise ArtifactError(f"{self.package} has no model '{name}'; {hint}")
        found: type = getattr(import_module(self._models[name]), name)
        return found

    def check(self, model_class: type) -> None:
        """Raises unless the class itself is what its name leads to.

        Raises:
            ArtifactError: If an artifact of this class could not be loaded again.
        """
        name = model_class.__name__
        if name not in self._models or self.model_class(name) is not model_class:
            raise ArtifactError(
                f"{model_class.__module__}.{name} is not in the registry of {self.package}",
                f"add it to {self.package}.registry.MODELS, so that its artifacts can be loaded",
            )


def registry_of(package: str, allow_package: str | None = None) -> ModelRegistry:
    """The registry that an installed package announces; no other package is imported.

    Args:
        package: Import name of the package.
        allow_package: A package outside ours that may be imported as well.

    Raises:
        ArtifactError: If the package may not be imported, is not installed, announces no
            registry, or is announced by more than one distribution.
    """
    if package not in {*PACKAGES, allow_package} or not package.isidentifier():
        raise ArtifactError(
            f"'{package:.50}' is not one of {', '.join(PACKAGES)}; nothing is imported",
            f"if you trust {package:.50}, give allow_package='{package:.50}', or to a command "
            f"--allow-package {package:.50}",
        )
    announced = tuple(entry_points(group=GROUP, name=package))
    if not announced:
        raise _not_announced(package)
    if len(announced) > 1:
        names = sorted(_distribution(entry) for entry in announced)
        raise ArtifactError(
            f"the distributions {' and '.join(names)} both announce the models of {package}; none "
            "is loaded",
            "uninstall the one that does not belong there",
        )
    return _loaded(announced[0], package)


def _not_announced(package: str) -> ArtifactError:
    # A package that is imported already may have no spec, such as __main__.
    if package in sys.modules or find_spec(package) is not None:
        return ArtifactError(
            f"{package} announces no models",
            f'put {package} = "{package}.registry:MODELS" under '
            f'[project.entry-points."{GROUP}"] of its pyproject.toml and install it again',
        )
    name = package.replace("_", "-")
    return ArtifactError(
        f"the artifact belongs to {name}, which is not installed", f"pip install {name}"
    )


def _loaded(entry: EntryPoint, package: str) -> ModelRegistry:
    """What an entry point names, if that is the registry of its package.

    Raises:
        ArtifactError: If it lies in another package, cannot be imported, or is no registry.
    """
    distribution = _distribution(entry)
    if entry.value.partition(":")[0].partition(".")[0] != package:
        raise ArtifactError(
            f"the distribution {distribution} announces {entry.value} as the models of {package}; "
            "that is another package, and nothing is imported"
        )
    try:
        registry = entry.load()
    except (ImportError, AttributeError) as error:
        raise ArtifactError(
            f"the models of {package}, {entry.value}, cannot be imported: {error}",
            f"pip install --upgrade {distribution}",
        ) from error
    if not isinstance(registry, ModelRegistry) or registry.package != package:
        raise ArtifactError(f"{entry.value} is no registry of the models of {package}")
    return registry


def _distribution(entry: EntryPoint) -> str:
    return "unknown" if entry.dist is None else entry.dist.name
