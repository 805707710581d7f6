"""Reading the configuration through Sceptre: order, symbols, values, errors."""

from pathlib import Path

import pytest

from runbook.environment import LAYERS, Environment
from runbook.errors import InputInvalid
from runbook.stacks.layers import load_layers


def test_layers_come_in_launch_order_with_outputs_symbolic(environment: Environment) -> None:
    network, service = load_layers(environment)
    assert (network.name, service.name) == ("network", "service")
    assert service.depends_on == ("network",)
    assert service.parameters["Vpc"] == "{shop-local-network.VpcId}"
    assert service.parameters["Where"] == "{shop-local-network.VpcId}:tail"
    assert service.unresolved == ("shop-local-network.VpcId",)
    assert network.tags == {"project": "shop"}


def test_a_lookup_gives_values_also_inside_other_resolvers(environment: Environment) -> None:
    (service,) = load_layers(environment, ["service"], lookup=lambda stack, key: f"{stack}/{key}")
    assert service.parameters["Vpc"] == "shop-local-network/VpcId"
    assert service.parameters["Where"] == "shop-local-network/VpcId:tail"
    assert service.unresolved == ()


def test_the_request_carries_template_parameters_and_tags(environment: Environment) -> None:
    (network,) = load_layers(environment, ["network"])
    request = network.request()
    assert request["StackName"] == "shop-local-network"
    assert "AWS::EC2::VPC" in request["TemplateBody"]
    assert request["Parameters"] == [{"ParameterKey": "Cidr", "ParameterValue": "10.0.0.0/16"}]
    assert "RoleARN" not in request


def test_an_unknown_layer_is_named_with_the_known_ones(environment: Environment) -> None:
    with pytest.raises(InputInvalid, match=r"'netwrk' not found: there are network, service"):
        load_layers(environment, ["netwrk"])


@pytest.mark.parametrize("text", ["template: [", "template:\n  path: {{ nothing }}\n"])
def test_a_broken_configuration_is_an_error_with_its_place(
    environment: Environment, text: str
) -> None:
    (environment.sceptre_dir / "config/local/network.yaml").write_text(text)
    with pytest.raises(InputInvalid, match="The stacks of local cannot be read"):
        load_layers(environment)


def test_of_layers_that_are_named_only_those_are_read(environment: Environment) -> None:
    broken = environment.sceptre_dir / "config/local/service.yaml"
    broken.write_text(broken.read_text() + "  Image: !service_image\n")
    assert [layer.name for layer in load_layers(environment, ["network"])] == ["network"]
    with pytest.raises(InputInvalid, match="Layer 'netwrok' not found: there are network, service"):
        load_layers(environment, ["netwrok"])


def test_the_deploying_notebook_names_every_layer_in_its_order() -> None:
    notebook = Path(__file__).parents[2] / "notebooks" / "10_deploy.ipynb"
    assert f"in order: {', '.join(LAYERS)}." in notebook.read_text(encoding="utf-8")
