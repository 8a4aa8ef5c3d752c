"""A detector, or a backbone to make one of, for detectron2: its names, its order, its settings."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilo.eval.detect.protocols import PROTOCOLS, with_overrides
from dilo.eval.detect.recipe import DetectionRecipe
from dilo.eval.detect.weights import Detector
from dilo.eval.models.encoder import Encoder
from dilo.pipeline.common.files import atomic_write, write_text
from dilo.pipeline.errors import DiloError
from dilo.train.augment.color import standardisation
from dilo.train.engine.optim import base_rate
from dilo.train.weights.detectron2 import to_detectron2, write_arrays

Arrays = dict[str, NDArray[Any]]

_SETS = {
    "2007 trainval": "voc_2007_trainval",
    "2012 trainval": "voc_2012_trainval",
    "2007 test": "voc_2007_test",
    "train2017": "coco_2017_train",
    "val2017": "coco_2017_val",
}
#: Layers but those of the backbone, whose names `to_detectron2` knows.
_NAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^rpn\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"^roi_heads\.box_head\.norm\.", "roi_heads.res5.norm."),
    (r"^roi_heads\.mask_predictor\.conv5_mask\.", "roi_heads.mask_head.deconv."),
    (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "roi_heads.mask_head.predictor."),
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.", lambda m: f"backbone.fpn_lateral{int(m[1]) + 2}."),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.", lambda m: f"backbone.fpn_output{int(m[1]) + 2}."),
    (r"^roi_heads\.box_head\.(\d)\.(?=\d)", lambda m: f"roi_heads.box_head.conv{int(m[1]) + 1}."),
    (r"^roi_heads\.mask_head\.(\d)\.", lambda m: f"roi_heads.mask_head.mask_fcn{int(m[1]) + 1}."),
    (r"\.0\.(weight|bias)$", r".\1"),
    (r"\.1\.(weight|bias|running_mean|running_var)$", r".norm.\1"),
)


#: Backbones whose blocks detectron2 takes as the head of C4.
_BOTTLENECKS = ("resnet50", "resnet101")
#: Widths of which detectron2 builds these.
_WIDTHS = "a whole number of channels in resnet50 or resnet101"


def export_detector(detector: Detector, out: Path) -> dict[str, Any]:
    """Write a detector as detectron2 reads it, and its settings beside it.

    Parameters
    ----------
    detector : Detector
        On the CPU.
    out : Path
        The file of weights; the settings go to the same name with ``.yaml``.

    Returns
    -------
    dict
        What was written: "tensors", "config".

    Raises
    ------
    DiloError
        If detectron2 has no such detector.
    """
    recipe = detector.recipe
    if recipe.model.kind == "c4" and recipe.model.arch not in _BOTTLENECKS:
        raise DiloError(
            f"--format detectron2 needs a backbone of bottlenecks for C4, such as resnet50, got "
            f"{recipe.model.arch}: load the detector with dilo.eval.detect.weights.load_detector"
        )
    if not _has_width(recipe.model.arch, detector.width):
        raise DiloError(
            f"--format detectron2 needs layers of the usual width, or of {_WIDTHS}, got a "
            f"{recipe.model.arch} of width {detector.width:g}: load the detector with "
            "dilo.eval.detect.weights.load_detector"
        )
    arrays = detector_arrays(detector)
    with atomic_write(out) as part:
        write_arrays(part, arrays)
    config = out.with_suffix(".yaml")
    write_config(
        config,
        recipe,
        detector.protocol,
        space=detector.space,
        weights=out.name,
        width=detector.width,
    )
    return {"tensors": len(arrays), "config": str(config)}


def write_backbone_config(encoder: Encoder, out: Path) -> Path | None:
    """Write detectron2's settings for VOC beside a backbone; None of one that C4 does not take.

    Parameters
    ----------
    encoder : Encoder
        The backbone.
    out : Path
        Its file of weights for detectron2.

    Returns
    -------
    Path or None
        The same name with ``.yaml``.
    """
    model = encoder.model
    if model.arch not in _BOTTLENECKS or encoder.space not in ("rgb", "unit"):
        return None
    if not _has_width(model.arch, model.width):
        return None
    protocol = PROTOCOLS["voc-24k"]
    recipe = with_overrides(protocol, arch=model.arch)
    config = out.with_suffix(".yaml")
    write_config(
        config,
        recipe,
        protocol.name,
        space=encoder.space,
        weights=out.name,
        width=model.width,
    )
    return config


def _has_width(arch: str, width: float) -> bool:
    """Tell whether detectron2 can build a ResNet of a width: it doubles what its first layer has.

    Examples
    --------
    >>> _has_width("resnet50", 2.0), _has_width("resnet50", 0.3), _has_width("resnet18", 2.0)
    (True, False, False)
    """
    return width == 1 or (arch in _BOTTLENECKS and 64 * width == int(64 * width))


def detector_arrays(detector: Detector) -> Arrays:
    """Name the weights of a detector as detectron2 does, classes before the background.

    Parameters
    ----------
    detector : Detector
        On the CPU.

    Returns
    -------
    dict of str to ndarray
        All that detectron2's detector has.
    """
    arrays = {
        name: value.numpy()
        for name, value in detector.network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    body = "backbone.body." if detector.recipe.model.kind == "fpn" else "backbone."
    prefixes = {body: body.replace("body", "bottom_up"), "roi_heads.box_head.": "roi_heads."}
    named: Arrays = {}
    for name, values in arrays.items():
        trunk = next(
            (
                (prefix, place)
                for prefix, place in prefixes.items()
                if re.match(r"(conv1|bn1|layer\d)\.", name.removeprefix(prefix))
                and name.startswith(prefix)
            ),
            None,
        )
        if trunk:
            (inner,) = to_detectron2({name.removeprefix(trunk[0]): values})
            named[trunk[1] + inner] = values
        else:
            named[_renamed(name, detector.recipe)] = _reordered(name, values)
    return named


def _renamed(name: str, recipe: DetectionRecipe) -> str:
    """Rename a layer that is not the backbone's."""
    layer = re.match(r"^roi_heads\.box_head\.(\d+)\.(weight|bias)$", name)
    if layer and recipe.model.kind == "fpn":  # convolutions, a flattening, then every second one
        number = (int(layer[1]) - recipe.model.box_convs - 1) // 2 + 1
        return f"roi_heads.box_head.fc{number}.{layer[2]}"
    if name.startswith("roi_heads.box_predictor."):
        return name
    for pattern, to in _NAMES:
        name = re.sub(pattern, to, name)
    return name


