"""The kNN read-out of a run: the vote of the trunk's features, and no trace in what is learnt."""

import dataclasses
import errno
import random
import threading
import types

import numpy as np
import pytest
import torch
from PIL import Image
from support.folders import write_class_folders
from support.runs import small_recipe
from torch import nn

from dilo.pipeline.errors import AccessError, DiloError, ImageError
from dilo.pipeline.images import folder
from dilo.train.augment.color import normalise
from dilo.train.data.draws import EVALUATION
from dilo.train.data.evaluation import center_crop
from dilo.train.data.images import find_image_set
from dilo.train.methods.base import TrainingSet, ViewBatch
from dilo.train.methods.moco import MoCo
from dilo.train.monitor import knn_monitor as module
from dilo.train.monitor.knn import knn_accuracy
from dilo.train.monitor.knn_monitor import KnnMonitor
from dilo.train.networks.encoder import resnet
from dilo.train.recipes.recipe import ModelRecipe

CPU = torch.device("cpu")
RECIPE = small_recipe()
CLASSES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Training images of three classes, and a test folder of two of them."""
    root = tmp_path_factory.mktemp("data")
    train = write_class_folders(root / "train", CLASSES, each=9)
    return train, write_class_folders(root / "test", ("bee", "cat"), each=3, seed=1)


@pytest.fixture(scope="module")
def network():
    """Draw a trunk whose features are of no scale or order that one could guess."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return resnet(RECIPE.model)


def trunk_features(network, paths):
    """Read features one image at a time, from a copy without its head."""
    bare = resnet(RECIPE.model)
    bare.load_state_dict(network.state_dict())
    bare.fc = nn.Identity()
    bare.eval()
    crops = [center_crop(np.asarray(Image.open(path)), RECIPE.views.size) for path in paths]
    with torch.no_grad():
        return torch.cat([bare(normalise(crop[None] / 255)) for crop in crops])


def expected(network, bank, queries, k):
    numbers = {name: i for i, name in enumerate(CLASSES)}
    labels = [[numbers[path.parent.name] for path in paths] for paths in (bank, queries)]
    (found,) = knn_accuracy(
        trunk_features(network, bank),
        torch.tensor(labels[0]),
        trunk_features(network, queries),
        torch.tensor(labels[1]),
        ks=[k],
        temperature=0.07,
        classes=3,
    )
    return found.top1


def test_a_test_folder_is_asked_about_all_training_images(folders, network):
    train, test = folders
    # The test folder's classes are numbered as the training images' are.
    monitor = KnnMonitor(find_image_set(train, None), RECIPE, CPU, 0, test)
    bank, queries = (sorted(folder.glob("*/*.png")) for folder in (train, test))
    assert monitor.top1((network,)) == expected(network, bank, queries, 20)
    assert monitor.k == 20


@pytest.mark.parametrize("seed", [0, 1])
def test_without_one_a_tenth_chosen_by_the_seed_is_asked_about_the_rest(folders, network, seed):
    train = folders[0]
    recipe = dataclasses.replace(RECIPE, seed=seed)
    paths = sorted(train.glob("*/*.png"))
    key = np.random.Philox(key=np.array((seed, EVALUATION), np.uint64))
    order = np.argsort(np.random.Generator(key).random(27), kind="stable")
    asked, rest = ([paths[i] for i in rows] for rows in (order[:3], order[3:]))
    found = KnnMonitor(find_image_set(train, None), recipe, CPU, 0).top1((network,))
    assert found == expected(network, rest, asked, 20)


def test_at_most_so_many_images_are_looked_at_and_a_small_bank_has_fewer_voters(
    folders, network, monkeypatch
):
    monkeypatch.setattr(module, "IMAGES", 10)
    monitor = KnnMonitor(find_image_set(folders[0], None), RECIPE, CPU, 0)
    assert monitor.k == 9
    assert monitor.top1((network,)) in (0.0, 100.0)  # one is asked about


def test_unreadable_images_are_left_out(tmp_path, network):
    train = write_class_folders(tmp_path / "train", CLASSES, each=9)
    test = write_class_folders(tmp_path / "test", CLASSES, each=3, seed=1)
    monitor = KnnMonitor(find_image_set(train, None), RECIPE, CPU, 0, test)
    broken = [train / "ant" / f"{i}.png" for i in range(8)] + [test / "bee" / "0.png"]
    for path in broken:
        path.write_bytes(b"no image")
    bank, queries = (
        [path for path in sorted(folder.glob("*/*.png")) if path not in broken]
        for folder in (train, test)
    )
    assert monitor.top1((network,)) == expected(network, bank, queries, 19)
    for path in queries:
        path.write_bytes(b"no image")
    assert monitor.top1((network,)) is None


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_the_system_does_not_give_now_is_no_broken_one(
    folders, network, monkeypatch, workers
):
    def read(path):
        raise ImageError("Input/output error", errno.EIO)

    monkeypatch.setattr(folder, "read_file", read)
    monitor = KnnMonitor(find_image_set(folders[0], None), RECIPE, CPU, workers)
    with pytest.raises(AccessError, match=r"\.png: Input/output error: the disk does not answer"):
        monitor.top1((network,))


