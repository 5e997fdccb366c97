"""Fixtures of the cleanup tests: applications on the shared sandbox."""

from tests.scenarios.application import api, application, applications, example, place

__all__ = ["api", "application", "applications", "example", "place"]