def _reordered(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Put the background last, where torchvision has it first and detectron2 last or not at all."""
    if ".cls_score." in name:
        return np.roll(values, -1, axis=0)
    if ".box_predictor.bbox_pred." in name:
        return values[4:]
    return values[1:] if ".mask_fcn_logits." in name else values


def write_config(
    path: Path,
    recipe: DetectionRecipe,
    protocol: str,
    *,
    space: str = "rgb",
    weights: str = "",
    width: float = 1.0,
) -> None:
    """Write the settings by which detectron2 trains and evaluates a detector, as YAML.

    Parameters
    ----------
    path : Path
        The file.
    recipe : DetectionRecipe
        The detector and its training.
    protocol : str
        Whose images.
    space : {"rgb", "unit"}, default "rgb"
        The colours that the backbone sees.
    weights : str, optional
        Name of the file of weights.
    width : float, default 1
        Channels of the backbone's layers, as a factor of the usual ones.
    """
    text = [f"# {PROTOCOLS[protocol].about}."]
    if recipe.model.kind == "c4":
        text.append("# Res5ROIHeadsExtraNorm is in the MoCo repository, detection/train_net.py.")
    text += _yaml(_config(recipe, protocol, space, weights, width))
    write_text(path, "\n".join(text) + "\n")


def _config(
    recipe: DetectionRecipe, protocol: str, space: str, weights: str, width: float
) -> dict[str, Any]:
    """Gather the settings."""
    model, data, schedule = recipe.model, recipe.data, recipe.schedule
    mean, std = standardisation(space)
    parts: dict[str, Any] = {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "WEIGHTS": weights,
        "MASK_ON": model.masks,
        "PIXEL_MEAN": [round(255 * value, 3) for value in mean],
        "PIXEL_STD": [round(255 * value, 3) for value in std],
        "BACKBONE": {"FREEZE_AT": int(model.frozen[5:]) + 1 if model.frozen else 0},
        "RESNETS": {
            "DEPTH": int(model.arch.removeprefix("resnet")),
            "NORM": "SyncBN" if model.kind == "fpn" else "naiveSyncBN",
            "STRIDE_IN_1X1": False,
        },
        "RPN": {
            "PRE_NMS_TOPK_TRAIN": model.pre_nms_top_n[0],
            "PRE_NMS_TOPK_TEST": model.pre_nms_top_n[1],
            "POST_NMS_TOPK_TRAIN": model.post_nms_top_n[0],
            "POST_NMS_TOPK_TEST": model.post_nms_top_n[1],
            "BATCH_SIZE_PER_IMAGE": model.anchors,
        },
        "ROI_HEADS": {"NUM_CLASSES": model.classes, "BATCH_SIZE_PER_IMAGE": model.rois},
    }
    if model.arch in ("resnet18", "resnet34"):
        parts["RESNETS"]["RES2_OUT_CHANNELS"] = 64
    elif width != 1:
        channels = int(64 * width)
        parts["RESNETS"] |= {"WIDTH_PER_GROUP": channels, "RES2_OUT_CHANNELS": 4 * channels}
    _add(parts, _pyramid(recipe) if model.kind == "fpn" else _last_layer())
    sets = PROTOCOLS[protocol]
    return {
        "MODEL": parts,
        "INPUT": {
            "FORMAT": "RGB",
            "MIN_SIZE_TRAIN": list(data.sides),
            "MAX_SIZE_TRAIN": data.longest,
            "MIN_SIZE_TEST": data.side,
            "MAX_SIZE_TEST": data.longest,
        },
        "DATASETS": {
            "TRAIN": [_SETS[name] for name in sets.train],
            "TEST": [_SETS[sets.test]],
        },
        "SOLVER": {
            "IMS_PER_BATCH": recipe.optimizer.batch,
            "BASE_LR": base_rate(recipe.optimizer),
            "MOMENTUM": recipe.optimizer.momentum,
            "WEIGHT_DECAY": recipe.optimizer.weight_decay,
            "WEIGHT_DECAY_NORM": 0.0,
            "STEPS": list(schedule.milestones),
            "MAX_ITER": schedule.iterations,
            "WARMUP_ITERS": schedule.warmup,
        },
        "TEST": {
            "PRECISE_BN": {
                "ENABLED": bool(recipe.precise_norm),
                "NUM_ITER": recipe.precise_norm or 200,
            }
        },
        "VERSION": 2,
    }


def _last_layer() -> dict[str, Any]:
    """Gather the settings of layer4 as the head, with the MoCo repository's batch norm."""
    return {
        "RESNETS": {"OUT_FEATURES": ["res4"]},
        "ROI_HEADS": {"NAME": "Res5ROIHeadsExtraNorm"},
        "ROI_BOX_HEAD": {"POOLER_RESOLUTION": 14},
    }


def _pyramid(recipe: DetectionRecipe) -> dict[str, Any]:
    """Gather the settings of a feature pyramid and its heads."""
    model = recipe.model
    norm = {"NORM": "SyncBN"} if model.head_norm else {}
    return {
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone"},
        "RESNETS": {"OUT_FEATURES": ["res2", "res3", "res4", "res5"]},
        "FPN": {"IN_FEATURES": ["res2", "res3", "res4", "res5"], "NORM": "SyncBN"},
        "ANCHOR_GENERATOR": {"SIZES": [[32], [64], [128], [256], [512]]},
        "RPN": {"IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"]},
        "ROI_HEADS": {"NAME": "StandardROIHeads", "IN_FEATURES": ["p2", "p3", "p4", "p5"]},
        "ROI_BOX_HEAD": {
            "NAME": "FastRCNNConvFCHead",
            "NUM_CONV": model.box_convs,
            "NUM_FC": model.box_layers,
            "POOLER_RESOLUTION": 7,
            **norm,
        },
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead",
            "NUM_CONV": 4,
            "POOLER_RESOLUTION": 14,
            **norm,
        },
    }


def _add(settings: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add settings to those of the same sections."""
    for section, values in more.items():
        settings.setdefault(section, {}).update(values)


def _yaml(values: Mapping[str, Any], indent: str = "") -> list[str]:
    """Write nested settings as YAML, of which JSON's values are a part."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_yaml(value, f"{indent}  ")]
        else:
            lines.append(f"{indent}{name}: {json.dumps(value)}")
    return lines