def test_two_encoders_see_their_channels_and_their_features_stand_side_by_side(
    folders, monkeypatch
):
    seen = {}

    def one(name, channels):
        model = ModelRecipe(arch="resnet18", stem="small", width=0.25, dim=8)
        network = resnet(model, channels=channels)
        network.conv1.register_forward_pre_hook(lambda _, given: seen.update({name: given[0]}))
        return network

    def vote(bank, *rest, **settings):
        seen["width"] = bank.shape[1]
        return knn_accuracy(bank, *rest, **settings)

    # Channels that tell which they are.
    monkeypatch.setattr(
        module,
        "to_color_space",
        lambda images, space: torch.zeros_like(images) + torch.arange(3.0)[:, None, None],
    )
    monkeypatch.setattr(module, "knn_accuracy", vote)
    monitor = KnnMonitor(find_image_set(folders[0], None), RECIPE, CPU, 0)
    monitor.top1((one("l", 1), one("ab", 2)))
    assert seen["l"][0, :, 0, 0].tolist() == [0.0]
    assert seen["ab"][0, :, 0, 0].tolist() == [1.0, 2.0]
    assert seen["width"] == 2 * 128


def losses(source, read):
    """Train three steps, with a read-out after each but the last, or without."""
    method = MoCo(RECIPE, TrainingSet(27)).train()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    torch.manual_seed(5)
    found, monitor = [], KnnMonitor(source, RECIPE, CPU, 0)
    for step in range(3):
        views = torch.randn(2, 4, 3, 16, 16)  # from torch's own generator, as a dropout would
        method.begin_step()
        output = method(ViewBatch(views=tuple(views), samples=torch.arange(4), step=step))
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        method.end_step()
        found.append(output.loss.item())
        if read:
            monitor.top1(method.encoders())
    return found, method


def test_losses_after_a_read_out_are_those_without_it_to_the_last_bit(folders):
    source = find_image_set(folders[0], None)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # the state that must not move
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    (with_it, one), (without, other) = losses(source, True), losses(source, False)
    assert with_it == without
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002
    states = one.state_dict(), other.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(part.training for part in one.encoders()[0].modules())


def test_a_part_that_was_frozen_stays_so_and_gradients_stay_on(folders, network):
    network.train()
    network.bn1.eval()
    head = network.fc
    KnnMonitor(find_image_set(folders[0], None), RECIPE, CPU, 0).top1((network,))
    assert [network.bn1.training, network.training, network.layer1.training] == [False, True, True]
    assert torch.is_grad_enabled()
    assert network.fc is head


def test_ranks_share_the_images_and_all_find_what_one_finds(folders, network, monkeypatch):
    source, (_, test) = find_image_set(folders[0], None), folders
    alone = KnnMonitor(source, RECIPE, CPU, 0, test).top1((network,))
    here, barrier, given = threading.local(), threading.Barrier(4), {}

    def gather(values):
        given[here.rank] = values
        barrier.wait(30)
        assert len({part.shape for part in given.values()}) == 1
        together = torch.cat([given[rank] for rank in range(4)])
        barrier.wait(30)
        return together

    talk = types.SimpleNamespace(world_size=lambda: 4, rank=lambda: here.rank, all_gather=gather)
    monkeypatch.setattr(module, "distributed", talk)
    found = {}

    def work(rank):
        here.rank = rank
        copy = resnet(RECIPE.model)
        copy.load_state_dict(network.state_dict())
        # 27 and 6 images among four: the last rank has too few of both.
        found[rank] = KnnMonitor(source, RECIPE, CPU, 0, test).top1((copy,))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), alone)


def test_a_line_tells_what_was_found_and_null_where_features_are_no_numbers(folders, network):
    monitor = KnnMonitor(find_image_set(folders[0], None), RECIPE, CPU, 0)
    top1 = monitor.top1((network,))
    line = {"step": 70, "epoch": 2, "knn_top1": top1, "knn_k": 20}
    assert monitor.evaluate((network,), 70, 2) == line
    broken = resnet(RECIPE.model)
    nn.init.constant_(broken.bn1.weight, torch.nan)
    assert monitor.evaluate((broken,), 70, 2) == line | {"knn_top1": None}


@pytest.mark.parametrize(
    ("images", "test", "message"),
    [
        pytest.param(
            "train/ant", None, r"--knn-every needs .* must hold a folder for each class", id="none"
        ),
        pytest.param("one", None, "must hold two folders of classes, got only", id="one class"),
        pytest.param("train", "train", "--knn-test must be another folder than", id="itself"),
        pytest.param("test", "train", r"classes of --knn-test .* got ant", id="other classes"),
    ],
)
def test_folders_that_tell_no_classes_are_refused(folders, tmp_path, images, test, message):
    root = folders[0].parent
    write_class_folders(tmp_path / "one", ("only",), each=2)
    images = tmp_path / images if images == "one" else root / images
    with pytest.raises(DiloError, match=message):
        KnnMonitor(find_image_set(images, None), RECIPE, CPU, 0, test and root / test)
