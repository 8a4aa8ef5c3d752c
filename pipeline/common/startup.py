"""How a program and the interpreters that it starts import: never from the current folder.

That may be a data set from anywhere, and its joblib.py would be run. Python puts the current folder
first where it is started with -m or -c, as loky and multiprocessing start their processes.
"""

# What is imported here is imported before the path is safe: what Python has loaded anyway.
import os
import sys

#: Where no library is, for a search path that is not to be empty.
_NO_FOLDER = os.devnull


def safe_environment() -> dict[str, str]:
    """Return the variables that keep an interpreter from taking code from the current folder.

    OpenCV, when it is imported, leaves an empty entry in LD_LIBRARY_PATH, which the loader takes
    for the current folder.
    """
    variables = {"PYTHONSAFEPATH": "1"}
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH"):
        if (value := os.environ.get(name)) and not all(value.split(os.pathsep)):
            variables[name] = os.pathsep.join(_entries(name)) or _NO_FOLDER
    return variables


def begin_program() -> None:
    """Take the current folder off this program's path, and off that of all it starts.

    For the programs alone, before they import anything: a library leaves the path and the
    environment to whoever uses it. What PYTHONPATH names stays, but for its empty entries, which
    a shell leaves there by accident.
    """
    if _started_by_name() and not sys.flags.safe_path:
        first = sys.path.pop(0)
        if _holds_dilo(first):  # an installation where the user stands: dilo lies nowhere else
            sys.path.insert(0, first)
            os.environ["PYTHONPATH"] = os.pathsep.join([first, *_entries("PYTHONPATH")])
    _drop_empty_entries()
    os.environ.update(safe_environment())
    if not os.environ.get("LD_LIBRARY_PATH"):  # else OpenCV would leave the empty entry later
        os.environ["LD_LIBRARY_PATH"] = _NO_FOLDER
    from dilo.pipeline.common.elsewhere import import_elsewhere  # now that its imports are safe

    import_elsewhere()


def safe_path() -> bool:
    """Check whether this process, a program or a worker, may take no code from where it stands."""
    return bool(os.environ.get("PYTHONSAFEPATH"))


def _started_by_name() -> bool:
    """Check whether Python was started with -m and a name of dilo's, which it then keeps."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    return getattr(specification, "name", "").startswith("dilo.")


def _holds_dilo(folder: str) -> bool:
    """Check whether this very package was imported from a folder."""
    home = os.path.normpath(os.path.join(os.path.abspath(__file__), *[os.pardir] * 4))
    return os.path.realpath(folder) == os.path.realpath(home)


def _entries(name: str) -> list[str]:
    """List the folders that a search path in the environment names."""
    return [entry for entry in os.environ.get(name, "").split(os.pathsep) if entry]


def _drop_empty_entries() -> None:
    """Forget the current folder where an empty entry of PYTHONPATH alone put it on the path."""
    variable = os.environ.get("PYTHONPATH")
    if not variable or all(variable.split(os.pathsep)):
        return
    try:
        current = os.getcwd()
    except FileNotFoundError:
        return
    if current not in map(os.path.abspath, _entries("PYTHONPATH")) and not _holds_dilo(current):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", current)]
