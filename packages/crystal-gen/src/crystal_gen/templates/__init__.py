"""Known crystals as templates: copied with other elements, they answer a request."""

from crystal_gen.templates.generator import TemplateGenerator as TemplateGenerator
from crystal_gen.templates.joined import JoinedLibrary as JoinedLibrary
from crystal_gen.templates.joined import join_sources as join_sources
from crystal_gen.templates.library import TemplateLibrary as TemplateLibrary
from crystal_gen.templates.search import Candidate as Candidate
from crystal_gen.templates.search import Exclusion as Exclusion
from crystal_gen.templates.search import Level as Level
from crystal_gen.templates.search import TemplateSearch as TemplateSearch
from crystal_gen.templates.volume import VolumeModel as VolumeModel

__all__ = [
    "Candidate",
    "Exclusion",
    "JoinedLibrary",
    "Level",
    "TemplateGenerator",
    "TemplateLibrary",
    "TemplateSearch",
    "VolumeModel",
    "join_sources",
]
