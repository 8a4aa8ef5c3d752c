"""Importing: masks from anywhere become a store, and what does not fit is a row with a reason."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from support.cli import invoke
from support.cocofiles import image_entries, packed, shape_of, write_coco_masks
from support.photographs import photograph_folder

from dilo.pipeline.cli import main
from dilo.pipeline.compute import shard
from dilo.pipeline.compute.shard import ShardBuilder
from dilo.pipeline.errors import DiloError, ImageError
from dilo.pipeline.images.folder import FolderSource
from dilo.pipeline.images.resizing import squash
from dilo.pipeline.masks.files import read_mask
from dilo.pipeline.masks.imported import CocoSource, ImportSource
from dilo.pipeline.store import MaskStore

RAMP = np.arange(3000, dtype=np.uint32).reshape(50, 60) * 255 // 2999

#: In this process: another would take longer to start than to do the work.
HERE = ("--shard-size", 4, "--jobs", 1, "--backend", "threading")


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 6)


def imported(images, png, out, *more, status=0):
    words = ("import", "--png", png, "--images", images, "--out", out)
    return invoke(main, *words, "--size", 32, *HERE, *more, status=status)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG", **options)


def sizes(images):
    for path in sorted(images.rglob("*.jpg")):
        with Image.open(path) as picture:
            yield path.relative_to(images).as_posix(), picture.size[::-1]


def random_masks(images, folder):
    rng, made = np.random.default_rng(0), {}
    for name, shape in sizes(images):
        made[name] = rng.integers(0, 256, shape, dtype=np.uint8)
        save((folder / name).with_suffix(".png"), made[name])
    return made


def test_a_folder_of_masks_becomes_a_store_like_any_other(images, tmp_path):
    made, store = random_masks(images, tmp_path / "png"), tmp_path / "store"
    result = imported(images, tmp_path / "png", store)
    assert "6 of 6 images have a mask" in result.stderr
    assert "6 of 6 images, 0 failed" in result.stdout
    masks = MaskStore(store)
    assert masks.plan.method == "imported"
    for name, mask in made.items():
        assert np.array_equal(masks[name], squash(mask, 32))
        assert masks.column("shape")[masks.position(name)].tolist() == list(mask.shape)
    invoke(main, "verify", store, "--images", images, "--workers", 1)


def test_what_is_exported_at_store_size_is_imported_as_it_was(images, tmp_path):
    (images / "class0" / "000.png").write_bytes((images / "class0" / "000.jpg").read_bytes())
    first, second = tmp_path / "first", tmp_path / "second"
    words = ("--out", first, "--size", 32, *HERE)
    invoke(main, "masks", "--images", images, *words)
    invoke(main, "export", first, "--out", tmp_path / "png", "--size", "store", "--workers", 1)
    imported(images, tmp_path / "png", second)
    before, after = MaskStore(first), MaskStore(second)
    assert before.names == after.names
    assert all(np.array_equal(before[name], after[name]) for name in before.names)


def test_a_mask_without_a_place_of_its_own_keeps_the_images_extension(images, tmp_path):
    (images / "class0" / "000.png").write_bytes((images / "class0" / "000.jpg").read_bytes())
    random_masks(images, tmp_path / "png")
    black = np.zeros((50, 60), np.uint8)
    save(tmp_path / "png" / "class0" / "000.png.png", black)
    result = imported(images, tmp_path / "png", tmp_path / "store", "--json")
    assert json.loads(result.stdout)["failed"] == {
        "class0/000.jpg": "no mask: class0/000.jpg.png"  # 000.png may be the other's
    }
    assert not MaskStore(tmp_path / "store")["class0/000.png"].any()


def test_what_does_not_fit_is_a_row_with_its_reason(images, tmp_path):
    png = tmp_path / "png"
    random_masks(images, png)
    (png / "class0" / "000.png").unlink()
    save(png / "class0" / "002.png", np.zeros((80, 50), np.uint8))
    save(png / "class0" / "004.png", np.full((54, 64, 3), (255, 0, 0), np.uint8))
    (png / "class1" / "001.png").write_bytes(b"no picture")
    (images / "class1" / "003.jpg").write_bytes(b"no image")
    result = imported(images, png, tmp_path / "store", "--strict", "--json", status=1)
    assert json.loads(result.stdout)["failed"] == {
        "class0/000.jpg": "no mask: class0/000.png or class0/000.jpg.png",
        "class0/002.jpg": "its mask must have the image's proportions, 62 x 52, or be square, "
        "got 50 x 80",
        "class0/004.jpg": "its mask must be gray, got colours: save only the mask",
        "class1/001.jpg": "its mask: not an image",
        "class1/003.jpg": "not an image",
    }


def test_a_mask_at_another_size_of_the_same_proportions_or_square_serves(images, tmp_path):
    png = tmp_path / "png"
    random_masks(images, png)
    save(png / "class0" / "000.png", np.full((100, 120), 9, np.uint8))
    save(png / "class0" / "002.png", np.full((26, 31), 9, np.uint8))
    save(png / "class0" / "004.png", np.full((256, 256), 9, np.uint8))
    imported(images, png, tmp_path / "store")
    assert (MaskStore(tmp_path / "store").batch(slice(0, 3)) == 9).all()


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (RAMP.astype(np.uint8), RAMP),
        (np.stack([RAMP.astype(np.uint8)] * 3, axis=2), RAMP),
        ((RAMP * 257).astype(np.uint16), RAMP),
        (RAMP > 128, np.where(RAMP > 128, 255, 0)),
        ((RAMP > 128).astype(np.uint8), np.where(RAMP > 128, 255, 0)),
        (np.zeros((50, 60), np.uint8), np.zeros((50, 60))),
    ],
    ids=["8 bits", "three alike", "16 bits", "1 bit", "0 and 1", "empty"],
)
def test_every_kind_of_gray_is_read(tmp_path, pixels, expected):
    save(tmp_path / "m.png", pixels)
    assert np.array_equal(read_mask(tmp_path / "m.png"), expected)


def test_colours_are_no_mask(tmp_path):
    save(tmp_path / "m.png", np.full((4, 4, 3), (9, 9, 8), np.uint8))
    with pytest.raises(ImageError, match="must be gray, got colours"):
        read_mask(tmp_path / "m.png")


def test_a_folder_of_other_masks_is_refused(images, tmp_path):
    save(tmp_path / "png" / "other.png", np.zeros((9, 9), np.uint8))
    said = imported(images, tmp_path / "png", tmp_path / "store", status=3).stderr
    assert "must hold masks named like the images, such as class0/000.png or class0/000.jpg.p" in (
        said
    )
    assert not (tmp_path / "store").exists()


def test_it_goes_on_where_it_stopped_and_notices_other_masks(images, tmp_path):
    png, store = tmp_path / "png", tmp_path / "store"
    random_masks(images, png)
    imported(images, png, store)
    before = (store / "shard-00001.h5").read_bytes()
    (store / "shard-00001.h5").unlink()
    assert "to do: 2 images in 1" in imported(images, png, store).stderr
    assert (store / "shard-00001.h5").read_bytes() == before
    (png / "class0" / "000.png").unlink()
    said = imported(images, png, store, status=3).stderr
    assert "a store is never changed" in said
    assert (
        "plan.json says method 'imported'; asked for method 'rbd'"
        in invoke(main, "masks", "--images", images, "--out", store, "--size", 32, status=3).stderr
    )


def test_a_disk_of_masks_that_is_gone_stops_the_run_and_records_no_failure(images, tmp_path):
    png, store = tmp_path / "png", tmp_path / "store"
    random_masks(images, png)
    imported(images, png, store, "--plan-only")
    png.rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(DiloError, match=r"--png .* got nothing there: is the disk mounted"):
            ShardBuilder(FolderSource(images), store, ImportSource(png)).build(0)
        png.mkdir(exist_ok=True)
    assert not list(store.glob("shard-*"))


@pytest.mark.parametrize("suffix", [".PNG", ".bmp", ".tif"])
def test_masks_that_are_no_pngs_by_name_are_taken_and_odd_ones_said(images, tmp_path, suffix):
    for name, shape in sizes(images):
        path = (tmp_path / "png" / name).with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ones(shape, np.uint8)).save(path)
    result = imported(images, tmp_path / "png", tmp_path / "store")
    assert "6 of 6 images, 0 failed" in result.stdout
    assert "masks hold 0 and 1, taken as 0 and 255 (6 of 6 looked at)" in result.stderr
    assert (MaskStore(tmp_path / "store").batch(slice(0, 6)) == 255).all()


def test_an_image_is_never_its_own_mask(images, tmp_path):
    words = ("import", "--png", images, "--images", images, "--out", tmp_path / "store")
    result = invoke(main, *words, "--size", 32, status=3)
    assert "masks beside their images must be PNGs, got none" in result.stderr
    assert "--include" not in result.stderr
    shape = next(shape for name, shape in sizes(images) if name == "class0/000.jpg")
    save(images / "class0" / "000-mask.png", np.zeros((9, 9), np.uint8))
    save(images / "class0" / "000.png", np.full(shape, 9, np.uint8))
    result = imported(images, images, tmp_path / "store", "--include", "*.jpg", "--json")
    assert json.loads(result.stdout)["failed"]["class0/002.jpg"].startswith("no mask: ")
    assert (MaskStore(tmp_path / "store")["class0/000.jpg"] == 9).all()


def coco_imported(images, file, out, *more, status=0):
    words = ("import", "--coco", file, "--images", images, "--out", out)
    return invoke(main, *words, "--size", 32, *HERE, *more, status=status)


def coco_of(images, path, *, but=(), masks=None):
    """Write a file of two masks an image, the last image without; give the unions by name."""
    entries = image_entries(images)
    rng, unions, annotated = np.random.default_rng(0), {}, []
    for entry in entries:
        shape = shape_of(entry)
        pair = [np.kron(rng.random((2, 2)) < 0.5, np.ones((40, 40), bool)) for _ in range(2)]
        pair = [mask[: shape[0], : shape[1]] for mask in pair]
        unions[entry["file_name"]] = np.where(pair[0] | pair[1], 255, 0).astype(np.uint8)
        annotated += [(entry["id"], packed(mask)) for mask in pair]
    unions[entries[-1]["file_name"]][:] = 0
    listed = [entry for entry in entries if entry["file_name"] not in but]
    ids = {entry["id"] for entry in listed}
    annotated = [each for each in annotated[:-2] if each[0] in ids]
    return write_coco_masks(path, listed, masks or annotated), unions


def test_a_coco_file_becomes_a_store_like_any_other(images, tmp_path):
    file, unions = coco_of(images, tmp_path / "masks.json")
    result = coco_imported(images, file, tmp_path / "store")
    assert f"5 of 6 images have a mask in {file}" in result.stderr
    assert "1 image listed there without an annotation: empty masks" in result.stderr
    assert "6 of 6 images, 0 failed" in result.stdout
    masks = MaskStore(tmp_path / "store")
    assert masks.plan.method == "imported"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert masks.plan.parameters["coco"] == digest
    for name, union in unions.items():
        np.testing.assert_array_equal(masks[name], squash(union, 32))
    invoke(main, "verify", tmp_path / "store", "--images", images, "--workers", 1)


def test_images_that_one_side_lacks_are_counted_named_and_failed(images, tmp_path):
    file, _ = coco_of(images, tmp_path / "masks.json", but=("class0/000.jpg",))
    result = coco_imported(
        images, file, tmp_path / "store", "--include", "class0/*", "--json", "--strict", status=1
    )
    assert json.loads(result.stdout)["failed"] == {
        "class0/000.jpg": "no mask: masks.json lists no image of this name"
    }
    assert "2 of 3 images have a mask" in result.stderr
    others = "class1/001.jpg, class1/003.jpg, class1/005.jpg"
    assert f"3 more images listed there, not among the images: {others}" in result.stderr
    coco_imported(images, file, tmp_path / "few", "--limit", 2)
    assert list(MaskStore(tmp_path / "few").names) == ["class0/000.jpg", "class0/002.jpg"]


def test_masks_of_another_shape_than_their_image_are_failed_rows(images, tmp_path):
    runs = packed(np.ones((90, 40), bool))
    file, _ = coco_of(images, tmp_path / "masks.json", masks=[(1, runs), (2, {"size": [1, 1]})])
    failed = json.loads(coco_imported(images, file, tmp_path / "store", "--json").stdout)["failed"]
    assert failed["class0/000.jpg"] == (
        "its mask must have the image's proportions, 60 x 50, or be square, got 40 x 90"
    )
    assert failed["class0/002.jpg"].startswith("its annotation (id 2): segmentation must be poly")
    assert len(failed) == 2


def test_numbers_that_no_image_has_cost_at_most_their_own_row(images, tmp_path):
    file, unions = coco_of(images, tmp_path / "masks.json")
    content = json.loads(file.read_text())
    content["annotations"][0]["area"] = 2**70  # not read
    content["annotations"][2]["segmentation"]["counts"] = [2**70]
    content["images"][2] |= {"width": 2**20, "height": 2**20}
    content["annotations"][4]["segmentation"] = [[0, 0, 9, 0, 9, 9]]
    file.write_text(json.dumps(content))
    failed = json.loads(coco_imported(images, file, tmp_path / "store", "--json").stdout)["failed"]
    first, second, third = content["images"][:3]
    assert failed[third["file_name"]] == (
        f"its entry in images: an image must have at most {2**28} pixels, got {2**20} x {2**20}"
    )
    assert "must be polygons" in failed[second["file_name"]]
    assert len(failed) == 2
    name = first["file_name"]
    np.testing.assert_array_equal(MaskStore(tmp_path / "store")[name], squash(unions[name], 32))


def test_a_file_name_of_half_a_character_is_refused(images, tmp_path):
    file, _ = coco_of(images, tmp_path / "masks.json")
    file.write_text(file.read_text().replace("class0/000.jpg", "class0/\\ud800.jpg"))
    said = coco_imported(images, file, tmp_path / "store", status=3).stderr
    assert "images[0]: file_name must be a path below the folder of images, got 'class0/" in said


def test_a_store_of_one_coco_file_is_not_resumed_with_another(images, tmp_path):
    file, _ = coco_of(images, tmp_path / "masks.json")
    store = tmp_path / "store"
    coco_imported(images, file, store)
    before = (store / "shard-00001.h5").read_bytes()
    (store / "shard-00001.h5").unlink()
    assert "to do: 2 images in 1" in coco_imported(images, file, store).stderr
    assert (store / "shard-00001.h5").read_bytes() == before
    (store / "shard-00001.h5").unlink()
    for changed in (file.read_text() + "\n", file.read_text().replace("fg", "gf")):
        file.write_text(changed)
        said = coco_imported(images, file, store, status=3).stderr
        assert "a store is never changed" in said
    builder = ShardBuilder(FolderSource(images), store, CocoSource(file))
    with pytest.raises(DiloError, match="must stay as it is while masks are read from it"):
        builder.build(1)  # by the index that this process has loaded
    shard._open_source.cache_clear()
    with pytest.raises(DiloError, match="must be the file that the store was planned with"):
        builder.build(1)


def test_tasks_of_an_array_make_the_same_store_and_workers_read_the_kept_index(images, tmp_path):
    file, _ = coco_of(images, tmp_path / "masks.json")
    coco_imported(images, file, tmp_path / "one")
    coco_imported(images, file, tmp_path / "many", "--plan-only")
    for task in (1, 0):
        coco_imported(images, file, tmp_path / "many", "--num-tasks", 2, "--task-id", task)
    shards = sorted(path.name for path in (tmp_path / "one").glob("shard-*"))
    assert len(shards) == 2
    for name in shards:
        one, many = ((tmp_path / store / name).read_bytes() for store in ("one", "many"))
        assert one == many


def test_a_dry_run_of_an_import_writes_nothing(images, tmp_path):
    file, _ = coco_of(images, tmp_path / "masks.json")
    random_masks(images, tmp_path / "png")
    for given in (("--coco", file), ("--png", tmp_path / "png")):
        words = ("import", *given, "--images", images, "--out", tmp_path / "store", "--dry-run")
        found = json.loads(invoke(main, *words, "--json").stdout)
        assert (found["sampled"], found["failed"]) == (6, {})
    assert not (tmp_path / "store").exists()


def test_a_coco_file_of_other_images_and_both_kinds_or_none_are_refused(images, tmp_path):
    file, _ = coco_of(images, tmp_path / "masks.json")
    words = ("import", "--coco", file, "--images", images / "class0", "--out", tmp_path / "s")
    said = invoke(main, *words, status=3).stderr
    assert "must list the images by their paths below --images, got class0/000.jpg and" in said
    assert "but images such as 000.jpg: give the folder that its file_name begins in" in said
    for given in ((), ("--coco", file, "--png", images)):
        words = ("import", *given, "--images", images, "--out", tmp_path / "s")
        assert "either --png FOLDER or --coco FILE" in invoke(main, *words, status=2).stderr
    assert not (tmp_path / "s").exists()
