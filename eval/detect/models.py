"""Detectors from torchvision's parts, with the numbers of detectron2's."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.models.resnet import ResNet
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from dilo.eval.detect.heads import BoxPredictor, Heads, LastLayerHead, MaskPredictor
from dilo.eval.detect.norms import share_statistics
from dilo.eval.detect.parts import AlignedPooling, Anchors
from dilo.eval.detect.proposals import Proposals
from dilo.eval.detect.recipe import DetectorRecipe
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.errors import CheckpointError
from dilo.train.augment.color import standardisation
from dilo.train.recipes.recipe import ARCHITECTURES, ModelRecipe

#: Square roots of the areas of anchors, in pixels.
SIZES = (32, 64, 128, 256, 512)
#: Pixels of the image between the cells of the pyramid's levels.
STRIDES = (4, 8, 16, 32, 64)
#: The same of layer3.
STRIDE = 16
#: Channels of the pyramid, of its masks, and values of its box head.
_CHANNELS, _VALUES = 256, 1024
_LAYERS = ("layer1", "layer2", "layer3", "layer4")
#: All of a backbone in its order.
_TRUNK = ("conv1", "bn1", *_LAYERS)
#: Colours of networks that see values of 0 to 255 by a mean and a deviation of RGB.
_SPACES = ("rgb", "unit")


class _AsGiven(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """Normalises and pads images that the loader has resized, and leaves detections as they are."""

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:
        """Return what was given."""
        return image, target

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        """Return what was given."""
        return result


def require_backbone(encoder: Encoder) -> ResNet:
    """Refuse a network on which no detector stands; return the ResNet that it is.

    Parameters
    ----------
    encoder : Encoder
        As `load_encoder` gives it.

    Returns
    -------
    ResNet
        Its network.

    Raises
    ------
    CheckpointError
        If it is a pair, has another stem or other layers, or sees other colours.
    """
    network, model = encoder.network, encoder.model
    if not isinstance(network, ResNet) or model.arch not in ARCHITECTURES:
        kind = type(network).__name__
        got = model.arch if kind not in ("TwoStream", "SingleStream") else f"a {kind} network"
        raise CheckpointError(
            f"{encoder.source} must hold one backbone of {', '.join(ARCHITECTURES)} for detection, "
            f"got {got}: pairs, halves of pairs, timm's networks and vision transformers have no "
            "published protocol here; take another checkpoint"
        )
    if model.stem != "imagenet":
        raise CheckpointError(
            f"{encoder.source} must have the 7 x 7 stem of ImageNet for detection, whose cells are "
            f"{STRIDES[0]} px apart, got the stem for small images: pretrain with "
            "--set model.stem=imagenet"
        )
    if encoder.space not in _SPACES:
        raise CheckpointError(
            f"{encoder.source} must see RGB for detection, got {encoder.space}: take another "
            "checkpoint"
        )
    return network


def make_detector(
    network: nn.Module, recipe: DetectorRecipe, *, space: str = "rgb", seed: int = 0
) -> GeneralizedRCNN:
    """Build a detector on a backbone.

    Parameters
    ----------
    network : Module
        A ResNet of torchvision's layers, whose weights the detector takes over; changed in place.
    recipe : DetectorRecipe
        Which detector.
    space : {"rgb", "unit"}, default "rgb"
        The colours that the backbone sees.
    seed : int, default 0
        Of the weights of all new layers. torch's own generator is left as it was.

    Returns
    -------
    GeneralizedRCNN
        torchvision's, whose images are RGB of 0 to 255, float32, resized before. In train mode it
        takes targets with "boxes", "labels" from 1 and, for masks, "polygons". Its weights have
        torchvision's names.

    References
    ----------
    .. [1] S. Ren et al., "Faster R-CNN", NeurIPS 2015.
    .. [2] K. He et al., "Mask R-CNN", ICCV 2017.
    .. [3] Y. Wu et al., detectron2, 2019: all constants.
    """
    layers = nn.ModuleDict({name: cast(Any, network)._modules[name] for name in _TRUNK})
    channels = [_channels(layers[name]) for name in _LAYERS]
    network.requires_grad_(True)
    _freeze(layers, recipe.frozen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make = _make_fpn if recipe.kind == "fpn" else _make_c4
        body, proposals, heads = make(network, channels, recipe)
    mean, std = standardisation(space)
    transform = _AsGiven(
        min_size=0,
        max_size=0,
        image_mean=[round(255 * value, 3) for value in mean],
        image_std=[round(255 * value, 3) for value in std],
        size_divisible=32 if recipe.kind == "fpn" else 1,
    )
    detector = GeneralizedRCNN(body, proposals, heads, transform)
    share_statistics(detector)
    return detector


def _make_c4(
    network: nn.Module, channels: Sequence[int], recipe: DetectorRecipe
) -> tuple[nn.Module, Proposals, Heads]:
    """Make the parts of Faster R-CNN on layer3."""
    layer4 = cast(nn.Module, network.layer4)
    body = IntermediateLayerGetter(network, {"layer3": "0"})
    proposals = Proposals(Anchors((SIZES,), (STRIDE,)), channels[2], recipe)
    heads = Heads(
        AlignedPooling(["0"], 14, (STRIDE,)),
        LastLayerHead(layer4, nn.BatchNorm2d(channels[3])),
        BoxPredictor(channels[3], recipe.classes),
        recipe,
        mask_predictor=MaskPredictor(channels[3], recipe.classes) if recipe.masks else None,
    )
    return body, proposals, heads


def _make_fpn(
    network: nn.Module, channels: Sequence[int], recipe: DetectorRecipe
) -> tuple[nn.Module, Proposals, Heads]:
    """Make the parts of Faster or Mask R-CNN on a feature pyramid."""
    levels = {name: str(number) for number, name in enumerate(_LAYERS)}
    body = BackboneWithFPN(
        network, levels, list(channels), _CHANNELS, LastLevelMaxPool(), nn.BatchNorm2d
    )
    proposals = Proposals(Anchors([(size,) for size in SIZES], STRIDES), _CHANNELS, recipe)
    norm = nn.BatchNorm2d if recipe.head_norm else None
    box_head = FastRCNNConvFCHead(
        (_CHANNELS, 7, 7), [_CHANNELS] * recipe.box_convs, [_VALUES] * recipe.box_layers, norm
    )
    for layer in box_head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
    names, strides = list(levels.values()), STRIDES[:4]
    masks: dict[str, Any] = {}
    if recipe.masks:
        masks = {
            "mask_pooling": AlignedPooling(names, 14, strides),
            "mask_head": MaskRCNNHeads(_CHANNELS, [_CHANNELS] * 4, 1, norm),
            "mask_predictor": MaskPredictor(_CHANNELS, recipe.classes),
        }
    predictor = BoxPredictor(_VALUES, recipe.classes)
    heads = Heads(AlignedPooling(names, 7, strides), box_head, predictor, recipe, **masks)
    return body, proposals, heads


def _channels(layer: nn.Module) -> int:
    """Count the channels that a layer of a ResNet gives."""
    block = list(layer.children())[-1]
    return [each for each in block.children() if isinstance(each, nn.BatchNorm2d)][-1].num_features


def frozen_layers(last: str) -> tuple[str, ...]:
    """Name the layers of a backbone up to one; none of "".

    Examples
    --------
    >>> frozen_layers("layer1")
    ('conv1', 'bn1', 'layer1')
    """
    return _TRUNK[: _TRUNK.index(last) + 1] if last else ()


def _freeze(layers: nn.ModuleDict, last: str) -> None:
    """Let the layers up to one have no gradients."""
    for name in frozen_layers(last):
        layers[name].requires_grad_(False)


def empty_backbone(recipe: DetectorRecipe, width: float = 1.0) -> nn.Module:
    """Build the backbone of a detector, to be filled with its weights."""
    from dilo.train.networks.encoder import build_network

    network = build_network(ModelRecipe(arch=recipe.arch, width=width))
    network.fc = nn.Identity()
    return network
