"""Consensus: RBD and MC on the same superpixels; salient is what both find so."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.saliency.classical.graph import color_graph
from dilo.pipeline.saliency.classical.mc import mc_values
from dilo.pipeline.saliency.classical.rbd import rbd_values
from dilo.pipeline.saliency.classical.superpixels import segment
from dilo.pipeline.saliency.parameters import ConsensusParameters
from dilo.pipeline.saliency.values import stretch


def consensus(image: NDArray[np.uint8], parameters: ConsensusParameters) -> NDArray[np.float64]:
    """Compute the geometric mean of RBD's and MC's saliency.

    RBD keeps the background clean, MC finds the whole of an object; where one of them errs,
    the other seldom does too.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        Square RGB image.
    parameters : ConsensusParameters
        Every constant of both.

    Returns
    -------
    ndarray of shape (S, S), float64
        Saliency in [0, 1], one value a superpixel; 0 in a frame, and everywhere if nothing
        stands out.
    """
    segmentation = segment(image, parameters)
    robust = rbd_values(color_graph(segmentation, parameters), parameters)
    absorbed = mc_values(segmentation.superpixels, parameters)
    return segmentation.paint(stretch(np.sqrt(robust * absorbed)))
