"""Every number that decides a mask, a frozen class a method; light to import."""

import math
from dataclasses import dataclass

from dilo.pipeline.errors import near

SEGMENTATIONS = ("compiled", "scikit-image")


#: Pixels of the largest side that anything is computed at.
MAX_SIDE = 4096


def require(name: str, value: float, *, at_least: float, at_most: float = math.inf) -> None:
    """Refuse a number that is too small or too large, or none.

    Parameters
    ----------
    name : str
        What it is.
    value : float
        The number.
    at_least : float
        The smallest that serves.
    at_most : float, optional
        The largest that serves; unless given, any.

    Raises
    ------
    ValueError
        If it is smaller or larger, infinite or NaN.
    """
    if not at_least <= value < math.inf:
        raise ValueError(f"{name} must be at least {at_least:g} and finite, got {value!r}")
    if value > at_most:
        raise ValueError(f"{name} must be at most {at_most:g}, got {value!r}")


def require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a word that is not among those known.

    Parameters
    ----------
    name : str
        What it is.
    value : str
        The word.
    known : tuple of str
        Those that serve.

    Raises
    ------
    ValueError
        If it is another.
    """
    if value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(known)}, got {value!r}{near(value, known)}"
        )


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What every method has. A method of one's own derives its parameters from this class."""

    #: Side of the square that the image is squashed to before the method sees it, in pixels
    side: int = 160

    def __post_init__(self) -> None:
        """Refuse what no method could work with."""
        require("side", self.side, at_least=1, at_most=MAX_SIDE)


