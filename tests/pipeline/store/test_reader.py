"""What readers of every kind share: values of some images, each shard opened once."""

import numpy as np
import pytest
from support.backgrounds import built, masks_of
from support.photographs import photograph_folder

from dilo.pipeline.backgrounds.recipe import BackgroundRecipe
from dilo.pipeline.backgrounds.store import BackgroundStore
from dilo.pipeline.errors import StoreError
from dilo.pipeline.store import shardfile
from dilo.pipeline.store.shardfile import open_shard


@pytest.fixture
def masks(tmp_path):
    images = photograph_folder(tmp_path / "images", 7)
    (images / "class0" / "broken.jpg").write_bytes(b"no")
    return masks_of(images, tmp_path / "masks")


@pytest.mark.parametrize("positions", [[0], [7, 0, 4, 4, 3], [7, 6], list(range(8))])
def test_values_are_those_of_the_columns_in_the_order_asked(masks, monkeypatch, positions):
    columns, opened = masks.columns("shape", "error", "status"), []
    monkeypatch.setattr(
        shardfile,
        "open_shard",
        lambda path, *more: opened.append(path.name) or open_shard(path, *more),
    )
    found = masks.values(np.array(positions), "shape", "error", "status")
    for values, column in zip(found, columns, strict=True):
        assert np.array_equal(values, column[positions])
    assert len(opened) == len({position // 3 for position in positions})


def test_columns_of_some_shards_are_a_part(masks):
    (shape,) = masks.columns("shape", shards=[1, 2])
    assert np.array_equal(shape, masks.column("shape")[3:])


def test_every_kind_has_its_columns_and_refuses_another(masks, tmp_path):
    store = built(tmp_path / "images", tmp_path / "store", BackgroundRecipe(kind="images"))
    assert sorted(BackgroundStore(store).column("status").tolist()) == [0] * 7 + [1]
    with pytest.raises(StoreError, match="must be a store of masks, got kind 'backgrounds'"):
        type(masks)(store)
