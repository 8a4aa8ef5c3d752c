"""What decides the backgrounds of a store, as its plan says it."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from dilo.pipeline.errors import StoreError
from dilo.pipeline.store.create import StoreSpec
from dilo.pipeline.store.plan import Plan

#: Windows of images that hold nothing salient; of textures; whole images, whatever they hold.
Kind = Literal["crops", "textures", "images"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Raised when the same parameters come to give other bytes.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class BackgroundRecipe:
    """Every number that decides a store of backgrounds, but for their size."""

    #: Of what they are.
    kind: Kind
    #: So many windows of an image at most.
    crops: int = 1
    #: So many in all, drawn evenly over the images; None for all that there are.
    count: int | None = None
    #: Which images are drawn, and where the windows of textures are.
    seed: int = 0
    #: Of the JPEGs, 1 to 100.
    quality: int = 90
    #: Saliency, 0 to 255, that a crop may have anywhere; None for other kinds, as below.
    response: int | None = None
    #: Smallest side of a crop, in pixels of its image.
    min_side: int | None = None
    #: How many times as long as its shorter side the longer side of a crop may be.
    max_aspect: float | None = None
    #: Fingerprint of the masks' store.
    masks: str | None = None
    #: Of what dilo makes of these numbers.
    version: int = VERSION

    def parameters(self) -> dict[str, Any]:
        """Return all but the kind, for the plan, whose method that is."""
        fields = dataclasses.asdict(self)
        del fields["kind"]
        return {
            name: value for name, value in fields.items() if value is not None or name == "count"
        }

    def spec(self, size: int) -> StoreSpec:
        """Describe a store of such backgrounds, whose shorter sides are at most `size` pixels."""
        return StoreSpec("backgrounds", self.kind, self.parameters(), size)

    @classmethod
    def from_plan(cls, plan: Plan) -> Self:
        """Rebuild what `parameters` wrote into a plan."""
        try:
            recipe = cls(kind=plan.method, **plan.parameters)  # type: ignore[arg-type]  # below
        except TypeError as error:
            raise StoreError(f"a plan of backgrounds must have their parameters: {error}") from None
        if recipe.kind not in KINDS or recipe.version != VERSION:
            raise StoreError(
                f"a plan of backgrounds must be of {', '.join(KINDS)}, version {VERSION}, got "
                f"{recipe.kind}, version {recipe.version}: use the dilo that wrote it, or make "
                f"a fresh store"
            )
        recipe._require_numbers()
        return recipe

    def _require_numbers(self) -> None:
        """Refuse what no command line says."""
        numbers = {"crops": self.crops, "seed": self.seed, "quality": self.quality}
        optional = {"count": self.count, "response": self.response, "min_side": self.min_side}
        numbers |= {name: value for name, value in optional.items() if value is not None}
        invalid = [name for name, value in numbers.items() if type(value) is not int or value < 0]
        aspect = self.max_aspect
        if aspect is not None and not (type(aspect) in (int, float) and 1 <= aspect < math.inf):
            invalid.append("max_aspect")
        if not invalid and not (1 <= self.quality <= 100 and self.crops >= 1):
            invalid.append("quality or crops")
        if invalid:
            raise StoreError(f"a plan of backgrounds must have a usable number for {invalid[0]}")

    def quota(self, images: range, total: int) -> int | None:
        """Compute how many backgrounds some of the `total` images are to give.

        The shards add up to `count`; None for all that there are.

        Examples
        --------
        >>> recipe = BackgroundRecipe(kind="images", count=5)
        >>> [recipe.quota(images, 9) for images in (range(0, 4), range(4, 8), range(8, 9))]
        [2, 2, 1]
        """
        if self.count is None:
            return None
        return images.stop * self.count // total - images.start * self.count // total
