import boto3
import pytest

from local_region.cloudformation.shapes import api_request


@pytest.fixture(scope="module")
def ecs():
    return boto3.client(
        "ecs", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def test_names_and_types_become_the_apis(ecs):
    request = api_request(
        ecs,
        "RegisterTaskDefinition",
        {
            "Family": "shop",
            "Cpu": 256,
            "RuntimePlatform": {"CpuArchitecture": "X86_64"},
            "Volumes": [{"Name": "data"}],
            "ContainerDefinitions": [
                {
                    "Name": "app",
                    "Essential": "true",
                    "PortMappings": [{"ContainerPort": "8000", "Protocol": "tcp"}],
                    "Environment": [{"Name": "SEED", "Value": 100}],
                    "HealthCheck": {"Command": ["CMD", "true"], "Interval": "30"},
                    "LogConfiguration": {"LogDriver": "awslogs", "Options": {"Max-Size": 1}},
                }
            ],
        },
    )
    assert request["cpu"] == "256"
    assert request["runtimePlatform"] == {"cpuArchitecture": "X86_64"}
    container = request["containerDefinitions"][0]
    assert container["essential"] is True
    assert container["portMappings"] == [{"containerPort": 8000, "protocol": "tcp"}]
    assert container["environment"] == [{"name": "SEED", "value": "100"}]
    assert container["healthCheck"]["interval"] == 30
    # The keys of a map are the user's, not the model's.
    assert container["logConfiguration"]["options"] == {"Max-Size": "1"}


def test_renamed_and_ignored_properties(ecs):
    request = api_request(
        ecs,
        "CreateService",
        {"ServiceName": "api", "PlacementStrategies": [{"Type": "spread"}], "Mine": 1},
        renamed={"PlacementStrategies": "placementStrategy"},
        ignored=["Mine"],
    )
    assert request == {"serviceName": "api", "placementStrategy": [{"type": "spread"}]}


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Nonsense": 1}, r"extraneous key \[Nonsense\] is not permitted in CreateService"),
        ({"DesiredCount": "many"}, "CreateService.desiredCount must be a number, not 'many'"),
        ({"DeploymentConfiguration": "x"}, "CreateService.deploymentConfiguration must be a map"),
    ],
)
def test_what_the_api_does_not_know_is_refused(ecs, properties, message):
    with pytest.raises(ValueError, match=message):
        api_request(ecs, "CreateService", properties)


def test_one_value_where_a_list_is_wanted(ecs):
    assert api_request(ecs, "DescribeServices", {"Services": "api"}) == {"services": ["api"]}
