"""A saliency method that is a network: what it must do, and how it is opened. Knows no torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.errors import DiloError
from dilo.pipeline.images.names import Names
from dilo.pipeline.saliency.method import Configurable
from dilo.pipeline.saliency.networkparameters import NetworkParameters

N = TypeVar("N", bound=NetworkParameters)
#: What a network looks at: (side, side, 3), of the type that it asks for.
InputArray: TypeAlias = NDArray[Any]


class MaskNetwork(Protocol):
    """A network with its weights, on a device.

    An image goes through three steps. The first and the last are the CPU's, for one image, and
    are called by several threads at once; between them the device takes a batch.
    """

    def prepare(self, image: NDArray[np.uint8]) -> InputArray:
        """Make what the network looks at.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            The whole image, RGB.

        Returns
        -------
        ndarray of shape (side, side, 3)
            The image squashed to a square.
        """

    def maps(self, pixels: NDArray[Any], paths: Sequence[str]) -> NDArray[np.float32]:
        """Compute the maps of a batch, on the device.

        Parameters
        ----------
        pixels : ndarray of shape (B, side, side, 3)
            What `prepare` made, stacked.
        paths : sequence of str
            The images, as images.txt names them.

        Returns
        -------
        ndarray of shape (B, S, S), float32
            As the network gives them. No map hangs on the others of its batch.
        """

    def finish(self, pixels: InputArray, output: NDArray[np.float32]) -> NDArray[np.float64]:
        """Make saliency of a map.

        Parameters
        ----------
        pixels : ndarray of shape (side, side, 3)
            What `prepare` made.
        output : ndarray of shape (S, S), float32
            Its map.

        Returns
        -------
        ndarray of shape (S', S'), float64
            Saliency in [0, 1]; zeros for a constant map.
        """


#: Opens a network: from its file of weights, its parameters, a device as torch names it, and the
#: images of the store, or None outside of one.
Opener: TypeAlias = Callable[[Path, Any, str, Names | None], MaskNetwork]


#: Reads the parameters that weights decide: from their file, or the run that trained them, and
#: the values that the user gives.
WeightsReader: TypeAlias = Callable[[Path, Mapping[str, Any]], Mapping[str, Any]]


#: What networks need that dilo-prep alone does not bring.
_TORCH = ("torch", "torchvision")


@dataclass(frozen=True)
class NetworkMethod(Configurable[N]):
    """A saliency method that is a network; its function is an `Opener`.

    Attributes
    ----------
    reader : callable or None
        A `WeightsReader`, of a network whose weights decide some of its parameters.
    """

    reader: WeightsReader | None = None

    def with_parameters(self, values: Mapping[str, Any]) -> Self:
        """Copy this with other parameters, and those that they imply."""
        return super().with_parameters({**self.parameters.implied(values), **values})

    def decided_by(self, weights: Path, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read which parameters weights decide, where the user does not.

        Parameters
        ----------
        weights : Path
            Their file, or the run that trained them.
        values : mapping
            Parameters that the user gives.

        Returns
        -------
        mapping
            Names and values of parameters.

        Raises
        ------
        DiloError
            If the weights are of no such network, or torch is not installed.
        """
        if self.reader is None:
            return {}
        with _naming(weights):
            return self.reader(weights, values)

    def open(self, weights: Path, device: str, names: Names | None = None) -> MaskNetwork:
        """Open the network with its parameters.

        Parameters
        ----------
        weights : Path
            Its file of weights.
        device : str
            As torch names it: "cpu", "cuda:0".
        names : Names, optional
            The images of the store; none outside of one.

        Returns
        -------
        MaskNetwork
            Ready for images.

        Raises
        ------
        DiloError
            If the weights do not fit, or torch is not installed.
        """
        with _naming(weights):
            network: MaskNetwork = self.function(weights, self.parameters, device, names)
        return network


@contextmanager
def _naming(weights: Path) -> Iterator[None]:
    """Name the weights in whatever goes wrong with them, of a foreign network too."""
    try:
        yield
    except DiloError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in _TORCH:
            raise DiloError(
                f"masks from a network need {' and '.join(_TORCH)}: pip install 'dilo[train]'"
            ) from error
        raise DiloError(
            f"--weights {weights} must be the weights of this network, got: "
            f"{type(error).__name__}: {error}"
        ) from error
