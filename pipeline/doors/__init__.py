"""dilo: saliency masks of an image collection, and contrastive training that pastes by them.

The top of the installed package: `setup.cfg` installs this folder as `dilo`. The programs are
`dilo-prep`, `dilo-train` and `dilo-eval`; what Python code imports stands in `dilo.pipeline`,
`dilo.train` and `dilo.eval`.
"""


def __getattr__(name: str) -> str:
    """Look up `__version__`, as pip knows it, when it is asked for.

    Nothing is imported before: `python -m dilo.train` runs this file while the current folder is
    still a place to import from.
    """
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("dilo")
