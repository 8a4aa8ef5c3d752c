"""Checkpoints as other repositories lay them out, of networks small enough for a test."""

import argparse
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from support.checkpoints import model_of, trunk_state
from torch import Tensor, nn

from dilo.train.networks.encoder import resnet

State = dict[str, Tensor]
Content = dict[str, Any]


def under(prefix: str, state: State) -> State:
    """Put a prefix before every name."""
    return {prefix + name: value for name, value in state.items()}


def body(state: State) -> State:
    """Leave the head out."""
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def head(state: State, numbered: bool = False) -> State:
    """Take the head alone, under PyContrast's numbers where asked for."""
    found = {name[3:]: value for name, value in state.items() if name.startswith("fc.")}
    return under("0.", found) if numbered and "weight" in found else found


def moco(state: State) -> Content:
    """Lay out as main_moco.py does: the query encoder, another key encoder, the queue."""
    keys = {name: value + 1 for name, value in state.items()}
    return {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": under("module.encoder_q.", state)
        | under("module.encoder_k.", keys)
        | {"module.queue": torch.zeros(8, 16), "module.queue_ptr": torch.zeros(1).long()},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": []},
    }


def moco_linear(state: State) -> Content:
    """Lay out as main_lincls.py does."""
    found = {"epoch": 100, "arch": "resnet18", "state_dict": under("module.", state)}
    return found | {"best_acc1": torch.tensor(60.6), "optimizer": {"state": {}}}


def instdisc(state: State) -> Content:
    """Lay out as lemniscate.pytorch does, its memory a module, pickled whole."""
    found = {"epoch": 200, "arch": "resnet18", "state_dict": under("module.", state)}
    return found | {"lemniscate": NCEAverage(), "best_prec1": 41.2, "optimizer": {"state": {}}}


class NCEAverage(nn.Module):
    """A memory bank; its class is gone when the file is read."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("memory", torch.zeros(4, 8))
        self.params = nn.Parameter(torch.zeros(5))


def cmc_single(state: State) -> Content:
    """Lay out as CMC's train_moco_ins.py does."""
    model = under("encoder.module.", state)
    ema = {name: value + 1 for name, value in model.items()}
    memory = {"params": torch.zeros(5), "memory": torch.zeros(16, 8)}
    found = {"opt": argparse.Namespace(model="resnet50"), "model": model, "contrast": memory}
    return found | {"optimizer": {"state": {}}, "epoch": 240, "model_ema": ema, "amp": {}}


def cmc_pair(first: State, second: State) -> Content:
    """Lay out as train_CMC.py does."""
    model = under("encoder.module.l_to_ab.", first) | under("encoder.module.ab_to_l.", second)
    memory = {"params": torch.zeros(5), "memory_l": torch.zeros(4, 8)}
    found = {"opt": argparse.Namespace(model="resnet50v1"), "model": model, "contrast": memory}
    return found | {"optimizer": {"state": {}}, "epoch": 240, "amp": {"loss_scaler0": {}}}


def pycontrast(state: State) -> Content:
    """Lay out as PyContrast does: the head stands beside the encoder."""
    model = under("module.encoder.", body(state)) | under("module.head.", head(state, True))
    ema = {name.removeprefix("module."): value + 1 for name, value in model.items()}
    found = {"model": model, "contrast": {"memory": torch.zeros(16, 8)}, "epoch": 200}
    return found | {"optimizer": {"state": {}}, "model_ema": ema}


def pycontrast_pair(first: State, second: State) -> Content:
    """Lay out as PyContrast does for CMC."""
    model: State = {}
    for number, state in (("1", first), ("2", second)):
        model |= under(f"module.encoder{number}.", body(state))
        model |= under(f"module.head{number}.", head(state, True))
    return {"model": model, "contrast": {"memory_1": torch.zeros(4, 8)}, "epoch": 200}


