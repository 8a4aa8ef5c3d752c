"""The table: a row a classifier, and what each number is."""

from dilo.eval.backgrounds.metrics import heading, table


def told(value):
    return {"value": value, "low": value - 1, "high": value + 1, "images": 10}


RECORD = {
    "mode": "folder",
    "images": "photos",
    "masks": "store",
    "seed": 0,
    "judged_classes": 10,
    "results": [
        {
            "name": "one",
            "images": 1200,
            "chance": 10.0,
            "top1": {"original": told(90.0), "mixed_same": told(80.04), "mixed_rand": told(70.0)},
            "bg_gap": told(10.0),
            "follows_background": {"mixed_rand": told(20.0)},
        },
        {
            "name": "another",
            "images": 1200,
            "chance": 0.1,
            "top1": {"original": told(1.0)},
            "follows_background": {},
        },
    ],
    "pairs": [{"first": "one", "second": "another", "top1": {"original": told(89.0)}}],
}


def test_every_number_stands_below_its_name():
    lines = table(RECORD)
    assert lines[:3] == [
        "classifier  original  mixed_same  mixed_rand              BG-gap  follows rand",
        "one             90.0        80.0        70.0  10.0 (9.0 to 11.0)          20.0",
        "another          1.0           -           -                   -             -",
    ]
    assert "mixed_same   the foreground on a background of its own class" in lines
    assert "chance       of one class: 0.1 or 10.0" in lines
    assert not any(line.startswith("only_bg_t") for line in lines)


def test_the_differences_of_pairs_stand_below():
    *_, title, head, row = table(RECORD)
    assert title.endswith("with their paired 95 % intervals:")
    assert (head.split(), row) == (["one", "less", "another"], "original  89.0 (88.0 to 90.0)")
    assert table({**RECORD, "pairs": []})[-1].startswith("chance")


def test_the_heading_says_what_was_judged():
    assert heading(RECORD) == (
        "variations of 1,200 images of photos, 10 classes, by the masks store, seed 0"
    )
    challenge = {"mode": "challenge", "images": "release", "side": 224}
    assert heading(challenge) == "the Backgrounds Challenge in release, seen at 224 px"
