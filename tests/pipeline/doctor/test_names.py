"""Names of files that come back, and those that do not."""

import dataclasses

from dilo.pipeline.doctor.writing import KeptNames, kept_names, names

ALL = KeptNames(long=True, accents=True, raw=True, case=True)


def test_this_disk_keeps_long_names_and_case(tmp_path):
    kept = kept_names(tmp_path)
    assert kept.long
    assert kept.case == (not (tmp_path / "CASE").samefile(tmp_path / "case"))


def test_names_that_are_not_kept_are_told_apart():
    assert names(ALL).advice == ""
    short = names(dataclasses.replace(ALL, long=False, raw=False))
    assert short.found == "plain ones; not kept: names of 240 letters, bytes that are not UTF-8"
    one = names(dataclasses.replace(ALL, case=False))
    assert one.found == "a.jpg and A.jpg are one file here"
    assert "unpack" in one.advice
