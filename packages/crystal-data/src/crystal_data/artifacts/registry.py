"""The names under which a package's models may be loaded; nothing else ever is."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module

from crystal_data.errors import CrystalError

# An artifact names its package. Only these are ever imported on an artifact's word.
PACKAGES = ("crystal_data", "crystal_embed", "crystal_gan", "crystal_relax", "crystal_gen")


class ArtifactError(CrystalError, ValueError):
    """An artifact that cannot be loaded or written, with the reason and the remedy."""


class ModelRegistry:
    """Model names of one package, each with the module that defines it.

    A model package keeps one as ``MODELS`` in its module ``registry``, which imports no model::

        MODELS = ModelRegistry("crystal_embed", {"CGCNN": "crystal_embed.models.cgcnn"})

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


def registry_of(package: str) -> ModelRegistry:
    """The registry of an installed package.

    Raises:
        ArtifactError: If the package is not one of ours, or is not installed.
    """
    if package not in PACKAGES:
        raise ArtifactError(f"'{package}' is not one of {', '.join(PACKAGES)}; nothing is imported")
    try:
        registry: ModelRegistry = import_module(f"{package}.registry").MODELS
    except ModuleNotFoundError as error:
        name = package.replace("_", "-")
        raise ArtifactError(f"the model belongs to {name}: pip install {name}") from error
    return registry
