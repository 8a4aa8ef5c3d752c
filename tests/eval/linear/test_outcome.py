"""Why an image was left out."""

from support.folders import write_class_folders

from dilo.eval.features.folders import labelled_folder
from dilo.eval.linear.results import reasons


def test_an_image_left_out_is_named_with_its_reason(tmp_path):
    folder = labelled_folder(write_class_folders(tmp_path, ("ant", "bee"), each=2))
    (tmp_path / "ant" / "1.png").write_bytes(b"no image")
    (tmp_path / "bee" / "0.png").unlink()
    (first, broken), (second, gone), (third, sound) = reasons(folder, (1, 2, 3))
    assert [first, second, third] == [
        str(tmp_path / name) for name in ("ant/1.png", "bee/0.png", "bee/1.png")
    ]
    assert "not an image" in broken
    assert "No such file" in gone
    assert sound == "could not be read when it was its turn"