def ours_pair(first: State, second: State) -> Content:
    """Lay out as dilo-train does for CMC."""
    state = under("module.l_to_ab.", first) | under("module.ab_to_l.", second)
    return {"epoch": 3, "arch": "resnet18", "state_dict": state}


def bare(state: State) -> Content:
    """Lay out as torchvision and timm do."""
    return dict(state)


def _average(state: State) -> State:
    """Make what is not to be read: another network of the same names."""
    return {name: value + 1 for name, value in state.items()}


def _sequential(state: State) -> State:
    """Give the children of a ResNet the numbers that a Sequential of them gives."""
    numbers = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    parts = ((name.partition("."), value) for name, value in body(state).items())
    return {f"{numbers[first]}.{rest}": value for (first, _, rest), value in parts}


def lightly(state: State) -> Content:
    """Lay out as lightly's examples for Lightning do: MoCo, with backbone_momentum beside."""
    trunk = _sequential(state)
    weights = under("backbone.", trunk) | under("backbone_momentum.", _average(trunk))
    weights |= {"projection_head.layers.0.weight": torch.zeros(8, 128)}
    weights |= {"projection_head_momentum.layers.0.weight": torch.zeros(8, 128)}
    return {"epoch": 99, "state_dict": weights, "optimizer_states": [], "loops": {}}


def solo_learn(state: State) -> Content:
    """Lay out as solo-learn's BYOL does."""
    trunk = body(state)
    weights = under("backbone.", trunk) | under("momentum_backbone.", _average(trunk))
    weights |= {"classifier.weight": torch.zeros(10, 128), "projector.0.weight": torch.zeros(8, 8)}
    return {"epoch": 399, "state_dict": weights, "hyper_parameters": {"method": "byol"}}


def mmselfsup(state: State) -> Content:
    """Lay out as mmselfsup's MoCo does: encoder and neck in one Sequential."""
    trunk = body(state)
    weights = under("encoder_q.0.", trunk) | under("encoder_k.0.", _average(trunk))
    weights |= {"encoder_q.1.mlp.0.weight": torch.zeros(8, 8), "queue": torch.zeros(8, 16)}
    return {"meta": {"epoch": 200, "mmcv_version": "1.3"}, "state_dict": weights}


def moco_v3(state: State) -> Content:
    """Lay out as MoCo v3's main_moco.py does."""
    weights = under("module.base_encoder.", state)
    weights |= under("module.momentum_encoder.", _average(state))
    weights |= {"module.predictor.0.weight": torch.zeros(8, 8)}
    return {"epoch": 300, "arch": "resnet18", "state_dict": weights, "scaler": {"scale": 1.0}}


def simsiam(state: State) -> Content:
    """Lay out as SimSiam's main_simsiam.py does."""
    weights = under("module.encoder.", state) | {"module.predictor.0.weight": torch.zeros(8, 8)}
    return {"epoch": 100, "arch": "resnet18", "state_dict": weights}


def barlow_twins(state: State) -> Content:
    """Lay out as Barlow Twins' main.py does."""
    weights = under("module.backbone.", body(state)) | {
        "module.projector.0.weight": torch.zeros(8, 8),
        "module.bn.running_mean": torch.zeros(8),
    }
    return {"epoch": 1000, "model": weights, "optimizer": {"state": {}}}


def dino(state: State) -> Content:
    """Lay out as DINO's main_dino.py does: two networks, of which its evaluation takes one."""
    student = under("module.backbone.", body(state))
    student |= {"module.head.mlp.0.weight": torch.zeros(8, 8)}
    teacher = {name.removeprefix("module."): value + 1 for name, value in student.items()}
    loss = {"center": torch.zeros(1, 8)}
    found = {"student": student, "teacher": teacher, "epoch": 800, "dino_loss": loss}
    return found | {"args": argparse.Namespace(arch="resnet18"), "optimizer": {"state": {}}}


