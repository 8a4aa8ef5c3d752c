"""`dilo-prep`: arguments in; exit status, words, JSON and files out."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from support.cli import invoke
from support.photographs import photograph_folder

from dilo.pipeline.cli import main
from dilo.pipeline.cli.run import count_reporter


@pytest.fixture
def images(tmp_path):
    return photograph_folder(tmp_path / "images", 6)


def masks(images, out, *more, status=0):
    arguments = ("masks", "--images", images, "--out", out, "--size", 32, "--workers", 1)
    return invoke(main, *arguments, "--backend", "threading", *more, status=status)


def test_masks_status_verify_and_preview_of_a_folder(images, tmp_path):
    store = tmp_path / "store"
    result = masks(images, store, "--json")
    assert json.loads(result.stdout)["done_images"] == 6
    assert "0 failed" not in result.output
    assert "6 of 6 images, 0 failed" in invoke(main, "status", store).stdout
    assert json.loads(invoke(main, "status", store, "--json").stdout)["missing"] == []
    assert "0 faults" in invoke(main, "verify", store).stdout
    invoke(main, "preview", store, "--images", images, "--out", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 900


def test_method_refinement_and_parameters_are_what_the_options_say(images, tmp_path):
    store = tmp_path / "store"
    changes = ("--set", "superpixels=90", "--set", "geodesic_sigma=[4, 9]")
    changes += ("--set", "segmentation=scikit-image", "--set", "refine.certain=0.4")
    masks(images, store, "--method", "consensus", "--refine", "grabcut", *changes)
    plan = json.loads((store / "plan.json").read_text())
    assert plan["method"] == "consensus"
    found = {name: plan["parameters"][name] for name in ("superpixels", "geodesic_sigma")}
    assert found == {"superpixels": 90, "geodesic_sigma": [4.0, 9.0]}
    assert plan["parameters"]["segmentation"] == "scikit-image"
    refine = plan["parameters"]["refine"]
    assert (refine["method"], refine["certain"]) == ("grabcut", 0.4)
    refused = masks(images, store, "--method", "consensus", status=3)
    assert "refine.method 'grabcut'" in refused.stderr


def test_failures_are_named_and_strict_is_status_1(images, tmp_path):
    (images / "class0" / "bad.jpg").write_bytes(b"no image")
    result = masks(images, tmp_path / "store")
    assert "failed: class0/bad.jpg: not an image" in result.stdout
    masks(images, tmp_path / "store", "--strict", status=1)


def test_the_second_run_computes_only_what_is_missing(images, tmp_path):
    store = tmp_path / "store"
    masks(images, store, "--shard-size", 2)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in store.glob("*.h5")}
    (store / "shard-00001.h5").unlink()
    assert invoke(main, "status", store, "--missing").stdout == "1\n"
    assert "missing shards: 1" in invoke(main, "status", store).stdout
    assert "to do: 2 images in 1" in masks(images, store).stderr
    after = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in store.glob("*.h5")}
    assert after["shard-00000.h5"] == before["shard-00000.h5"]
    assert after["shard-00001.h5"][1] == before["shard-00001.h5"][1]


def test_verify_finds_a_damaged_shard(images, tmp_path):
    store = tmp_path / "store"
    masks(images, store, "--shard-size", 3)
    shard = store / "shard-00001.h5"
    shard.write_bytes(shard.read_bytes()[:-100])
    result = invoke(main, "verify", store, "--json", status=1)
    assert len(json.loads(result.stdout)["faults"]) == 1
    assert "shard-00001.h5" in invoke(main, "verify", store, status=1).stdout


def test_the_tasks_of_an_array_make_up_the_store(images, tmp_path, monkeypatch):
    store = tmp_path / "store"
    for task in range(3):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(task))
        said = masks(images, store, "--shard-size", 1, "--num-tasks", 3).stderr
        assert f"task {task} of 3, counted from 0, by SLURM_ARRAY_TASK_ID={task}\n" in said
        assert "to do: 2 images in 2" in said
    assert invoke(main, "status", store, "--missing").stdout == "\n"
    assert invoke(main, "status", store, "--missing", "--num-tasks", 3).stdout == "\n"
    assert len(list(store.glob("shard-*.h5"))) == 6
    assert (
        "is set, but not --num-tasks: this process computes everything"
        in masks(images, store).stderr
    )


def test_an_array_counts_its_own_tasks(images, tmp_path, monkeypatch):
    names = ("SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE")
    for name, value in zip(names, "3141", strict=True):
        monkeypatch.setenv(name, value)
    result = masks(images, tmp_path / "store", "--shard-size", 1, "--num-tasks", "auto")
    assert "task 2 of 4, counted from 0, by SGE_TASK_ID=3\n" in result.stderr
    assert [p.name for p in (tmp_path / "store").glob("*.h5")] == ["shard-00002.h5"]


def test_a_plan_is_made_ahead_and_the_missing_tasks_of_an_array_are_told(images, tmp_path):
    store = tmp_path / "store"
    result = masks(images, store, "--shard-size", 1, "--plan-only", "--json")
    assert "planned: 6 images in 6 shards of 1\n" in result.stderr
    assert json.loads(result.stdout)["missing"] == [0, 1, 2, 3, 4, 5]
    assert sorted(p.name for p in store.iterdir()) == ["images.txt", "plan.json"]
    masks(images, store, "--num-tasks", 4, "--task-id", 1)
    assert invoke(main, "status", store, "--missing").stdout == "0,2-4\n"
    missing = invoke(main, "status", store, "--missing", "--json").stdout
    assert json.loads(missing) == {"missing": [0, 2, 3, 4]}
    assert invoke(main, "status", store, "--missing", "--num-tasks", 4).stdout == "0,2-3\n"
    refused = invoke(main, "status", store, "--num-tasks", 4, status=2)
    assert "--num-tasks belongs to --missing" in refused.stderr


def test_list_and_include_choose_the_images_and_limit_comes_after_both(images, tmp_path):
    (tmp_path / "list").write_text("class1/005.jpg\nclass0/004.jpg\nclass1/001.jpg\n")
    for options, expected in (
        (["--list", tmp_path / "list"], ["class1/005.jpg", "class0/004.jpg", "class1/001.jpg"]),
        (["--include", "class1/*"], ["class1/001.jpg", "class1/003.jpg", "class1/005.jpg"]),
        (["--include", "*5.jpg", "--include", "000*"], ["class0/000.jpg", "class1/005.jpg"]),
        (["--include", "class1/*", "--limit", 2], ["class1/001.jpg", "class1/003.jpg"]),
        (
            ["--list", tmp_path / "list", "--include", "class1/*", "--limit", 1],
            ["class1/005.jpg"],
        ),
    ):
        store = tmp_path / "-".join(map(str, options)).replace("/", "_").replace("*", "_")
        masks(images, store, *options)
        assert (store / "images.txt").read_text().splitlines() == expected


def test_how_many_images_were_found_is_said_every_half_minute():
    seconds = iter([0.0, 10.0, 29.0, 31.0, 31.0, 60.0, 61.5, 61.5])
    lines = []
    found = count_reporter(lines.append, clock=lambda: next(seconds))
    for count in (10_000, 20_000, 30_000, 40_000, 50_000):
        found(count)
    assert lines == ["30000 images found so far", "50000 images found so far"]


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (
            ["--method", "nonsense"],
            2,
            "--method: must be one of basnet, cam, consensus, contracam, gradient, gs, mc, mr, "
            "rbd, tokencut,",
        ),
        (["--refine", "nonsense"], 2, "'nonsense' is not 'grabcut'"),
        (["--set", "superpixels"], 2, "--set': must be NAME=VALUE, got 'superpixels'"),
        (["--set", "superpixels=many"], 2, "--set: superpixels must be like 250, got 'many'"),
        (["--set", "nonsense=1"], 2, "--set: nonsense must be one of side, "),
        (["--set", "refine.seed=1"], 2, "--set: refine.seed needs a refinement, got none"),
        (["--workers", "0"], 2, "0 workers do nothing: -1 starts one for each core"),
        (["--task-id", "1"], 3, "must come with --num-tasks"),
        (["--num-tasks", "0"], 2, "--num-tasks': must be a number from 1 to 999999999, or auto"),
        (["--num-tasks", "all"], 2, "from 1 to 999999999, or auto, got 'all'"),
        (["--num-tasks", "auto"], 3, "--num-tasks auto needs one of SLURM_ARRAY_TASK_ID"),
        (["--size", "8"], 2, "16<=x<=4096"),
        (["--list", "nowhere"], 2, "File 'nowhere' does not exist"),
        (["--list", os.devnull], 3, "/dev/null must be a regular file, got a pipe or a dev"),
        (["--include", "*.png"], 3, "--include must match images, got *.png, which matches none"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(images, tmp_path, more, status, message):
    assert message in masks(images, tmp_path / "store", *more, status=status).stderr


def test_a_folder_without_images_and_a_store_of_something_else(images, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "none found" in masks(tmp_path / "empty", tmp_path / "s", status=3).stderr
    assert "got no plan.json" in invoke(main, "status", images, status=3).stderr
    masks(images, tmp_path / "store")
    shutil.rmtree(images / "class1")
    result = masks(images, tmp_path / "store", status=3)
    assert "plan.json says images 6; asked for images 3" in result.stderr


def test_a_folder_that_cannot_be_written_is_named(images, tmp_path):
    (tmp_path / "file").touch()
    assert "file" in masks(images, tmp_path / "file" / "store", status=3).stderr


def test_help_is_quick_and_never_imports_torch():
    code = (
        "import sys\n"
        "from dilo.pipeline.cli import main\n"
        "try: main(['masks', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'skimage', 'numba', 'h5py', 'cv2', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "saliency mask for every image" in shown.stdout


def test_computing_masks_never_imports_torch(images, tmp_path):
    code = (
        "import sys\n"
        "from dilo.pipeline.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = ["masks", "--images", str(images), "--out", str(tmp_path / "s"), "--workers", "1"]
    subprocess.run([sys.executable, "-c", code, *arguments, "--size", "32"], check=True)
