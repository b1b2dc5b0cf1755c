"""Functions that ``torch.compile`` leaves as they are.

To mark them imports the compiler, which takes as long as torch itself, so this module is imported
only where a model is compiled.
"""

import torch

from crystal_data.graphs.folding import classes_of

#: ``classes_of``, outside of compiled graphs: how many classes there are depends on values.
uncompiled_classes_of = torch.compiler.disable(classes_of)
