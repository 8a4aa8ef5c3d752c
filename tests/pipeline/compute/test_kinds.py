"""Which rows a kind of store has, and who makes them."""

import pytest
from support.backgrounds import plan as plan_of_backgrounds
from support.backgrounds import rows as background_rows
from support.shards import plan as plan_of_masks
from support.shards import rows as mask_rows

from dilo.pipeline.compute.kinds import maker_of
from dilo.pipeline.errors import StoreError
from dilo.pipeline.store.layouts import rows_of


def test_rows_are_of_the_kind_that_the_plan_says():
    assert rows_of(plan_of_masks()) is type(mask_rows())
    assert rows_of(plan_of_backgrounds()) is type(background_rows())


def test_a_method_that_is_not_there_is_refused_and_a_kind_of_backgrounds_is_made(tmp_path):
    with pytest.raises(StoreError, match="asks for masks that this version of dilo does not make"):
        maker_of(tmp_path, plan_of_masks(), None)
    making = maker_of(tmp_path, plan_of_backgrounds("images"), None)(range(3), ["a", "b", "c"])
    assert list(making.todo) == [0, 1, 2]
