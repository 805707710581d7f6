from local_region.cloudformation.schemas import schema_of


def test_a_schema_says_what_ref_getatt_and_replacement_are():
    schema = schema_of("AWS::ApplicationAutoScaling::ScalableTarget")
    assert schema.identifiers == ("ResourceId", "ScalableDimension", "ServiceNamespace")
    assert schema.attributes == ("Id",)
    assert "ResourceId" in schema.create_only
    assert "MinCapacity" not in schema.create_only


def test_an_unknown_type_has_none():
    assert schema_of("AWS::Nothing::AtAll") is None
