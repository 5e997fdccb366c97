"""Fixtures of the targets' tests: applications on the shared sandbox."""

from tests.scenarios.application import api, application, applications, place

__all__ = ["api", "application", "applications", "place"]
