"""Tables of localisation and masks: floors once, and what does not exceed them is marked."""

from support.pages import Page
from support.reports import localize, saliency

from dilo.eval.records.reading import Result, Source
from dilo.eval.report.gathered import gather
from dilo.eval.report.places import localisation_section, masks_section


def gathered(tmp_path, *records, is_run=True):
    """Gather records, each of a source of its own."""
    sources = []
    for name, record in zip("ab", records, strict=False):
        path = tmp_path / f"{name}.json"
        path.touch()
        result = Result(record["task"], path, record)
        sources.append(Source(name, tmp_path, is_run, results=[result]))
    return gather(sources, [], tmp_path) if is_run else gather([], sources, tmp_path)


def rows(section):
    """Read the first table: its rows as words."""
    page = Page(section.body.replace("</td>", "|</td>").replace("</th>", "|</th>"))
    return page.text


def test_runs_of_the_same_images_share_a_table_and_its_floors(tmp_path):
    section = localisation_section(gathered(tmp_path, localize("x", 45.0), localize("y", 50.0)))
    text = rows(section)
    assert text.startswith("200 images|MaxBoxAcc, %|")
    assert text.count("floor: center prior") == 1
    assert text.index("b, cam of the true class|50.0|") < text.index("floor: center prior|41.0|")
    assert "a, cam of the true class|45.0|42.0|54.0|37.0|" in text


def test_what_does_not_exceed_the_best_floor_is_marked(tmp_path):
    text = rows(localisation_section(gathered(tmp_path, localize("x", 41.0))))
    assert "a, cam of the true class|▽ 41.0|▽ 38.0|" in text
    assert "floor: center prior|41.0|" in text
    text = rows(localisation_section(gathered(tmp_path, localize("x", 41.1))))
    assert "a, cam of the true class|41.1|" in text


def test_runs_of_other_images_have_tables_of_their_own(tmp_path):
    other = localize("y", 50.0) | {"images": 100}
    section = localisation_section(gathered(tmp_path, localize("x", 45.0), other))
    text = rows(section)
    assert text.count("floor: center prior") == 2
    assert "a, 200 images" in text
    assert "b, 100 images" in text
    assert "Not measured alike: other images (a 200, b 100)." in text


def test_rows_of_a_folder_are_called_as_the_record_calls_them(tmp_path):
    section = localisation_section(gathered(tmp_path, localize("x", 45.0), is_run=False))
    assert "x cam, of the true class|" in rows(section)


def test_masks_have_a_row_a_method_and_a_dash_for_what_is_missing(tmp_path):
    text = rows(masks_section(gathered(tmp_path, saliency(), is_run=False)))
    assert "a: 200 images, truth masks" in text
    assert "gs|0.810|0.700|0.660|0.120|\u2013|\u2013|" in text


def test_without_records_there_are_no_sections(tmp_path):
    empty = gather([Source("a", tmp_path)], [], tmp_path)
    assert localisation_section(empty) is None
    assert masks_section(empty) is None
