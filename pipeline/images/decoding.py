"""The pixels of an image file as RGB: of sound files of every kind, and of nothing else."""

import contextlib
import errno
import io
import os
import stat
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    Jpeg2KImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    features,
)

from dilo.pipeline.common.textfiles import without_waiting
from dilo.pipeline.errors import ImageError
from dilo.pipeline.images.jpegs import decode_jpeg, plain_jpeg_shape
from dilo.pipeline.images.signatures import refusal
from dilo.pipeline.images.tiffs import STARTS, tiff_samples, tiff_shape

#: Pictures of AVIF, since Pillow 11.3, where it was built to read them.
_AVIF: tuple[str, ...] = ()
with contextlib.suppress(ImportError):
    from PIL import AvifImagePlugin

    _AVIF = (AvifImagePlugin.AvifImageFile.format,) if AvifImagePlugin.SUPPORTED else ()

#: What Pillow may take a file for, whatever its name: it hands some others to other programs.
FORMATS = (
    *("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM"),
    WebPImagePlugin.WebPImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    *((Jpeg2KImagePlugin.Jpeg2KImageFile.format,) if features.check_codec("jpg_2000") else ()),
    *_AVIF,
)
#: Pixels of the largest image that is decoded: 16384 x 16384, which takes 0.8 GB of a JPEG and up
#: to 2.9 GB of other kinds. A telephone's 200 million pass, ten times ImageNet's largest; twice
#: the bound would cost more than a worker may have.
MAX_PIXELS = 2**28
#: Bytes of the largest file that is read: so many pixels, uncompressed, of four times 16 bits.
MAX_BYTES = 8 * MAX_PIXELS
#: Seconds before each further try to read a file, where the error may pass.
RETRY_DELAYS = (0.2, 1.0)
_SHORTAGE = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENFILE, errno.ENOMEM}
_DISK_AWAY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTDOWN}
_DISK_AWAY |= {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOTCONN, errno.ESHUTDOWN}
#: Errors that may pass: of a machine short of something, of a network disk. Not among them: a
#: file that is not there, is a folder, or may not be read; nor EMFILE, for this very process has
#: too many files open, and waiting closes none.
TRANSIENT_ERRNOS = frozenset(_SHORTAGE | _DISK_AWAY)
#: What the system says where a disk may have gone, rather than a file.
GONE_ERRNOS = frozenset(
    (
        *(errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO),
        *(errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN),
    )
)
Content = TypeVar("Content")
#: Pillow's own bound is one for the whole process: it is lifted while a header is read.
_HEADER_LOCK = threading.Lock()


def decode(path: Path | str) -> NDArray[np.uint8]:
    """Read an image file as RGB, whatever its mode.

    Orientation tags are ignored and alpha is dropped, as torchvision's ImageFolder
    does, so that masks, training and published numbers see the same pixels.

    Parameters
    ----------
    path : Path or str
        The file. Its content decides the format, not its extension.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Red, green and blue. The first frame of a moving picture; samples of more
        than 8 bits scaled to 0..255.

    Raises
    ------
    ImageError
        If the file cannot be read, is no image, is truncated, has broken data or more
        than `MAX_PIXELS`. Its `errno` says why a file could not be read.
    """
    return decode_content(read_file(path))


def decode_content(content: bytes) -> NDArray[np.uint8]:
    """Read an image file as RGB, as `decode`, that was read already.

    Parameters
    ----------
    content : bytes
        The file, as `read_file` gives it.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Red, green and blue.

    Raises
    ------
    ImageError
        As `decode`.
    """
    return _decode(content, None)[0]


def decode_alpha(content: bytes) -> NDArray[np.uint8] | None:
    """Read the alpha channel of an image file.

    Parameters
    ----------
    content : bytes
        The file; `decode_content` reads it.

    Returns
    -------
    ndarray of shape (H, W), uint8, or None
        0 is transparent; None where there is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _open_with_pillow(content) as image:
                if not image.has_transparency_data:
                    return None
                return np.array(image.convert("RGBA").getchannel("A"))
        except UnidentifiedImageError:
            return None


def read_file(path: Path | str) -> bytes:
    """Read an image file as it is.

    Parameters
    ----------
    path : Path or str
        The file.

    Returns
    -------
    bytes
        Its content, for `decode_reduced`.

    Raises
    ------
    ImageError
        If it cannot be read; its `errno` says what the operating system said.
    """
    try:
        return with_retries(lambda: _read_regular_file(path))
    except OSError as error:
        # Without the path: what a shard records must not tell where it was made.
        raise ImageError(error.strerror or _one_line(error), error.errno) from error
    except ValueError as error:  # a name that no file can have
        raise ImageError(_one_line(error)) from error


def decode_reduced(content: bytes, side: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read an image file as RGB, a JPEG at 1/2, 1/4 or 1/8 of its size where that suffices.

    What will be small is decoded small: the codec leaves out the fine frequencies, which
    saves time here and more where the image is squashed. All of the file is read all the same.

    Parameters
    ----------
    content : bytes
        The file, as `read_file` gives it.
    side : int
        Neither side gets smaller than this, in pixels, by the reduction.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Red, green and blue.
    tuple of int
        Height and width of the whole image.

    Raises
    ------
    ImageError
        As `decode`.
    """
    return _decode(content, side)


