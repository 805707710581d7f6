from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from local_region.cloudwatch.wire import epoch_s, nested, xml_body
from local_region.errors import AwsError


@pytest.mark.parametrize(
    "value",
    [
        1000,
        "1000.0",
        "1970-01-01T00:16:40Z",
        "1970-01-01T00:16:40",
        "1970-01-01T01:16:40+01:00",
        datetime.fromtimestamp(1000, UTC),
    ],
)
def test_every_way_to_write_a_time(value):
    assert epoch_s(value) == 1000.0


def test_what_is_no_time_is_refused():
    with pytest.raises(AwsError, match="yesterday is no timestamp"):
        epoch_s("yesterday")


def test_the_query_protocols_parameters_become_a_tree():
    flat = {
        "Action": ["PutMetricData"],
        "MetricData.member.2.MetricName": ["b"],
        "MetricData.member.1.MetricName": ["a"],
        "MetricData.member.1.Dimensions.member.1.Name": ["n"],
    }
    assert nested(flat) == {
        "Action": "PutMetricData",
        "MetricData": [{"MetricName": "a", "Dimensions": [{"Name": "n"}]}, {"MetricName": "b"}],
    }


def test_an_answer_as_xml():
    body = xml_body(
        "GetMetricStatistics",
        {"Label": "a<b", "Datapoints": [{"Timestamp": 1000.0, "Sum": 2.0,
                                         "ExtendedStatistics": {"p95": 1.5}}]},
    )  # fmt: skip
    root = ElementTree.fromstring(body)
    space = "{http://monitoring.amazonaws.com/doc/2010-08-01/}"
    assert root.find(f".//{space}Label").text == "a<b"
    assert root.find(f".//{space}Timestamp").text == "1970-01-01T00:16:40.000+00:00"
    entry = root.find(f".//{space}ExtendedStatistics/{space}entry")
    assert [child.text for child in entry] == ["p95", "1.5"]
