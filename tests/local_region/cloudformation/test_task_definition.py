import pytest

from local_region.cloudformation.task_definition import task_definition

ARN = "arn:aws:ecs:eu-west-1:000000000000:task-definition/f:1"
PROPERTIES = {
    "Cpu": 256,
    "Volumes": [{"Name": "data"}],
    "ContainerDefinitions": [
        {"Name": "app", "Image": "i", "Secrets": [{"Name": "K", "ValueFrom": "arn:s"}]}
    ],
}


@pytest.fixture
def resource(context):
    context.client("ecs", "eu-west-1", "000000000000").answers = {
        "register_task_definition": {"taskDefinition": {"taskDefinitionArn": ARN}}
    }
    return task_definition(context)


def test_no_field_is_lost_and_the_family_is_stable(context, resource):
    assert resource.create("Task", PROPERTIES, "stack") == (ARN, {"TaskDefinitionArn": ARN})
    resource.update(ARN, PROPERTIES, {**PROPERTIES, "Cpu": 512}, "stack", "Task")
    first, second = context.clients["ecs"].asked_for("register_task_definition")
    assert first["family"] == second["family"]
    assert first["volumes"] == [{"name": "data"}]
    assert first["containerDefinitions"][0]["secrets"] == [{"name": "K", "valueFrom": "arn:s"}]
    assert (first["cpu"], second["cpu"]) == ("256", "512")


def test_tags_alone_make_no_revision(context, resource):
    tagged = {**PROPERTIES, "Tags": [{"Key": "a", "Value": "b"}]}
    assert resource.update(ARN, PROPERTIES, tagged, "stack", "Task")[0] == ARN
    ecs = context.clients["ecs"]
    assert ecs.asked_for("register_task_definition") == []
    assert ecs.asked_for("tag_resource") == [
        {"resourceArn": ARN, "tags": [{"key": "a", "value": "b"}]}
    ]


def test_a_change_replaces_it_in_a_change_set(resource):
    assert "ContainerDefinitions" in resource.replacing
    assert "Tags" not in resource.replacing


def test_deleting_deregisters(context, resource):
    resource.delete(ARN, PROPERTIES)
    ecs = context.clients["ecs"]
    assert ecs.asked_for("deregister_task_definition") == [{"taskDefinition": ARN}]
