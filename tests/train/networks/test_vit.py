"""Our vision transformer: what it computes, as timm's does where it is installed."""

import pytest
import torch
from support.transformers import WIDTH, drawn_transformer, small_shape
from torch.testing import assert_close

from dilo.train.networks.vit import VisionTransformer


def images(side=32, count=2):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(2))


def timm_of(**options):
    """Make timm's network of the same sizes."""
    transformers = pytest.importorskip("timm.models.vision_transformer")
    sizes = {"patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": 1, "mlp_ratio": 1.5}
    network = transformers.VisionTransformer(**sizes | {"num_classes": 0} | options)
    return network.eval()


def test_its_layers_bear_the_names_of_dinos_file():
    names = set(VisionTransformer(small_shape(depth=12)).state_dict())
    blocks = [f"blocks.{block}.{layer}" for block in range(12) for layer in _LAYERS]
    assert names == {"cls_token", "pos_embed", *_outer("patch_embed.proj", "norm"), *blocks}
    assert len(names) == 150


def _outer(*layers):
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


_LAYERS = _outer("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@pytest.mark.parametrize("layer_scale", [False, True])
@pytest.mark.parametrize(("grid", "side"), [(4, 32), (7, 32), (4, 64)])
def test_it_computes_what_timms_does_on_images_of_any_size(layer_scale, grid, side):
    ours = drawn_transformer(grid=grid, layer_scale=layer_scale)
    init_values = 1.0 if layer_scale else None
    theirs = timm_of(img_size=8 * grid, init_values=init_values, dynamic_img_size=True)
    theirs.load_state_dict(ours.state_dict())
    found = ours.forward_features(images(side))
    assert found.shape == (2, 1 + (side // 8) ** 2, WIDTH)
    assert_close(found, theirs.forward_features(images(side)), rtol=1e-5, atol=1e-5)


def test_registers_and_gates_are_timms_too():
    swiglu = pytest.importorskip("timm.layers").SwiGLUPacked
    ours = drawn_transformer(registers=3, gated=True, layer_scale=True, hidden=48)
    theirs = timm_of(
        img_size=32,
        init_values=1.0,
        reg_tokens=3,
        no_embed_class=True,
        mlp_layer=swiglu,
        act_layer=torch.nn.SiLU,
    )
    state = ours.state_dict()
    # timm adds the class's position to the class token, once.
    state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
    state["pos_embed"] = state["pos_embed"][:, 1:]
    theirs.load_state_dict(state)
    assert ours.num_prefix_tokens == theirs.num_prefix_tokens == 4
    assert_close(
        ours.forward_features(images()), theirs.forward_features(images()), rtol=1e-5, atol=1e-5
    )
