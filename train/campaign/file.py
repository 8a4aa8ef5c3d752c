"""The file of a campaign: arms, seeds and evaluations, in the words of the programs' options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dilo.pipeline.common.outputs import PLAIN_NAME
from dilo.pipeline.common.textfiles import parse_toml, read_text
from dilo.pipeline.errors import ContentError, DiloError
from dilo.train.recipes.schema import check_rules, flat, from_plain, merged

#: Options of a program by their names, without dashes. `SET` holds keys of the recipe.
Options = Mapping[str, Any]
#: The option that changes the recipe, which is a table here.
SET = "set"
#: The key of an evaluation that is no option: the command of dilo-eval, where its name is another.
COMMAND = "command"


@dataclass(frozen=True, kw_only=True)
class CampaignFile:
    """What the file says."""

    #: One run of each arm for each.
    seeds: tuple[int, ...]
    #: Options of dilo-train, for every run.
    train: Mapping[str, Any] = field(default_factory=dict)
    #: By the name of each arm, options of dilo-train that it adds or replaces.
    arms: Mapping[str, Any]
    #: By the name of each evaluation, options of dilo-eval.
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    #: Options of dilo-eval table.
    table: Mapping[str, Any] = field(default_factory=dict)
    #: Options of dilo-eval report.
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is measured of each run."""

    #: Of dilo-eval.
    command: str
    options: Options


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What is trained and measured."""

    #: The file, for messages.
    source: str
    seeds: tuple[int, ...]
    #: By their names, all options of dilo-train but the seed and --out.
    arms: Mapping[str, Options]
    #: By their names.
    evaluations: Mapping[str, Evaluation]
    #: Of dilo-eval table and of dilo-eval report.
    table: Options
    report: Options


def load_campaign(path: Path) -> Campaign:
    """Read a campaign, or refuse what makes none."""
    source = str(path)
    try:
        content = parse_toml(read_text(path), source)
    except ContentError as error:
        raise DiloError(str(error)) from error
    file = from_plain(CampaignFile, content, source)
    _check(file, source)
    train = _options(file.train, f"{source}: train")
    return Campaign(
        source=source,
        seeds=file.seeds,
        arms={
            name: merged(train, _options(arm, f"{source}: arms.{name}"))
            for name, arm in file.arms.items()
        },
        evaluations={
            name: _evaluation(name, evaluation, f"{source}: evaluate.{name}")
            for name, evaluation in file.evaluate.items()
        },
        table=_options(file.table, f"{source}: table"),
        report=_options(file.report, f"{source}: report"),
    )


def _check(file: CampaignFile, source: str) -> None:
    """Refuse seeds and names that make no runs."""
    check_rules(
        [
            ("seeds must be at least one", bool(file.seeds), list(file.seeds)),
            ("seeds must not be negative", min(file.seeds, default=0) >= 0, list(file.seeds)),
            (
                "seeds must differ from each other",
                len(set(file.seeds)) == len(file.seeds),
                list(file.seeds),
            ),
            ("arms must be at least one, [arms.NAME]", bool(file.arms), {}),
        ],
        source,
    )
    for table, names in (("arms", file.arms), ("evaluate", file.evaluate)):
        for name in names:
            if not PLAIN_NAME.fullmatch(name):
                raise DiloError(
                    f"{source}: a name in {table} must be letters, digits, '.', '_' and '-', for "
                    f"files are named after it, got {name!r}"
                )
    if "train" in file.evaluate:
        raise DiloError(
            f"{source}: evaluate.train must have another name: its log is of dilo-train"
        )


def _evaluation(name: str, values: object, where: str) -> Evaluation:
    """Read an evaluation; without a command, its name is that of the command."""
    options = dict(_options(values, where))
    command = options.pop(COMMAND, name)
    if not isinstance(command, str):
        raise DiloError(f"{where}.{COMMAND} must be a command of dilo-eval, got {command!r}")
    if SET in options:
        raise DiloError(f"{where}: only dilo-train takes {SET}")
    return Evaluation(command=command, options=options)


def _options(values: object, where: str) -> Options:
    """Check that values can stand on a command line; those of `SET` get dotted keys."""
    if not isinstance(values, Mapping):
        raise DiloError(f"{where} must be a table of options, got {values!r}")
    options: dict[str, Any] = {}
    for key, value in values.items():
        if key == SET:
            if not isinstance(value, Mapping):
                raise DiloError(
                    f"{where}.{SET} must be keys of the recipe, such as "
                    f"{SET}.optimizer.epochs = 20, got {value!r}"
                )
            options[SET] = flat(value)
            for name, item in options[SET].items():
                _require_plain(f"{where}.{SET}.{name}", item)
        else:
            _require_plain(f"{where}.{key}", value)
            options[key] = value
    return options


def _require_plain(where: str, value: object) -> None:
    """Refuse a value that no word of a command line stands for, such as a date."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in items):
        raise DiloError(
            f"{where} must be text, a number, true, false or a list of these, got {value!r}"
        )
