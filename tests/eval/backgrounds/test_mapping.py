"""The mapping to nine classes: read whole, or refused in words."""

import json

import pytest
from support.reliance import in_to_in9

from dilo.eval.backgrounds.challenge import read_mapping
from dilo.pipeline.errors import DiloError


def test_the_file_says_the_nine_classes_and_none(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(in_to_in9()))
    mapping = read_mapping(tmp_path / "m.json")
    assert mapping.numbers.tolist() == [in_to_in9()[str(i)] for i in range(1000)]
    assert mapping.counts == [list(in_to_in9().values()).count(c) for c in range(9)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("no", "got no JSON", id="words"),
        pytest.param("\xff", "got no JSON", id="bytes"),
        pytest.param("[" * 200_000, "got no JSON", id="deep"),
        pytest.param("9" * 5000, "got no JSON", id="long"),
        pytest.param([1], "got list", id="list"),
        pytest.param({"0": 1}, "got 1 keys", id="few"),
        pytest.param(in_to_in9() | {"7": 9}, "got 7: 9", id="nine"),
        pytest.param(in_to_in9() | {"7": -2}, "got 7: -2", id="less"),
        pytest.param(in_to_in9() | {"7": True}, "got 7: True", id="bool"),
        pytest.param(in_to_in9() | {"7": "dog"}, "got 7: 'dog'", id="word"),
        pytest.param(
            {str(i): i % 8 for i in range(1000)}, "no class of ImageNet that is 8", id="no"
        ),
    ],
)
def test_anything_else_is_refused(tmp_path, content, words):
    path = tmp_path / "m.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DiloError, match=rf'm\.json must be a JSON object from "0".*{words}'):
        read_mapping(path)
