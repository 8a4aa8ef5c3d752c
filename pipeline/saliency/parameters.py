"""Every number that decides a mask, a frozen class a method; light to import."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RbdParameters:
    """Robust background detection, as its authors released it, on a squashed image.

    Lengths the release gives in pixels of a 400 x 300 image are shares of the image's side
    here, so that a mask of any size means the same.

    References
    ----------
    W. Zhu, S. Liang, Y. Wei and J. Sun, "Saliency Optimization from Robust Background
    Detection", CVPR 2014, and the MATLAB code of 24 March 2014 that goes with it.
    """

    #: Frame: how far from each edge of the image it is looked for, as a share of the side
    frame_reach: float = 0.0857
    #: Frame: a row or column with more than this share of edge pixels bounds it
    frame_density: float = 0.6
    #: Frame: a pixel is an edge above this many times the mean squared gradient
    frame_edge: float = 4.0
    #: SLIC: superpixels asked for on an image without a frame
    superpixels: int = 250
    #: SLIC: weight of position against colour
    compactness: float = 20.0
    #: SLIC: smallest part that stays a superpixel, as a share of their mean area
    smallest_superpixel: float = 0.25
    #: Width of the band whose superpixels are the boundary, as a share of the side
    boundary_band: float = 0.0229
    #: Share of the adjacent pairs, the most different in colour, that bounds both sigmas
    top_pairs: float = 0.01
    #: Bounds of the geodesic sigma, in CIELAB units
    geodesic_sigma: tuple[float, float] = (5.0, 10.0)
    #: Upper bound of the neighbour sigma, in CIELAB units
    neighbor_sigma: float = 20.0
    #: Sigma of boundary connectivity (paper: 1)
    connectivity_sigma: float = 1.0
    #: Above this connectivity a superpixel is background for certain, ...
    certain_connectivity: float = 3.0
    #: ... which is a background weight of this much
    certain_weight: float = 1000.0
    #: Sigma of position in the contrast, in units of the image's sides (paper: 0.25)
    position_sigma: float = 0.4
    #: Weight of the background term in the optimisation (paper: 1)
    background_factor: float = 5.0
    #: Weight of plain adjacency in the optimisation's smoothness (mu of the paper)
    adjacency_weight: float = 0.1
