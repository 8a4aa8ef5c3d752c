"""A folder of images, or a file of features, to features: with progress and remarks in words."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

from dilo.eval.common.machine import Machine
from dilo.eval.common.results import Say, say_skipped
from dilo.eval.features.features import Features, extract_features
from dilo.eval.features.file import open_features
from dilo.eval.features.folders import LabelledFolder, labelled_folder
from dilo.eval.features.provenance import FeatureSource
from dilo.eval.features.resume import ResumableExtraction
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.progress import Progress
from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.selection import ImageSelection
from dilo.pipeline.images.source import holds_images


def _open_source(
    images: Path | ImageSelection,
    say: Say,
    train: LabelledFolder | Features | None = None,
) -> LabelledFolder | Features:
    """List the images of a folder, or open a file of features.

    Classes are their own, or those of the training images; if these are a part of their folder,
    images of other classes are left out.
    """
    selection = ImageSelection.of(images)
    path, classes = selection.root, None if train is None else train.classes
    if holds_images(path):
        skip_others = train is not None and train.is_narrowed
        return labelled_folder(selection, classes=classes, skip_others=skip_others, say=say)
    require_whole(selection)
    features = open_features(path)
    if not features.classes:
        raise DiloError(
            f"{path} must hold features of images in class folders, got none in any: "
            "make it of a folder of class folders"
        )
    return features if classes is None else features.with_classes(classes)


class Sources:
    """Training images and test images, listed when first asked for: once for several networks.

    Parameters
    ----------
    train : Path or ImageSelection
        Class folders, or some of their images, or a file of features.
    test : Path or ImageSelection
        The same; classes are those of the training images.
    say : callable
        Takes lines for people.
    """

    def __init__(self, train: Path | ImageSelection, test: Path | ImageSelection, say: Say) -> None:
        self._train, self._test, self._say = train, test, say

    @cached_property
    def train(self) -> LabelledFolder | Features:
        """List the training images, or open the file of their features."""
        return _open_source(self._train, self._say)

    @cached_property
    def test(self) -> LabelledFolder | Features:
        """List the test images, or open the file of their features."""
        return _open_source(self._test, self._say, self.train)

    def folders(self) -> tuple[LabelledFolder, LabelledFolder]:
        """List both, where neither may be a file of features."""
        for source in (self.train, self.test):
            if isinstance(source, Features):
                raise DiloError(
                    f"{source.root} must be class folders, got a file of features: give --fast"
                )
        return cast("tuple[LabelledFolder, LabelledFolder]", (self.train, self.test))


def require_whole(selection: ImageSelection) -> None:
    """Refuse to narrow the images of a file of features."""
    if selection.is_narrowed:
        raise DiloError(
            f"{selection.describe()} must narrow a folder of images, got the file of features "
            f"{selection.root}: give the option to dilo-eval features, which makes such files"
        )


@dataclass(frozen=True)
class Loader:
    """Makes features of folders, and takes those of files, telling `say` how far it is."""

    machine: Machine
    say: Say
    #: Folders of which it was said what they hold: several networks may look at one.
    announced: set[Path] = field(default_factory=set)

    def load(
        self,
        encoder: Encoder | None,
        source: LabelledFolder | Features,
        cache: Path | None = None,
    ) -> Features:
        """Take features that are there, if the encoder made them, or run the network over a folder.

        Features of a folder are held in memory, or lie in a file of the folder `cache`, which is
        taken if it is there.
        """
        if isinstance(source, Features):
            if encoder is not None:
                _require_same_source(encoder, source)
            self._announce(source, f"features of {len(source.labels)} images")
            say_skipped(source.skipped, self.say)
            return source
        if encoder is None:
            raise DiloError(
                f"--checkpoint must be given for a folder of images, got none for {source.root}: "
                "give one, or a file of features"
            )
        if cache is not None:
            return self.extract_to_file(encoder, source, cache)
        self._announce(source, f"{len(source.names)} images")
        device, precision = self.machine.choose()
        with Progress(len(source.names), "images", self.say) as progress:
            features = extract_features(
                encoder,
                source,
                batch=self.machine.batch,
                workers=self.machine.workers,
                device=device,
                precision=precision,
                progress=progress.advance,
            )
        say_skipped(features.skipped, self.say)
        return features

    def extract_to_file(self, encoder: Encoder, folder: LabelledFolder, path: Path) -> Features:
        """Run the network over a folder into a file, resuming what an earlier command began.

        In place of a file, a folder stands for one in it that is named for all it follows from.
        """
        device, precision = self.machine.choose()
        self._announce(folder, f"{len(folder.names)} images")
        job = ResumableExtraction(encoder, folder, path, precision=precision)
        if job.done:
            number = "all" if job.done == job.images else job.done
            self.say(f"{job.path}: {number} of them are done already")
        with Progress(job.images - job.done, "images", self.say) as progress:
            features = job.run(
                batch=self.machine.batch,
                workers=self.machine.workers,
                device=device,
                progress=progress.advance,
            )
        say_skipped(features.skipped, self.say)
        return features

    def _announce(self, source: LabelledFolder | Features, content: str) -> None:
        """Say once what a folder holds."""
        if source.root not in self.announced:
            classes = f" in {len(source.classes)} classes" if source.classes else ""
            self.say(f"{source.root}: {content}{classes}")
            self.announced.add(source.root)


def _require_same_source(encoder: Encoder, features: Features) -> None:
    """Refuse features that another network made, or in another way."""
    expected = FeatureSource.of(encoder, features.source.precision)
    if differences := features.source.differences(expected):
        raise DiloError(
            f"features of {features.root} must be what the checkpoint makes, got "
            f"{'; '.join(differences)}: leave --checkpoint out, or make the file again"
        )
