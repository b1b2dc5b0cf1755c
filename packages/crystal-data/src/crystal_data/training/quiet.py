"""Keeps Lightning from talking about what these packages have settled."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Advice of Lightning that leads nowhere here: data come in batches from memory-mapped columns,
# so workers are not always a gain, and epochs may be shorter than its logging interval.
_NOISE = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*exists and is not empty.*",
    # Testing needs no callback of the training.
    ".*callbacks used to create the checkpoint.*",
    # Nothing may be left to predict, which the command says itself.
    ".*across ranks is zero.*",
    # Lightning 2.6 asks this of newer versions of torch.
    ".*LeafSpec.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what says nothing to a user of these commands."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="lightning")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonargparse")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
