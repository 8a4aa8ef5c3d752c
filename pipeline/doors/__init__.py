"""dilo: saliency masks of an image collection, and contrastive training that pastes by them.

The top of the installed package: `setup.cfg` installs this folder as `dilo`. The programs are
`dilo-prep`, `dilo-train` and `dilo-eval`; what Python code imports stands in `dilo.pipeline`,
`dilo.train` and `dilo.eval`.
"""

from importlib.metadata import version

#: As pip knows it.
__version__ = version("dilo")
