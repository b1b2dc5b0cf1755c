"""Which modules a config or a command line may name, told by the name alone.

Nothing is imported for it, so a command asks before it imports torch and Lightning.
"""

from collections.abc import Sequence
from typing import NoReturn

from crystal_data.artifacts.registry import PACKAGES
from crystal_data.errors import CrystalError

OPTION = "--allow-module"
LIBRARIES = ("torch", "lightning", "torchmetrics")
OWN = (*PACKAGES, "crystal_apps")
ROOTS = (*OWN, *LIBRARIES)


class NotAllowedError(CrystalError, ImportError, ValueError):
    """A class path that a config or a command line may not name.

    The parser takes both kinds of error for those of a value that does not fit.
    """


class AllowedPaths:
    """The rule for names, with the modules that the user has added to it.

    Args:
        modules: Names of modules, such as ``my_models``; all that is defined in or below one of
            them may be named.

    Attributes:
        refusals: Message to each class path that was refused.
    """

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._modules = tuple(modules)
        self.refusals: dict[str, str] = {}

    def check_path(self, path: str) -> None:
        """Raises unless the module that a path names may be imported; to be called before that.

        Raises:
            NotAllowedError: With the path, the reason and the remedy.
        """
        root, dot, _ = path.partition(".")
        if dot and root not in ROOTS and not self.is_added(path):
            self.refuse(path, "", root)

    def refusal_in(self, message: str) -> str | None:
        """The refusal that a message of the parser was made from; None if it has another cause."""
        return next((one for one in self.refusals.values() if one in message), None)

    def is_added(self, path: str) -> bool:
        """Whether a path lies in or below a module that the user has added."""
        return any(f"{path}.".startswith(f"{name}.") for name in self._modules)

    def refuse(self, path: str, reason: str, module: str) -> NoReturn:
        """Raises, and keeps the message.

        Args:
            path: Class path that is refused.
            reason: What speaks against it, as the beginning of a sentence; may be empty.
            module: What the user would have to trust.

        Raises:
            NotAllowedError: Always.
        """
        message = (
            f"'{path}' is not used: {reason}configs name classes of the crystal packages, torch, "
            f"lightning and torchmetrics; if you trust {module}, give {OPTION} {module} on the "
            "command line"
        )
        self.refusals[path] = message
        raise NotAllowedError(message)


def split_modules(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Takes ``--allow-module NAME`` out of arguments, so that no config file can set it.

    Returns:
        The names, and the other arguments.
    """
    left, names, others = list(args), list[str](), list[str]()
    while left:
        arg = left.pop(0)
        if arg == OPTION and left:
            names.append(left.pop(0))
        elif arg.startswith(f"{OPTION}="):
            names.append(arg.partition("=")[2])
        else:
            others.append(arg)
    return names, others
