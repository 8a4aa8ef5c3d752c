"""dilo: saliency masks of an image collection, and contrastive training that pastes by them.

The top of the installed package: `setup.cfg` installs this folder as `dilo`. The programs are
`dilo-prep`, `dilo-train` and `dilo-eval`. What most Python code needs is here:

    from dilo import CopyPaste, LoadWithMask, MaskStore, make_masks, saliency

The rest stands in `dilo.pipeline`, `dilo.train` and `dilo.eval`.
"""

# Of `typing`, not even this: `python -m dilo.train` runs this file while the current folder is
# still a place to import from. So whatever is imported is imported when it is asked for.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from dilo.pipeline.masks.computed import make_masks
    from dilo.pipeline.saliency import saliency
    from dilo.pipeline.store import MaskStore
    from dilo.train.copypaste import CopyPaste
    from dilo.train.masked import LoadWithMask

    __version__: str

__all__ = ["CopyPaste", "LoadWithMask", "MaskStore", "__version__", "make_masks", "saliency"]

#: Where each name is from; those of `dilo.train` need torch.
_MODULES = {
    "CopyPaste": "dilo.train.copypaste",
    "LoadWithMask": "dilo.train.masked",
    "MaskStore": "dilo.pipeline.store",
    "make_masks": "dilo.pipeline.masks.computed",
    "saliency": "dilo.pipeline.saliency",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, or look up the version, as pip knows it; once for each name."""
    value: object
    if name == "__version__":
        from importlib.metadata import version

        value = version("dilo")
    elif name in _MODULES:
        from importlib import import_module

        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List what is here, imported already or not."""
    return sorted({*globals(), *__all__})