def swav(state: State) -> Content:
    """Lay out as SwAV's main_swav.py does: the heads beside the layers."""
    weights = body(state) | {
        "projection_head.0.weight": torch.zeros(8, 128),
        "projection_head.1.running_mean": torch.zeros(8),
        "prototypes.weight": torch.zeros(30, 8),
    }
    return {"epoch": 800, "arch": "resnet18", "state_dict": under("module.", weights), "amp": {}}


def deepspeed(state: State) -> Content:
    """Lay out as DeepSpeed's mp_rank_00_model_states.pt is."""
    weights = under("backbone.", body(state))
    return {"module": weights, "buffer_names": [], "optimizer": None, "global_steps": 1000}


def compiled(state: State) -> Content:
    """Lay out as torch.compile and wrappers in wrappers leave the names."""
    renamed = {
        name.replace("layer1.", "layer1._orig_mod.").replace("layer2.0.", "layer2.0.module."): value
        for name, value in state.items()
    }
    return {"model": under("_orig_mod.module._orig_mod.model.module.", renamed)}


def ema(state: State) -> Content:
    """Lay out as timm's trainer does: a network, and its moving average in a second place."""
    return {"arch": "resnet18", "state_dict": state, "state_dict_ema": _average(state)}


def ema_alone(state: State) -> Content:
    """Lay out as an average that torch makes, which is published alone."""
    weights = under("module.", state) | {"n_averaged": torch.tensor(9)}
    return {"ema_state_dict": weights, "step": 9}


#: Layouts of one trunk of which no head is known.
HEADLESS: dict[str, Callable[[State], Content]] = {
    "lightly": lightly,
    "solo-learn": solo_learn,
    "mmselfsup": mmselfsup,
    "moco-v3": moco_v3,
    "simsiam": simsiam,
    "barlow-twins": barlow_twins,
    "swav": swav,
    "deepspeed": deepspeed,
    "compiled": compiled,
    "ema": ema,
    "ema-alone": ema_alone,
}
#: Layouts of one trunk that ends in a projection head.
SINGLE: dict[str, Callable[[State], Content]] = {
    "moco": moco,
    "instdisc": instdisc,
    "cmc-single": cmc_single,
    "pycontrast": pycontrast,
    "bare": bare,
}
#: Layouts of two, and the colours that they see.
PAIR: dict[str, tuple[Callable[[State, State], Content], str]] = {
    "cmc": (cmc_pair, "lab"),
    "pycontrast": (pycontrast_pair, "ydbdr"),
    "dilo": (ours_pair, "lab"),
}


def saved(path: Path, content: Content, *, old: bool = False) -> Path:
    """Save, the classes being those of a program that is not installed when the file is read.

    The old format is that of torch before 1.6, and its batch norms count no batches, as those
    of torch before 0.4.1.
    """
    module, name = types.ModuleType("lib.NCEAverage"), NCEAverage.__module__
    module.NCEAverage = NCEAverage  # type: ignore[attr-defined]
    module.__file__ = __file__  # the old format keeps the source of a class, too
    NCEAverage.__module__ = "lib.NCEAverage"
    sys.modules |= {"lib": types.ModuleType("lib"), "lib.NCEAverage": module}
    try:
        if old:
            content = {key: _uncounted(value) for key, value in content.items()}
        torch.save(content, path, _use_new_zipfile_serialization=not old)
    finally:
        NCEAverage.__module__ = name
        del sys.modules["lib"], sys.modules["lib.NCEAverage"]
    return path


def _uncounted(value: Any) -> Any:
    """Leave the counts of batches out of a state dict."""
    if not isinstance(value, dict):
        return value
    return {k: v for k, v in value.items() if not str(k).endswith("num_batches_tracked")}


def network(kind: str = "linear", *, channels: int = 3, seed: int = 0, **options: Any) -> nn.Module:
    """Draw a network with a projection head; it is in eval mode."""
    model = model_of(head=kind, dim=8, stem="imagenet", **options)
    made = resnet(model, channels)
    drawn = trunk_state(seed=seed, channels=channels, head=kind, dim=8, stem="imagenet", **options)
    made.load_state_dict(drawn)
    return made.eval()
