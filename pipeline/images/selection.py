"""Which images of a source are used: all, those of a list, those that match, the first."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.labelfile import classes_by_files
from dilo.pipeline.images.listing import (
    EXTENSIONS,
    extension_of,
    matcher,
    matching,
    read_list,
)
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.source import ImageSource, open_images

#: Called now and then with the number of images so far.
OnProgress = Callable[[int], object]
#: Lines at the head of a list that are looked for, to see what it names.
TRIED = 8
#: Called with a line that a user should read.
Say = Callable[[str], object]


@dataclass(frozen=True)
class ImageSelection:
    """Which images are used."""

    #: What --images names: a folder of images, or another source of them.
    root: Path
    #: A list of images, as `read_list` reads it; unless given, all below the folder. Its lines may
    #: also be folders, whose images are all taken, or file names alone, which are looked for.
    list_file: Path | None = None
    #: Only images that match one of these globs, as `find_images` compares them.
    include: tuple[str, ...] = ()
    #: Only the first so many of them.
    limit: int | None = None
    #: Files that name the classes of images that lie in no class folders.
    labels: tuple[Path, ...] = ()

    @classmethod
    def of(cls, images: "Path | str | ImageSelection") -> "ImageSelection":
        """Take a selection as it is, and all images of a folder."""
        return images if isinstance(images, ImageSelection) else cls(Path(images))

    @property
    def is_narrowed(self) -> bool:
        """Check whether it may leave out images of the folder."""
        return is_narrowed(self.options())

    def options(self) -> dict[str, Any]:
        """Return the options that narrow it or name its classes, by their names, for records."""
        options = {
            "list": None if self.list_file is None else str(self.list_file),
            "include": list(self.include),
            "limit": self.limit,
            "labels": [str(file) for file in self.labels],
        }
        return {name: value for name, value in options.items() if value}

    def describe(self) -> str:
        """Write the options that narrow it as they were given: "--limit 100"."""
        words: list[str] = []
        for name, value in self.options().items():
            if name == "labels":
                continue
            for each in value if isinstance(value, list) else [value]:
                words += [f"--{name}", shlex.quote(str(each))]
        return " ".join(words)

    def open(self, store: Path | None = None) -> ImageSource:
        """Open the images; a `store` of them may keep what makes that quick."""
        return open_images(self.root, store)

    def names(
        self,
        on_progress: OnProgress | None = None,
        say: Say | None = None,
        store: Path | None = None,
    ) -> Names:
        """List their paths below the folder, in the order of a store's rows."""

        def images() -> ImageSource:
            return self.open(store)

        def find() -> Names:
            return images().find(self.include, on_progress=on_progress, say=say)

        if self.list_file is None:
            return find()[: self.limit]
        return self._listed(self.list_file, images, find)[: self.limit]

    def class_names(self, names: Names, images: ImageSource | None = None) -> Sequence[str] | None:
        """Find the class of each image, by a file or by the source; None if folders name them.

        `images` are what `open` gives, where they are open already.
        """
        classes = classes_by_files(self.labels, names, str(self.root))
        return (images or self.open()).labels(names) if classes is None else classes

    def names_among(self, names: Names, where: str, images: ImageSource | None = None) -> Names:
        """List their paths where those of the folder are known already; `where` says of what.

        `images` are what `open` gives, where they are open already.
        """
        if self.list_file is None:
            return matching(names, self.include, f"of {where}")[: self.limit]
        return self._listed(self.list_file, lambda: images or self.open(), lambda: names)[
            : self.limit
        ]

    def _listed(
        self, file: Path, images: Callable[[], ImageSource], find: Callable[[], Names]
    ) -> Names:
        """Read the list; `find` lists all images, of which it may name folders or file names."""
        lines = read_list(file, self.root)
        if not _names_no_paths(lines[:TRIED], images):
            return lines if not self.include else read_list(file, self.root, self.include)
        matches = matcher(self.include)
        names = _resolve(lines, find(), file)
        return lines if names is None else Names(filter(matches, names))


def _names_no_paths(lines: Names, images: Callable[[], ImageSource]) -> bool:
    """Check whether some lines name folders, or files that lie in folders, not paths."""
    if any("/" in line and extension_of(line) in EXTENSIONS for line in lines):
        return False
    source = images()
    return all(source.size(line) < 0 for line in lines)


def is_narrowed(options: Mapping[str, Any]) -> bool:
    """Check whether options of a selection may leave out images."""
    return bool(options.keys() - {"labels"})


def _resolve(lines: Names, names: Names, file: Path) -> Names | None:
    """Find the images in the folders, or of the file names, that a list names.

    File names may lack their extension, as in VOC's lists.

    None if there are none at all: then its lines are paths of images that are not there.
    """
    matches: dict[str, list[str]] = {line: [] for line in lines}
    for name in names:
        parts = name.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        for key in {name, parts[-1], _stem(name), *folders} & matches.keys():
            matches[key].append(name)
    if missing := [line for line, found in matches.items() if not found]:
        if len(missing) == len(matches):
            return None
        raise DiloError(
            f"{file}: each line must be a path, a file name or a folder with images below "
            f"--images, got {len(missing)} that are none, such as {escaped(missing[0])}: remove "
            "them, or check --images"
        )
    for line, found in matches.items():
        if len(found) > 1 and any(line in (_stem(name), _file(name)) for name in found):
            raise DiloError(
                f"{file}: a file name must be that of one image, got {escaped(line)}, which is "
                f"{escaped(found[0])} and {escaped(found[1])}: write paths"
            )
    return Names(dict.fromkeys(name for found in matches.values() for name in found))


def _file(name: str) -> str:
    """Take the folders off a path."""
    return name.rpartition("/")[2]


def _stem(name: str) -> str:
    """Take the folders and the extension off a path."""
    return _file(name).rpartition(".")[0]
