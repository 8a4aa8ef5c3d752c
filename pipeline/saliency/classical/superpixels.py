"""Superpixels: an image into patches of one colour, and what is known of each."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.classical.frame import inside_frame
from dilo.pipeline.saliency.classical.regions import contact_bits, region_sums
from dilo.pipeline.saliency.classical.slic import slic
from dilo.pipeline.saliency.parameters import SuperpixelParameters


@dataclass(frozen=True)
class Superpixels:
    """What the methods know of N superpixels.

    Attributes
    ----------
    labels : ndarray of shape (H, W), int32
        Superpixel of each pixel, 0 to N - 1, none empty.
    rgb : ndarray of shape (N, 3), float64
        Mean red, green and blue, in [0, 1].
    position : ndarray of shape (N, 2), float64
        Mean row and column, each in units of the image's own side, in (0, 1].
    """

    labels: NDArray[np.int32]
    rgb: NDArray[np.float64]
    position: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rgb)

    @cached_property
    def touch(self) -> NDArray[np.uint8]:
        """Find in which directions superpixels touch; see `contact_bits`.

        Returns
        -------
        ndarray of shape (N, N), uint8
            Looked for once, however many methods ask.
        """
        return contact_bits(self.labels, len(self))

    def neighbors(self) -> NDArray[np.bool_]:
        """Find who touches whom, at a side or a corner.

        Returns
        -------
        ndarray of shape (N, N), bool
            Symmetric, the diagonal False.
        """
        touch = self.touch > 0
        return touch | touch.T

    def on_boundary(self, band: int) -> NDArray[np.bool_]:
        """Find which superpixels reach the image's edges.

        Parameters
        ----------
        band : int
            Width of what counts as edge, in pixels, at least 1.

        Returns
        -------
        ndarray of shape (N,), bool
            Whether a pixel lies in that band.
        """
        labels = self.labels
        boundary = np.zeros(len(self), bool)
        for strip in (labels[:band], labels[-band:], labels[:, :band], labels[:, -band:]):
            boundary[strip] = True
        return boundary


@dataclass(frozen=True)
class Segmentation:
    """The superpixels of a square image, and where in it they lie.

    Attributes
    ----------
    superpixels : Superpixels
        Of the picture inside the frame; of the whole image where there is none.
    inside : tuple of slice
        Rows and columns of the picture.
    side : int
        Of the square image, in pixels.
    """

    superpixels: Superpixels
    inside: tuple[slice, slice]
    side: int

    def paint(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give each pixel the value of its superpixel.

        Parameters
        ----------
        values : ndarray of shape (N,), float64
            One a superpixel.

        Returns
        -------
        ndarray of shape (side, side), float64
            The image; 0 in a frame.
        """
        if self.superpixels.labels.shape == (self.side, self.side):
            return values[self.superpixels.labels]
        painted = np.zeros((self.side, self.side))
        painted[self.inside] = values[self.superpixels.labels]
        return painted


def segment(image: NDArray[np.uint8], parameters: SuperpixelParameters) -> Segmentation:
    """Divide a square image into superpixels, after taking off an artificial frame.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        RGB image.
    parameters : SuperpixelParameters
        How many, how compact, and what a frame is.

    Returns
    -------
    Segmentation
        Superpixels and their place.
    """
    side = len(image)
    inside = inside_frame(image, parameters)
    picture = np.ascontiguousarray(image[inside])
    share = picture.shape[0] * picture.shape[1] / side**2
    divide = slic if parameters.segmentation == "compiled" else _slic_of_scikit_image
    labels = divide(
        picture,
        count=max(1, int(parameters.superpixels * share + 0.5)),
        compactness=parameters.compactness,
        iterations=parameters.iterations,
        smallest=parameters.smallest_superpixel,
    )
    return Segmentation(describe(picture, labels), inside, side)


def describe(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Superpixels:
    """Measure colour and position of superpixels.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    labels : ndarray of shape (H, W), int32
        Superpixel of each pixel, 0 to N - 1, none empty.

    Returns
    -------
    Superpixels
        One entry a label.
    """
    sums, pixels = region_sums(image, labels, int(labels.max()) + 1)
    mean = sums / pixels[:, np.newaxis]
    # The release counts rows and columns from 1.
    return Superpixels(labels, mean[:, :3] / 255, (mean[:, 3:] + 1) / labels.shape)


def _slic_of_scikit_image(
    image: NDArray[np.uint8], *, count: int, compactness: float, iterations: int, smallest: float
) -> NDArray[np.int32]:
    """Divide by scikit-image's SLIC: ten times slower, the reference for our own."""
    from skimage.color import rgb2lab
    from skimage.segmentation import slic as reference

    lab = rgb2lab(image.astype(np.float32) / 255)
    # It stretches what it is given to [0, 1], which would make noise of a picture without
    # contrast: the compactness follows, and so stays in CIELAB units.
    spread = float(lab.max() - lab.min()) or 1.0
    labels = reference(
        lab,
        n_segments=count,
        compactness=compactness / spread,
        max_num_iter=iterations,
        convert2lab=False,
        min_size_factor=smallest,
        max_size_factor=16,  # the square that a seed looks at: no superpixel is cut
        start_label=0,
    )
    numbers = np.cumsum(np.bincount(labels.ravel()) > 0) - 1
    renumbered: NDArray[np.int32] = numbers[labels].astype(np.int32)
    return renumbered
