"""Networks whose features are cut: what they see, which features, which defaults, refusals."""

import numpy as np
import pytest
import torch
from support.checkpoints import settled, trunk_state, write_checkpoint
from support.foreign import PAIR, network, saved
from support.photographs import photograph
from support.transformers import WIDTH, dino_state, dinov2_state, drawn_transformer
from torch.testing import assert_close
from torchvision.models import resnet50

from dilo.eval.models.encoder import load_encoder
from dilo.eval.tokencut.backbones import open_backbone
from dilo.eval.tokencut.cut import normalized_cut
from dilo.eval.tokencut.mask_network import open_tokencut, read_defaults
from dilo.eval.tokencut.maskmethods import RECIPES, TOKENCUT, TokenCutParameters
from dilo.pipeline.errors import CheckpointError, DiloError
from dilo.pipeline.images.resizing import squash
from dilo.train.augment.color import to_color_space
from dilo.train.networks.encoder import dilate_last_layer, feature_map, resnet
from dilo.train.recipes.recipe import ModelRecipe

SIDE = 48
PATHS = ["a/0.jpg", "a/1.jpg", "b/2.jpg"]


@pytest.fixture
def dino(tmp_path):
    return saved(tmp_path / "dino.pth", dino_state())


@pytest.fixture
def checkpoint(tmp_path):
    """Write one of ours, of images of 32 px."""
    return write_checkpoint(tmp_path / "moco.pt")


def opened(weights, **options):
    """Open as the command does: by what the weights decide, then the user."""
    parameters = TOKENCUT.with_parameters({**read_defaults(weights, options), **options}).parameters
    return open_tokencut(weights, parameters, "cpu", None)


def pixels_of(tokencut):
    return np.stack([tokencut.prepare(photograph(seed)) for seed in range(3)])


