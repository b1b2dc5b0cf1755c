"""Functions that ``torch.compile`` leaves as they are.

To mark them imports the compiler, which takes as long as torch itself, so this module is imported
only where a model is compiled.
"""

import torch

from crystal_embed.layers.distinct import kinds_of

#: ``kinds_of``, outside of compiled graphs: how many kinds there are depends on values.
uncompiled_kinds_of = torch.compiler.disable(kinds_of)
