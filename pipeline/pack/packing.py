"""What a store of packed images is, and who makes its rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dilo.pipeline.compute.shard import ShardOpener, ShardWork
from dilo.pipeline.errors import StoreError
from dilo.pipeline.images.archivekinds import PACKED
from dilo.pipeline.images.decoding import decode_reduced
from dilo.pipeline.images.encoding import encode_reduced
from dilo.pipeline.images.names import Names, escaped
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import ImageSource, open_images
from dilo.pipeline.store.create import StoreSpec
from dilo.pipeline.store.packedrows import PackedRows
from dilo.pipeline.store.plan import PLAN, Plan

#: What plan.json calls files that are packed as they are, and JPEGs that are made of them.
FILES, JPEGS = "files", "jpegs"
#: Raised when the same images come to give other bytes.
VERSION = 1
#: Bytes of a shard that are aimed at; a worker holds a few times as many.
SHARD_BYTES = 2**28
#: Images whose files are measured, to choose the size of a shard.
_MEASURED = 8


@dataclass(frozen=True)
class PackRecipe:
    """How images are packed."""

    #: Most of the shorter side, in pixels; 0 leaves all files as they are.
    short_side: int = 0
    #: Of the JPEGs of images that are reduced, 1 to 100.
    quality: int = 90

    def spec(self, images: ImageSource) -> "PackSpec":
        """Describe a store of images that are packed so."""
        parameters = {"version": VERSION} | ({"quality": self.quality} if self.short_side else {})
        method = JPEGS if self.short_side else FILES
        return PackSpec(PACKED, method, parameters, self.short_side, images)

    @classmethod
    def from_plan(cls, plan: Plan, store: Path) -> Self:
        """Rebuild it of the plan of a store, or refuse one of another version."""
        recipe = cls(plan.size, plan.parameters.get("quality", 90))
        expected = {"version": VERSION} | ({"quality": recipe.quality} if plan.size else {})
        known = type(recipe.quality) is int and 1 <= recipe.quality <= 100
        if (
            not known
            or plan.method != (JPEGS if plan.size else FILES)
            or expected != dict(plan.parameters)
        ):
            raise StoreError(
                f"{store / PLAN} asks for images packed as this version of dilo does not: use the "
                "version that wrote it, or make a fresh store"
            )
        return recipe

    def pack(self, content: bytes) -> tuple[bytes, tuple[int, int]]:
        """Make what is packed of an image file; also return the height and width of the image.

        A file that is packed as it is, is not decoded: its height and width are 0. One that is
        decoded and no larger than it may be stays as it is too.
        """
        if not self.short_side:
            return content, (0, 0)
        pixels, shape = decode_reduced(content, self.short_side)
        if min(shape) <= self.short_side:
            return content, shape
        return encode_reduced(pixels, self.short_side, self.quality), shape


@dataclass(frozen=True)
class PackSpec(StoreSpec):
    """What a store of packed images is to hold."""

    #: Where they are read.
    images: ImageSource

    @property
    def row_bytes(self) -> int:
        """Return the fewest bytes that a row takes: how many it does, only its file says."""
        return 1

    def shard_size(self, names: Names) -> int:
        """Choose how many images a shard holds by the size of some of their files."""
        step = -(-len(names) // _MEASURED)
        sizes = [max(self.images.size(name), 1) for name in names[::step]]
        mean = max(1, sum(sizes) // len(sizes))
        if self.size:
            mean = min(mean, self.size**2)
        return max(1, min(super().shard_size(names), SHARD_BYTES // mean))


@dataclass(frozen=True)
class PackSource:
    """Packed images, of where they are read."""

    #: The images.
    images: ImageSource

    def open(self, store: Path, plan: Plan) -> ShardOpener:
        """Open what packs images, or refuse a plan of another version."""
        recipe = PackRecipe.from_plan(plan, store)

        def open_shard(images: range, paths: list[str]) -> ShardWork:
            rows = PackedRows.empty([escaped(path) for path in paths])
            labels = self.images.labels(Names(paths))
            if labels is not None:
                rows.label[:] = labels

            def process(row: int, content: bytes) -> None:
                rows.files[row], rows.shape[row] = recipe.pack(content)

            return ShardWork(rows, range(len(paths)), process)

        return open_shard


class PackableSelection(ImageSelection):
    """Which images are packed: also of what nothing but packing reads."""

    def open(self, store: Path | None = None) -> ImageSource:
        """Open the images."""
        return open_images(self.root, store, in_order=True)
