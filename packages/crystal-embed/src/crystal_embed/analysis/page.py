"""An analysis as one page that needs nothing beside itself."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystal_embed.analysis.run import Analysis


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Args:
        name: Of its file, without the suffix.
        alt: What it shows, for those who do not see it.
        svg: Content of the file.
    """

    name: str
    alt: str
    svg: bytes

    @property
    def source(self) -> str:
        """The content as an address, so that ids of two figures never meet on one page."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


def slug(label: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "table"


def render(
    analysis: Analysis,
    record: Mapping[str, Any],
    pictures: Sequence[Picture],
    neighbors_of: Sequence[str],
) -> str:
    """The page's HTML.

    Args:
        analysis: What was found.
        record: Content of ``analysis.json``.
        pictures: All figures.
        neighbors_of: Elements whose neighbors are shown first.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("crystal_embed.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = slug
    return environment.get_template("analysis.html").render(
        analysis=analysis,
        record=record,
        pictures={picture.name: picture for picture in pictures},
        neighbors_of=list(neighbors_of),
    )
