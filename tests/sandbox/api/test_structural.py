"""What a definition's schema and rules say of an object, asked of the deciding functions alone."""

from __future__ import annotations

from typing import Any

import pytest

from kfold.sandbox.api import expressions
from kfold.sandbox.api.documents import Object
from kfold.sandbox.api.structural import Structure, bad_schema


def causes(schema: Object, new: Any, old: Any = None) -> list[tuple[str, str]]:
    """(reason, field) of what does not fit, of objects that hold these as spec."""
    whole = {"type": "object", "properties": {"spec": schema}}
    assert not bad_schema(whole, "schema"), "the definition itself is taken"
    structure = Structure({"schema": {"openAPIV3Schema": whole}})
    before = None if old is None else {"spec": old}
    return [(reason, field) for reason, field, _ in structure.causes({"spec": new}, before)]


SIZES: Object = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}},
    },
}


def test_an_update_answers_only_for_what_it_changes() -> None:
    stored = {"size": 0, "parts": [{"name": "long name"}]}
    assert len(causes(SIZES, stored)) == 2, "made anew, both are held against it"
    assert causes(SIZES, stored, stored) == []
    assert causes(SIZES, stored | {"size": -1}, stored) == [("FieldValueInvalid", "spec.size")]
    assert causes(SIZES, stored, {"parts": stored["parts"]}) == [("FieldValueInvalid", "spec.size")], "it was not there"
    moved = {"size": 2, "parts": [{"name": "new"}, {"name": "long name"}]}
    assert causes(SIZES, moved, stored) == [("FieldValueTooLong", "spec.parts[1].name")], "at another place it is another"


def test_lists_that_json_schema_would_refuse_are_taken_as_go_takes_them() -> None:
    schema: Object = {
        "type": "object",
        "required": ["size", "size"],
        "properties": {
            "size": {"type": "integer", "enum": [1, 2, 2]},
            "any": {"type": "string", "enum": []},
            "more": {"type": "object", "required": []},
        },
    }
    assert causes(schema, {"size": 2, "any": "thing", "more": {}}) == []
    assert causes(schema, {}) == [("FieldValueRequired", "spec.size")], "once, though it is required twice"
    assert causes(schema, {"size": 3}) == [("FieldValueNotSupported", "spec.size")]


def test_bounds_are_exclusive_only_where_there_is_a_bound() -> None:
    def schema(**bound: Any) -> Object:
        return {"type": "object", "properties": {"size": {"type": "integer", **bound}}}

    assert causes(schema(exclusiveMinimum=True, exclusiveMaximum=True), {"size": 0}) == []
    assert causes(schema(minimum=0, exclusiveMinimum=True), {"size": 0}) == [("FieldValueInvalid", "spec.size")]
    assert causes(schema(minimum=0, exclusiveMinimum=False), {"size": 0}) == []
    assert causes(schema(maximum=0, exclusiveMaximum=True), {"size": 0}) == [("FieldValueInvalid", "spec.size")]


def with_rule(rule: str, **more: Any) -> Object:
    return {"type": "object", "properties": {"size": {"type": "integer"}}, expressions.KEY: [{"rule": rule, **more}]}


@pytest.mark.parametrize(
    ("rule", "old", "held"),
    [
        ("self.size > 5", None, True),
        ("self.size > 5", {"size": 0}, True),
        ("self.size > 5", {"size": 1}, False),  # as it was
        ("self.size > oldSelf.size", None, False),  # about changes, and there is none
        ("self.size > oldSelf.size", {"size": 0}, False),
        ("self.size > oldSelf.size", {"size": 1}, True),
        ("self.size > oldSelf.size", {"size": 9}, True),
    ],
)
def test_a_rule_is_held_against_what_changed(rule: str, old: Object | None, held: bool) -> None:
    assert causes(with_rule(rule), {"size": 1}, old) == ([("FieldValueInvalid", "spec")] if held else [])


@pytest.mark.parametrize("rule", ["self.size.isThing()", "thing(self.size)", "quantity('1').isGreaterThan(self.size)"])
def test_a_rule_that_needs_what_is_not_there_holds_nothing_up(rule: str) -> None:
    """A real server has these functions, and checked their types when the definition was made."""
    assert causes(with_rule(rule), {"size": 1}) == []


def test_a_rule_stored_when_rules_were_not_looked_at_holds_nothing_up() -> None:
    schema = with_rule("self.size >")
    assert [reason for reason, _, _ in bad_schema({"type": "object", "properties": {"spec": schema}}, "schema")]
    assert expressions.broken(schema, {"size": 1}, None) == []


def test_rules_wait_for_an_object_of_the_right_types() -> None:
    found = causes(with_rule("self.size > 5"), {"size": "many"})
    assert found == [("FieldValueTypeInvalid", "spec.size"), ("FieldValueInvalid", "<nil>")]
