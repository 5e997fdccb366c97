"""Fixtures of the scenarios: applications on the shared sandbox."""

from tests.scenarios.application import api, application, place

__all__ = ["api", "application", "place"]