def _decode(content: bytes, side: int | None) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode an image file; also return height and width of the whole image."""
    try:
        shape = plain_jpeg_shape(content)
        if shape is not None:
            _check_pixels(*shape)
            # Pillow lets a third of the scans with wrong bytes pass; this decoder, strict
            # about libjpeg's warnings, hardly any. The pixels of a sound file are the same.
            return decode_jpeg(content, *_reduced_size(shape, side)), shape
        with warnings.catch_warnings():
            # Odd metadata and sizes that Pillow remarks on do not concern the pixels.
            warnings.simplefilter("ignore")
            pixels = _decode_with_pillow(content)
            return pixels, (pixels.shape[0], pixels.shape[1])
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("too large to hold in memory") from None
    # A decoder that meets malformed bytes may raise anything, and one bad file among a
    # million must not end the run.
    except Exception as error:
        raise ImageError(_one_line(error)) from error


def with_retries(read: Callable[[], Content]) -> Content:
    """Read, again after a pause where the error may pass."""
    for pause in RETRY_DELAYS:
        try:
            return read()
        except OSError as error:
            if error.errno not in TRANSIENT_ERRNOS:
                raise
        time.sleep(pause)
    return read()


def require_readable_size(size: int) -> None:
    """Refuse a file that would not fit into a worker's memory."""
    if size > MAX_BYTES:
        raise ImageError(f"a file must have at most {MAX_BYTES} bytes, got {size}")


def _read_regular_file(path: Path | str) -> bytes:
    """Read a file, and not for ever: a pipe or a device has no end, or no beginning."""
    with open(path, "rb", buffering=0, opener=without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a regular file but a pipe or a device")
        require_readable_size(status.st_size)
        return file.readall()


def _decode_with_pillow(content: bytes) -> NDArray[np.uint8]:
    """Decode an image of any kind, or say what else the file is."""
    try:
        opened = _open_with_pillow(content)
    except UnidentifiedImageError:
        if not content.startswith(STARTS):
            raise ImageError(refusal(content, FORMATS)) from None
        _check_pixels(*tiff_shape(content))
        samples = tiff_samples(content)
        return _scale_to_bytes(samples.astype(np.float64), fraction=samples.dtype.kind == "f")
    except ValueError:  # of the decoder of AVIF, which takes HEIC for its own
        raise ImageError(refusal(content, FORMATS)) from None
    with opened as image:
        _check_pixels(image.height, image.width)
        return _to_rgb(image)


def _open_with_pillow(content: bytes) -> Image.Image:
    """Read an image's header."""
    with _HEADER_LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(content), formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check_pixels(height: int, width: int) -> None:
    """Refuse an image that would not fit into a worker's memory."""
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"an image must have at most {MAX_PIXELS} pixels, "
            f"got {width} x {height}: make it smaller"
        )


def _reduced_size(shape: tuple[int, int], side: int | None) -> tuple[int, int]:
    """Choose the size to decode to; other factors of libjpeg's take longer than the whole."""
    factor = 1
    while side and factor < 8 and min(shape) // (2 * factor) >= side:
        factor *= 2
    return -(-shape[0] // factor), -(-shape[1] // factor)


def _one_line(error: Exception) -> str:
    """Write an error in one line, without the address of the buffer that Pillow was given."""
    return " ".join(str(error).split()) or type(error).__name__


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert to 8-bit RGB; Pillow clips deep samples where they should be scaled."""
    if image.mode.startswith("I;16"):
        gray = _round_to_bytes(np.asarray(image).astype(np.float64) / 257.0)
    elif image.mode in ("I", "F"):
        gray = _scale_to_bytes(np.asarray(image, np.float64), fraction=image.mode == "F")
    else:
        # A palette with alpha goes through RGBA, or Pillow guesses the transparent colour.
        first_mode = "RGBA" if image.mode == "P" and "transparency" in image.info else "RGB"
        for mode in (first_mode, "RGB"):  # converting to the same would copy a large image
            image = image if image.mode == mode else image.convert(mode)
        return np.array(image)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _scale_to_bytes(samples: NDArray[np.float64], *, fraction: bool) -> NDArray[np.uint8]:
    """Scale samples to 0..255 by their range: 0..1 of fractions, 0..255, 0..65535 or more."""
    samples = np.nan_to_num(samples)
    maximum = samples.max(initial=0.0)
    white = 1.0 if maximum <= 1.0 and fraction else 255.0
    return _round_to_bytes(
        samples * (255.0 / max(white, 65535.0 if white < maximum <= 65535.0 else maximum))
    )


def _round_to_bytes(samples: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round to whole numbers from 0 to 255."""
    return np.clip(np.rint(samples), 0.0, 255.0).astype(np.uint8)
