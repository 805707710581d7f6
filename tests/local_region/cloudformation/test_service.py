import pytest

from local_region.cloudformation.service import service
from local_region.context import Stabilisation

ARN = "arn:aws:ecs:eu-west-1:000000000000:service/shop/api"
DESCRIBED = {
    "service": {
        "serviceArn": ARN,
        "serviceName": "api",
        "clusterArn": "arn:aws:ecs:eu-west-1:000000000000:cluster/shop",
        "deployments": [
            {"id": "new", "status": "PRIMARY"},
            {"id": "old", "status": "ACTIVE"},
        ],
    }
}
PROPERTIES = {
    "Cluster": "shop",
    "TaskDefinition": "arn:td:1",
    "HealthCheckGracePeriodSeconds": "15",
}


class World:
    def __init__(self, context):
        self.outcome = Stabilisation("COMPLETED", "")
        self.waited, self.ended = [], []
        self.resource = service(context, self.wait_stable, self.wait_inactive)
        self.ecs = context.client("ecs", "eu-west-1", "000000000000")
        self.ecs.answers = {"create_service": DESCRIBED, "update_service": DESCRIBED}

    def wait_stable(self, *arguments):
        self.waited.append(arguments)
        return self.outcome

    def wait_inactive(self, *arguments):
        self.ended.append(arguments)
        return True


@pytest.fixture
def world(context):
    return World(context)


def test_creation_waits_for_its_own_deployment(world):
    made = world.resource.create("Service", PROPERTIES, "stack")
    assert made == (ARN, {"ServiceArn": ARN, "Name": "api"})
    assert world.waited == [("shop", "api", "new", 7.0)]
    [request] = world.ecs.asked_for("create_service")
    assert request["desiredCount"] == 1
    assert request["healthCheckGracePeriodSeconds"] == 15
    assert request["serviceName"].startswith("stack-Service-")


def test_an_update_sends_what_changed_and_leaves_the_count_alone(world):
    new = {**PROPERTIES, "TaskDefinition": "arn:td:2"}
    assert world.resource.update(ARN, PROPERTIES, new, "stack", "Service")[0] == ARN
    [request] = world.ecs.asked_for("update_service")
    assert request == {"cluster": "shop", "service": ARN, "taskDefinition": "arn:td:2"}
    assert world.waited == [("shop", "api", "new", 7.0)]


def test_tags_are_set_by_themselves(world):
    old = {**PROPERTIES, "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "1"}]}
    new = {**PROPERTIES, "Tags": [{"Key": "a", "Value": "2"}]}
    world.resource.update(ARN, old, new, "stack", "Service")
    assert world.ecs.asked_for("untag_resource") == [{"resourceArn": ARN, "tagKeys": ["b"]}]
    assert world.ecs.asked_for("tag_resource") == [
        {"resourceArn": ARN, "tags": [{"key": "a", "value": "2"}]}
    ]


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Stabilisation("FAILED", "ECS deployment circuit breaker: tasks failed to start."),
         "ECS Deployment Circuit Breaker was triggered'. Reason: .*tasks failed to start"),
        (Stabilisation("FAILED", "ECS deployment alarm in ALARM"), "deployment alarm in ALARM"),
        (Stabilisation("TIMEOUT", ""), "not stable after 7 s.*NotStabilized"),
        (Stabilisation("GONE", ""), "deleted while it was awaited"),
    ],
)  # fmt: skip
def test_a_deployment_that_fails_fails_the_resource_and_leaves_nothing(world, outcome, message):
    world.outcome = outcome
    with pytest.raises(ValueError, match=message):
        world.resource.create("Service", PROPERTIES, "stack")
    [deleted] = world.ecs.asked_for("delete_service")
    assert deleted == {"cluster": "shop", "service": ARN, "force": True}
    assert world.ended == [("shop", "api", 7.0)]


def test_a_failed_update_is_left_to_the_rollback(world):
    world.outcome = Stabilisation("FAILED", "circuit breaker")
    with pytest.raises(ValueError, match="Circuit Breaker"):
        world.resource.update(ARN, PROPERTIES, {**PROPERTIES, "TaskDefinition": "t"}, "s", "S")
    assert world.ecs.asked_for("delete_service") == []


def test_a_refusal_of_ecs_is_the_resources_reason(world):
    world.ecs.refuse("create_service", "ClientException", "Unable to find task definition")
    with pytest.raises(ValueError, match=r"Unable to find task definition.*ClientException"):
        world.resource.create("Service", PROPERTIES, "stack")
    assert world.waited == []


def test_deleting_what_is_gone_is_fine(world):
    world.ecs.refuse("delete_service", "ServiceNotFoundException")
    world.resource.delete(ARN, PROPERTIES)
