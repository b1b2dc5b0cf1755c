"""Objects that know what they were made with, so that they can be saved and made again."""

from inspect import signature
from typing import Any, Self


class RemembersArguments:
    """A base whose objects keep the arguments of their constructor, defaults included."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remembers the arguments."""
        made = super().__new__(cls)
        try:
            bound = signature(cls.__init__).bind(made, *args, **kwargs)
        except TypeError:
            # copy and pickle come without arguments; a wrong call is refused by __init__.
            return made
        bound.apply_defaults()
        made.__dict__["_arguments"] = dict(list(bound.arguments.items())[1:])
        return made
