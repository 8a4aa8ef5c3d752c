"""BASNet read literally, layer by layer, from a state dict alone: no module and no table."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

State = dict[str, Tensor]


def conv_bn_relu(
    state: State, conv: str, bn: str, x: Tensor, dilation: int = 1, stride: int = 1
) -> Tensor:
    """Convolve 3 x 3, normalise by the running statistics, rectify."""
    return F.relu(norm(state, bn, conv3(state, conv, x, dilation, stride)))


def conv3(state: State, name: str, x: Tensor, dilation: int = 1, stride: int = 1) -> Tensor:
    """Convolve 3 x 3, with a bias where there is one, padded by the dilation."""
    bias = state.get(f"{name}.bias")
    return F.conv2d(x, state[f"{name}.weight"], bias, stride, padding=dilation, dilation=dilation)


def norm(state: State, name: str, x: Tensor) -> Tensor:
    """Normalise by the running statistics."""
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])


def block(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """Go through a basic block of a ResNet."""
    out = conv_bn_relu(state, f"{name}.conv1", f"{name}.bn1", x, stride=stride)
    out = norm(state, f"{name}.bn2", conv3(state, f"{name}.conv2", out))
    if f"{name}.downsample.0.weight" in state:
        x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
        x = norm(state, f"{name}.downsample.1", x)
    return F.relu(out + x)


def pool(x: Tensor) -> Tensor:
    """Take the largest of 2 x 2."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def up(x: Tensor, factor: int) -> Tensor:
    """Interpolate bilinearly."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def three(state: State, name: str, x: Tensor, dilations: tuple[int, int, int]) -> Tensor:
    """Go through the three convolutions of a stage."""
    x = conv_bn_relu(state, f"conv{name}_1", f"bn{name}_1", x, dilations[0])
    x = conv_bn_relu(state, f"conv{name}_m", f"bn{name}_m", x, dilations[1])
    return conv_bn_relu(state, f"conv{name}_2", f"bn{name}_2", x, dilations[2])


def refine(state: State, logit: Tensor) -> Tensor:
    """Add the residual to a map."""
    x = conv3(state, "refunet.conv0", logit)
    r1 = conv_bn_relu(state, "refunet.conv1", "refunet.bn1", x)
    r2 = conv_bn_relu(state, "refunet.conv2", "refunet.bn2", pool(r1))
    r3 = conv_bn_relu(state, "refunet.conv3", "refunet.bn3", pool(r2))
    r4 = conv_bn_relu(state, "refunet.conv4", "refunet.bn4", pool(r3))
    r5 = conv_bn_relu(state, "refunet.conv5", "refunet.bn5", pool(r4))
    x = conv_bn_relu(state, "refunet.conv_d4", "refunet.bn_d4", torch.cat((up(r5, 2), r4), 1))
    x = conv_bn_relu(state, "refunet.conv_d3", "refunet.bn_d3", torch.cat((up(x, 2), r3), 1))
    x = conv_bn_relu(state, "refunet.conv_d2", "refunet.bn_d2", torch.cat((up(x, 2), r2), 1))
    x = conv_bn_relu(state, "refunet.conv_d1", "refunet.bn_d1", torch.cat((up(x, 2), r1), 1))
    return logit + conv3(state, "refunet.conv_d0", x)


def logits(state: State, images: Tensor) -> list[Tensor]:
    """Give the eight maps before the sigmoid: dout, d1 to d6, db."""
    h = conv_bn_relu(state, "inconv", "inbn", images)
    h1 = h
    for i in range(3):
        h1 = block(state, f"encoder1.{i}", h1)
    h2 = block(state, "encoder2.0", h1, stride=2)
    for i in range(1, 4):
        h2 = block(state, f"encoder2.{i}", h2)
    h3 = block(state, "encoder3.0", h2, stride=2)
    for i in range(1, 6):
        h3 = block(state, f"encoder3.{i}", h3)
    h4 = block(state, "encoder4.0", h3, stride=2)
    for i in range(1, 3):
        h4 = block(state, f"encoder4.{i}", h4)
    h5 = block(state, "resb5_1", pool(h4))
    h5 = block(state, "resb5_3", block(state, "resb5_2", h5))
    h6 = block(state, "resb6_1", pool(h5))
    h6 = block(state, "resb6_3", block(state, "resb6_2", h6))
    hbg = three(state, "bg", h6, (2, 2, 2))
    hd6 = three(state, "6d", torch.cat((hbg, h6), 1), (1, 2, 2))
    hd5 = three(state, "5d", torch.cat((up(hd6, 2), h5), 1), (1, 1, 1))
    hd4 = three(state, "4d", torch.cat((up(hd5, 2), h4), 1), (1, 1, 1))
    hd3 = three(state, "3d", torch.cat((up(hd4, 2), h3), 1), (1, 1, 1))
    hd2 = three(state, "2d", torch.cat((up(hd3, 2), h2), 1), (1, 1, 1))
    hd1 = three(state, "1d", torch.cat((up(hd2, 2), h1), 1), (1, 1, 1))
    db = up(conv3(state, "outconvb", hbg), 32)
    d6 = up(conv3(state, "outconv6", hd6), 32)
    d5 = up(conv3(state, "outconv5", hd5), 16)
    d4 = up(conv3(state, "outconv4", hd4), 8)
    d3 = up(conv3(state, "outconv3", hd3), 4)
    d2 = up(conv3(state, "outconv2", hd2), 2)
    d1 = conv3(state, "outconv1", hd1)
    return [refine(state, d1), d1, d2, d3, d4, d5, d6, db]


def saliency(state: State, image: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Give the mask of one image: squashed, divided by its maximum, standardised, stretched."""
    dtype = state["inconv.weight"].dtype
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].to(dtype)
    squashed = F.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
    scaled = squashed / squashed.max()
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=dtype)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=dtype)[:, None, None]
    found = torch.sigmoid(logits(state, (scaled - mean) / std)[0][0, 0])
    return ((found - found.min()) / (found.max() - found.min())).double().numpy()
