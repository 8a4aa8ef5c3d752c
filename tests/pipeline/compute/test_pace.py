"""How fast a network was: added up, in words and for machines."""

from dilo.pipeline.compute.batches import Throughput


def test_shards_are_added_up_and_said_in_a_line():
    pace = Throughput(10, 4.0, 0.1) + Throughput(21, 6.0, 0.1)
    assert pace == Throughput(31, 10.0, 0.2)
    assert pace.report_line("basnet") == (
        "basnet: 3.1 images/s per process, 2 % of the time waiting for data"
    )
    assert pace.as_dict() == {"images_per_second": 3.1, "data_wait": 0.02}


def test_where_nothing_was_made_there_is_no_speed():
    assert Throughput().as_dict() == {"images_per_second": None, "data_wait": None}
    assert Throughput(1).as_dict() == {"images_per_second": 0.0, "data_wait": 0.0}