def images_of(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


def test_maps_are_the_cuts_of_the_tokens_of_the_whole_image(dino):
    tokencut = opened(dino, side=SIDE, recipe="weighted")
    image = photograph(0, 90, 50)
    np.testing.assert_array_equal(tokencut.prepare(image), squash(image, SIDE))
    pixels = pixels_of(tokencut)
    assert (pixels.shape, pixels.dtype) == ((3, SIDE, SIDE, 3), np.uint8)
    cuts = tokencut.maps(pixels, PATHS)
    assert (cuts.shape, cuts.dtype) == ((3, 6, 6), np.float32)
    tokens = drawn_transformer().forward_features(to_color_space(images_of(pixels), "rgb"))
    cells = tokens[:, 1:].reshape(3, 6, 6, WIDTH)
    expected = normalized_cut(cells, tokencut.parameters)
    np.testing.assert_allclose(cuts, expected, rtol=1e-4, atol=1e-6)
    for one, cut in zip(pixels, cuts, strict=True):
        mask = tokencut.finish(one, cut)
        assert (mask.shape, mask.dtype) == ((SIDE, SIDE), np.float64)
        assert mask.min() == 0
        assert 0.99 < mask.max() <= 1  # between cells, a peak is cut


def test_no_map_hangs_on_the_others_of_its_batch(dino):
    tokencut = opened(dino, side=SIDE)
    pixels = pixels_of(tokencut)
    together = tokencut.maps(pixels, PATHS)
    for number in range(3):
        alone = tokencut.maps(pixels[[number]], PATHS[:1])[0]
        np.testing.assert_allclose(together[number], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("registers", [0, 2])
def test_queries_keys_and_values_are_those_of_the_last_attention(tmp_path, registers):
    state = dinov2_state(registers=registers)
    state["blocks.1.attn.qkv.weight"] *= 0
    state["blocks.1.attn.qkv.bias"] = torch.arange(1, 4).repeat_interleave(WIDTH).float()
    backbone = open_backbone(saved(tmp_path / "x.pth", state))
    for number, features in enumerate(("query", "key", "value"), 1):
        cells = backbone.cells(torch.rand(2, 3, 32, 32), features)
        assert_close(cells, torch.full((2, 4, 4, WIDTH), float(number)))


def test_heads_stand_side_by_side(dino):
    backbone = open_backbone(saved(dino.parent / "two.pth", dino_state(width=128, heads=2)))
    seen = []
    backbone.network.blocks[-1].attn.qkv.register_forward_hook(lambda m, i, out: seen.append(out))
    cells = backbone.cells(torch.rand(1, 3, 32, 32), "key")
    keys = seen[0].reshape(1, 17, 3, 2, 64)[:, 1:, 1].reshape(1, 4, 4, 128)
    assert torch.equal(cells, keys)


def test_a_dilated_resnet_has_its_own_cells_at_every_second_place():
    images = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    for arch in ("resnet18", "resnet50"):
        made = settled(resnet(ModelRecipe(arch=arch, width=0.125))).eval().requires_grad_(False)
        coarse = feature_map(made, images)
        before = feature_map(made, images, "layer3")
        dilate_last_layer(made)
        fine = feature_map(made, images)
        assert fine.shape[-2:] == before.shape[-2:] == (16, 16)
        inside = slice(2, 6)  # what no edge of the image reaches
        assert_close(fine[..., ::2, ::2][..., inside, inside], coarse[..., inside, inside])
        assert torch.equal(feature_map(made, images, "layer3"), before)


def test_dilation_is_torchvisions():
    with torch.device("meta"):
        theirs = resnet50(replace_stride_with_dilation=[False, False, True])
        ours = resnet50()
    dilate_last_layer(ours)
    assert str(ours) == str(theirs)


@pytest.mark.parametrize(("layer", "width"), [("layer4", 128), ("layer3", 64)])
def test_of_our_own_checkpoint_the_last_two_layers_are_cut(checkpoint, layer, width):
    tokencut = opened(checkpoint, features=layer)
    assert tokencut.parameters.side == 32
    backbone = tokencut.backbone
    images = torch.rand(2, 3, 32, 32)
    cells = backbone.cells(images, layer)
    assert cells.shape == (2, 8, 8, width)
    made = resnet(ModelRecipe(arch="resnet18", stem="small", width=0.25)).eval()
    made.load_state_dict(trunk_state())
    dilate_last_layer(made)
    expected = feature_map(made, to_color_space(images, "rgb"), layer)
    assert_close(cells, expected.permute(0, 2, 3, 1))
    pixels = pixels_of(tokencut)
    cuts = tokencut.maps(pixels, PATHS)
    assert cuts.shape == (3, 8, 8)
    assert tokencut.finish(pixels[0], cuts[0]).shape == (32, 32)


def test_the_maps_of_a_pair_stand_side_by_side(tmp_path):
    halves = [network("linear", channels=channels, seed=channels) for channels in (1, 2)]
    lay_out, space = next(iter(PAIR.values()))
    path = saved(tmp_path / "cmc.pth", lay_out(*(half.state_dict() for half in halves)))
    images = torch.rand(2, 3, 32, 32)
    cells = open_backbone(path).cells(images, "layer3")
    parts = to_color_space(images, space).split([1, 2], 1)
    pairs = zip(halves, parts, strict=True)
    expected = torch.cat([feature_map(half.eval(), part, "layer3") for half, part in pairs], 1)
    assert_close(cells, expected.permute(0, 2, 3, 1))


def test_what_the_weights_decide_is_what_the_user_does_not(dino, checkpoint, tmp_path):
    newer = saved(tmp_path / "dinov2.pth", dinov2_state(patch=14))
    tokens = {"recipe": "weighted", "side": 224, "features": "token"}
    assert read_defaults(dino, {}) == {"recipe": "published", "side": 224}
    assert read_defaults(dino, {"recipe": "weighted"}) == tokens
    assert read_defaults(dino, {"features": "value"})["recipe"] == "weighted"
    assert read_defaults(newer, {}) == tokens
    assert read_defaults(newer, {"recipe": "published"}) == {"recipe": "published", "side": 224}
    maps = {"recipe": "weighted", "side": 32, "features": "layer4"}
    assert read_defaults(checkpoint, {}) == maps
    patches = saved(tmp_path / "odd.pth", dino_state(patch=20))
    assert read_defaults(patches, {})["side"] == 220


def test_a_recipe_stands_for_its_parameters_and_what_is_given_beside_it_wins():
    published = TOKENCUT.with_parameters({"recipe": "published"}).as_dict()
    assert published.items() >= RECIPES["published"].items()
    assert TOKENCUT.as_dict().items() >= RECIPES["weighted"].items()
    again = TOKENCUT.with_parameters(published)
    assert again.as_dict() == published
    changed = TOKENCUT.with_parameters({"recipe": "published", "tau": 0.3, "soft": True}).as_dict()
    assert changed == published | {"tau": 0.3, "soft": True}


@pytest.mark.parametrize(
    ("name", "features", "side", "cells"),
    [
        ("test_vit", "key", 96, 6),
        ("test_vit3", "token", 224, 14),
        ("test_resnet", "layer4", 128, 4),
        ("test_convnext", "layer3", 64, 4),
        ("test_maxvit", "layer3", 160, 10),
    ],
)
def test_any_network_of_timms_is_cut(tmp_path, name, features, side, cells):
    timm = pytest.importorskip("timm")
    path = saved(tmp_path / "x.pth", timm.create_model(name, num_classes=3).state_dict())
    tokencut = opened(path, arch=f"timm:{name}", features=features, side=side)
    assert tokencut.maps(pixels_of(tokencut), PATHS).shape == (3, cells, cells)


def test_keys_of_timms_network_are_ours(tmp_path):
    transformers = pytest.importorskip("timm.models.vision_transformer")
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": 1}
    theirs = transformers.VisionTransformer(**sizes, num_classes=0).eval()
    path = saved(tmp_path / "x.pth", theirs.state_dict())
    backbone = open_backbone(path)
    keys = []
    theirs.blocks[-1].attn.qkv.register_forward_hook(lambda m, i, out: keys.append(out))
    images = torch.rand(2, 3, 32, 32)
    theirs.forward_features(to_color_space(images, "rgb"))
    expected = keys[0].reshape(2, 17, 3, 1, WIDTH)[:, 1:, 1].reshape(2, 4, 4, WIDTH)
    assert_close(backbone.cells(images, "key"), expected, rtol=1e-5, atol=1e-5)


def test_where_all_cells_are_alike_the_mask_is_zeros(tmp_path):
    state = dino_state()
    state["pos_embed"][:, 1:] = 0  # else a position tells cells of one colour apart
    tokencut = opened(saved(tmp_path / "x.pth", state), side=SIDE)
    pixels = tokencut.prepare(np.full((30, 50, 3), 90, np.uint8))
    mask = tokencut.finish(pixels, tokencut.maps(pixels[None], PATHS[:1])[0])
    assert not mask.any()


def test_a_cut_that_is_not_finite_is_refused(dino):
    tokencut = opened(dino, side=SIDE)
    with pytest.raises(ValueError, match="features must be finite, got NaN or infinity"):
        tokencut.finish(pixels_of(tokencut)[0], np.full((6, 6), np.nan, np.float32))


def test_bf16_changes_a_mask_little(dino):
    exact, rough = (
        opened(dino, side=SIDE, recipe="weighted", precision=precision)
        for precision in ("fp32", "bf16")
    )
    pixels = pixels_of(exact)
    one, other = exact.maps(pixels, PATHS), rough.maps(pixels, PATHS)
    assert not np.array_equal(one, other)
    for cut, near in zip(one, other, strict=True):
        assert np.corrcoef(cut.ravel(), near.ravel())[0, 1] > 0.98


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("recipe", ["weighted", "published"])
def test_a_gpu_changes_a_cut_by_rounding(dino, recipe):
    parameters = TOKENCUT.with_parameters({"side": SIDE, "recipe": recipe}).parameters
    here, there = (open_tokencut(dino, parameters, device, None) for device in ("cpu", "cuda"))
    pixels = pixels_of(here)
    expected, cuts = here.maps(pixels, PATHS), there.maps(pixels, PATHS)
    for one, other in zip(expected, cuts, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99


REFUSED = {
    "patches": ({"side": 50}, "side must be a multiple of the patches of 8 px of .*dino.pth, "
                "got 50: give --set side=48 or 56"),
    "too-small": ({"side": 8}, "side must be large enough for 4 cells .* got 8, which makes 1 x 1"),
    "maps": ({"features": "layer4"}, "features must be one of token, key, query, value for .*"
             "dino.pth, got layer4: give --set features=token"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_vision_transformer_does_not_take_is_refused(dino, case):
    options, words = REFUSED[case]
    with pytest.raises(CheckpointError, match=words):
        opened(dino, **options)


def test_a_resnet_has_no_keys(checkpoint):
    words = (
        "features must be one of layer4, layer3 for .*moco.pt, got key: recipe=published takes "
        "keys of a vision transformer: give --set features=layer4 too"
    )
    with pytest.raises(CheckpointError, match=words):
        opened(checkpoint, recipe="published")


def test_what_is_no_network_with_cells_is_refused_by_name(tmp_path):
    path = saved(tmp_path / "x.pth", {"encoder.weight": torch.zeros(3, 3)})
    words = r"x.pth must hold a ResNet .* got encoder.weight.*; nor has it the layers of a vision"
    with pytest.raises(CheckpointError, match=words):
        opened(path)
    (tmp_path / "y.pth").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DiloError, match=r"y.pth .*JPEG"):
        opened(tmp_path / "y.pth")


def test_a_dino_file_is_not_taken_for_an_encoder_that_other_commands_read(dino):
    with pytest.raises(CheckpointError, match="must hold a ResNet under one prefix"):
        load_encoder(dino)


def test_parameters_that_no_cut_has_are_refused():
    with pytest.raises(ValueError, match="recipe must be one of weighted, published, got 'paper'"):
        TOKENCUT.with_parameters({"recipe": "paper"})
    assert TokenCutParameters().implied({"recipe": 3}) == {}
