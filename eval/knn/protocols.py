"""How others vote among nearest neighbours: the presets of `dilo-eval knn`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dilo.eval.models.encoder import Output
from dilo.eval.models.layouts import entry

#: Where a recipe has the temperature of its method.
_TEMPERATURES = {"instdisc": "memory", "cmc": "memory", "moco": "moco", "simclr": "simclr"}
#: The temperature of training where no recipe says it: InstDisc's on ImageNet.
TEMPERATURE = 0.07


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how the neighbours vote.

    Attributes
    ----------
    output : {"pooled", "embedding"}
        What of the network is compared, by cosine.
    ks : tuple of int
        Numbers of neighbours.
    temperature : float or None
        A neighbour of similarity s weighs exp(s / temperature); None for that of training.
    """

    output: Output
    ks: tuple[int, ...]
    temperature: float | None

    def temperature_for(self, recipe: Mapping[str, Any]) -> float:
        """Tell the temperature for a network.

        Parameters
        ----------
        recipe : mapping of str to object
            Of its training; empty where there is none.

        Returns
        -------
        float
            That of the protocol; or that of training, 0.07 where the recipe does not tell.
        """
        if self.temperature is not None:
            return self.temperature
        found = entry(recipe, _TEMPERATURES.get(str(entry(recipe, "method")), ""), "temperature")
        return float(found) if isinstance(found, int | float) and found > 0 else TEMPERATURE


#: By name; the first is the default.
PROTOCOLS = {
    "dilo": Protocol("pooled", (1, 20, 200), 0.07),
    # Z. Wu et al., CVPR 2018, section 3.4; test.py of the released code.
    "instdisc": Protocol("embedding", (200,), None),
    # The CIFAR-10 notebook of the MoCo repository; its "feature" is what `fc` gives.
    "moco": Protocol("embedding", (200,), 0.1),
    # knn_predict of lightly, as its ImageNet benchmarks call it.
    "lightly": Protocol("pooled", (200,), 0.1),
    # WeightedKNNClassifier of solo-learn, which counts classes among the test labels; here, as
    # everywhere, the classes are those of the training images.
    "solo": Protocol("pooled", (20,), 0.07),
}
