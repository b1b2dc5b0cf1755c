"""What element vectors know: which elements are alike, and which properties can be read off."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_embed.analysis.clusters import Clusters as Clusters
    from crystal_embed.analysis.clusters import k_means as k_means
    from crystal_embed.analysis.layout import pushed_apart as pushed_apart
    from crystal_embed.analysis.layout import table_position as table_position
    from crystal_embed.analysis.neighbors import nearest as nearest
    from crystal_embed.analysis.projection import Projection as Projection
    from crystal_embed.analysis.projection import project as project
    from crystal_embed.analysis.run import Analysis as Analysis
    from crystal_embed.analysis.run import AnalysisSettings as AnalysisSettings
    from crystal_embed.analysis.run import analyze as analyze
    from crystal_embed.analysis.style import COLORS as COLORS
    from crystal_embed.analysis.write import write_analysis as write_analysis

_EXPORTS = {
    "Analysis": "crystal_embed.analysis.run",
    "AnalysisSettings": "crystal_embed.analysis.run",
    "COLORS": "crystal_embed.analysis.style",
    "Clusters": "crystal_embed.analysis.clusters",
    "Projection": "crystal_embed.analysis.projection",
    "analyze": "crystal_embed.analysis.run",
    "k_means": "crystal_embed.analysis.clusters",
    "nearest": "crystal_embed.analysis.neighbors",
    "project": "crystal_embed.analysis.projection",
    "pushed_apart": "crystal_embed.analysis.layout",
    "table_position": "crystal_embed.analysis.layout",
    "write_analysis": "crystal_embed.analysis.write",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
