"""Checks of each installed package that dilo-prep needs."""

import importlib
import importlib.metadata
from collections.abc import Callable, Iterable

from packaging.requirements import Requirement

from dilo.pipeline.doctor.report import Finding

#: Wheels that each bring the folder cv2: the last one installed overwrites the others'.
_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
# Where a package is imported under another name than it is installed.
_MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL", "scikit-image": "skimage"}

Version = Callable[[str], str | None]


def installed(name: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements() -> list[Requirement]:
    """List what the base install needs, as the installed dilo says it."""
    declared = [Requirement(line) for line in importlib.metadata.requires("dilo") or ()]
    return [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]


def packages(required: Iterable[Requirement], version: Version = installed) -> list[Finding]:
    """Compare each package with the oldest version allowed, and import it."""
    return [
        opencv(requirement, version)
        if requirement.name in _OPENCV
        else package(requirement, version)
        for requirement in required
    ]


def opencv(requirement: Requirement, version: Version) -> Finding:
    """Check that OpenCV is there once."""
    wheels = [name for name in _OPENCV if version(name)]
    if len(wheels) > 1:
        state = ", ".join(f"{name} {version(name)}" for name in wheels)
        advice = (
            f"they overwrite each other's files: pip uninstall -y {' '.join(wheels)} && "
            f"pip install '{requirement}'"
        )
        return Finding("OpenCV", "breaks", state, advice)
    wheel = wheels[0] if wheels else requirement.name
    return package(requirement, lambda _: version(wheel), check="OpenCV")


def package(
    requirement: Requirement,
    version: Version,
    fault: Callable[[str], str | None] | None = None,
    *,
    check: str | None = None,
) -> Finding:
    """Compare one package with the oldest version allowed, and import it."""
    check = check or requirement.name
    installed_version = version(requirement.name)
    remedy = f"pip install --upgrade '{requirement}'"
    if installed_version is None:
        return Finding(check, "breaks", "not installed", remedy)
    if not requirement.specifier.contains(installed_version, prereleases=True):
        return Finding(
            check, "breaks", f"{installed_version}, where {requirement.specifier} is needed", remedy
        )
    reason = (fault or import_fault)(_MODULES.get(requirement.name, requirement.name))
    if reason is not None:
        advice = f"pip install --force-reinstall '{requirement}'"
        return Finding(check, "breaks", f"{installed_version} cannot be imported: {reason}", advice)
    return Finding(check, "ok", installed_version + _bundled_library(requirement.name))


def import_fault(module: str) -> str | None:
    """Import a module and say why it cannot be.

    Returns the error in one line; None where it works.
    """
    try:
        importlib.import_module(module)
    # A package built for another version of numpy raises what its first broken part is.
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _bundled_library(name: str) -> str:
    """Name the library that a package carries where its version matters."""
    if name != "h5py":
        return ""
    return f", HDF5 {importlib.import_module('h5py').version.hdf5_version}"