@dataclass(frozen=True, kw_only=True)
class SuperpixelParameters(Parameters):
    """The step that all classical methods share: off with a frame, then superpixels.

    Lengths the release of RBD gives in pixels of a 400 x 300 image are shares of the image's
    side here, so that a mask of any size means the same.

    References
    ----------
    The MATLAB code of 24 March 2014 that goes with W. Zhu, S. Liang, Y. Wei and J. Sun,
    "Saliency Optimization from Robust Background Detection", CVPR 2014.
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
    #: SLIC: rounds of k-means at most
    iterations: int = 3
    #: SLIC: smallest part that stays a superpixel, as a share of their mean area
    smallest_superpixel: float = 0.25
    #: SLIC: "compiled", or "scikit-image" for the slow one that it is checked against
    segmentation: str = "compiled"

    def __post_init__(self) -> None:
        """Refuse what would not end, or make no superpixels."""
        super().__post_init__()
        require("superpixels", self.superpixels, at_least=1, at_most=1e5)
        require("iterations", self.iterations, at_least=1, at_most=1e4)
        require("compactness", self.compactness, at_least=1e-3)
        require("smallest_superpixel", self.smallest_superpixel, at_least=0, at_most=100)
        require("frame_reach", self.frame_reach, at_least=0, at_most=1)
        require_one_of("segmentation", self.segmentation, SEGMENTATIONS)


@dataclass(frozen=True, kw_only=True)
class ColorGraphParameters(SuperpixelParameters):
    """The graph of colours that GS and RBD share, as released with RBD."""

    #: Width of the band whose superpixels are the boundary, as a share of the side
    boundary_band: float = 0.0229


@dataclass(frozen=True, kw_only=True)
class RbdParameters(ColorGraphParameters):
    """Robust background detection, as its authors released it.

    References
    ----------
    W. Zhu, S. Liang, Y. Wei and J. Sun, "Saliency Optimization from Robust Background
    Detection", CVPR 2014, and the MATLAB code of 24 March 2014 that goes with it.
    """

    #: Smaller than the others' image: as good for RBD by every measure, in less time
    side: int = 128
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

    def __post_init__(self) -> None:
        """Refuse what leaves the optimisation without a solution."""
        super().__post_init__()
        require("geodesic_sigma", min(self.geodesic_sigma), at_least=1e-6)
        require("neighbor_sigma", self.neighbor_sigma, at_least=1e-6)
        require("connectivity_sigma", self.connectivity_sigma, at_least=1e-6)
        require("position_sigma", self.position_sigma, at_least=1e-6)
        require("certain_weight", self.certain_weight, at_least=0, at_most=1e9)
        require("background_factor", self.background_factor, at_least=0, at_most=1e9)
        require("adjacency_weight", self.adjacency_weight, at_least=0, at_most=1e9)


@dataclass(frozen=True, kw_only=True)
class GsParameters(ColorGraphParameters):
    """Geodesic saliency, as the authors of RBD released it.

    References
    ----------
    Y. Wei, F. Wen, W. Zhu and J. Sun, "Geodesic Saliency Using Background Priors", ECCV 2012,
    and ``GeodesicSaliency.m`` in the MATLAB code of 24 March 2014.
    """

    #: Fewer than RBD takes: as good, and what is lost to leaks shrinks with their number
    superpixels: int = 180
    #: Boundary test: how many nearest boundary superpixels count, of each 200 superpixels
    boundary_nearest: float = 5.0
    #: Boundary test: what distance along the boundary divides a colour difference by
    boundary_distance: float = 3.0
    #: Boundary test: it is made where remoteness spreads by more than this, in CIELAB units
    boundary_spread: float = 1.0
    #: Boundary test: more remote than this share of the spread is no background
    boundary_remote: float = 0.5
    #: Share of the superpixels, the most salient, that get full saliency
    top_superpixels: float = 0.02

    def __post_init__(self) -> None:
        """Refuse more superpixels than there are."""
        super().__post_init__()
        require("top_superpixels", self.top_superpixels, at_least=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class McParameters(SuperpixelParameters):
    """Absorbing Markov chain, as its authors released it.

    References
    ----------
    B. Jiang, L. Zhang, H. Lu, C. Yang and M.-H. Yang, "Saliency Detection via Absorbing
    Markov Chain", ICCV 2013, and its MATLAB code.
    """

    #: How fast the affinity of neighbours falls with their difference (1 / sigma^2 of the paper)
    affinity_decay: float = 10.0
    #: What every affinity has at least, so that the chain is connected
    affinity_floor: float = 1e-5
    #: A superpixel whose affinities sum to less is an outlier and leaves the chain
    outlier_degree: float = 1.1
    #: An outlier beside a superpixel more salient than this is salient
    outlier_saliency: float = 0.3
    #: Affinities from the boundary inwards that sum to less are those of a frame
    frame_affinity: float = 13.0
    #: Below this score, absorption times stand out by themselves; above, the chain's
    #: equilibrium is weighed in
    equilibrium_score: float = 2.0


@dataclass(frozen=True, kw_only=True)
class MrParameters(SuperpixelParameters):
    """Manifold ranking, as its authors released it.

    References
    ----------
    C. Yang, L. Zhang, H. Lu, X. Ruan and M.-H. Yang, "Saliency Detection via Graph-Based
    Manifold Ranking", CVPR 2013.
    """

    #: How fast the affinity of neighbours falls with their difference (1 / sigma^2 of the paper)
    manifold_decay: float = 10.0
    #: How far a rank spreads over the graph, below 1 (alpha of the paper)
    manifold_reach: float = 0.99

    def __post_init__(self) -> None:
        """Refuse what leaves ranks without a solution."""
        super().__post_init__()
        require("manifold_decay", self.manifold_decay, at_least=0, at_most=500)
        require("manifold_reach", self.manifold_reach, at_least=0, at_most=0.999999)


@dataclass(frozen=True, kw_only=True)
class ConsensusParameters(RbdParameters, McParameters):
    """RBD and MC on the same superpixels, finer than theirs: where both agree."""

    side: int = 160
    superpixels: int = 300
    iterations: int = 5


@dataclass(frozen=True, kw_only=True)
class GrabCutParameters:
    """Refinement of a saliency map by one cut of the image, by its colours and edges.

    References
    ----------
    C. Rother, V. Kolmogorov and A. Blake, "GrabCut: Interactive Foreground Extraction using
    Iterated Graph Cuts", ACM Transactions on Graphics 23(3), 2004.
    """

    #: Sure seeds lie further than this share of the way from Otsu's threshold to the map's
    #: smallest or largest value. Halfway, so that the cut decides what the map is unsure of
    certain: float = 0.5
    #: A larger image is reduced to this side, in pixels, before it is cut
    cut_side: int = 80
    #: Weight of a link between equal colours: 50 in the paper, at full size
    edge_weight: float = 20.0
    #: Colour models are fitted to the image at this side, if it is larger: neighbours repeat
    #: each other
    model_side: int = 40
    #: Pixels of that image each model needs, five for each of its five Gaussians
    smallest_model: int = 25
    #: Share of the pixels, beyond chance, whose colour alone must tell which side they are on, or
    #: the image says nothing and the map stays: 0 in noise, 0.2 to 0.3 in a plain gradient
    told_apart: float = 0.25
    #: By how much the distance from the middle of the map's range grows, where the cut is believed
    #: wholly; 1 leaves the average of map and cut
    contrast: float = 2.0
    #: Start of OpenCV's generator, from which the first clusters come; any will do
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what OpenCV would stumble over."""
        require("certain", self.certain, at_least=0)
        require("cut_side", self.cut_side, at_least=1, at_most=MAX_SIDE)
        require("edge_weight", self.edge_weight, at_least=0)
        require("contrast", self.contrast, at_least=1, at_most=1e4)
        require("model_side", self.model_side, at_least=1, at_most=MAX_SIDE)
        require("smallest_model", self.smallest_model, at_least=1, at_most=MAX_SIDE**2)
        require("told_apart", self.told_apart, at_least=0)
        require("seed", self.seed, at_least=0, at_most=2**31 - 1)
