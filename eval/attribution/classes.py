"""Whose score a map is of: the class of the image, where the classifier knows it."""

from collections.abc import Mapping, Sequence

from dilo.eval.attribution.maps import ClassRule
from dilo.eval.models.classifier import Classifier
from dilo.pipeline.errors import DiloError


def known_classes(
    classifier: Classifier, classes: Sequence[str], where: str, rule: ClassRule | None
) -> tuple[Mapping[str, int] | None, ClassRule, str]:
    """Decide of which class the maps of a classifier are.

    Parameters
    ----------
    classifier : Classifier
        The classifier.
    classes : sequence of str
        Names of the class folders, sorted; empty where an image lies outside any.
    where : str
        The images, for messages.
    rule : {"true", "predicted"} or None
        What the user asks for; None takes the true class where the classifier knows it.

    Returns
    -------
    mapping of str to int, or None
        The classifier's row for each class folder, as far as they are its classes.
    str
        "true" or "predicted".
    str
        Why it is not the true class, if the user left it open; else empty.

    Raises
    ------
    DiloError
        If the user asks for the true class and it is not known.
    """
    try:
        if not classes:
            raise DiloError(f"{where} has no class folders")
        rows = classifier.numbers(classes, where)
    except DiloError as error:
        if rule == "true":
            raise DiloError(f"--class true: {error}; or give --class predicted") from error
        return None, "predicted", "" if rule else str(error)
    return dict(zip(classes, rows.tolist(), strict=True)), rule or "true", ""
