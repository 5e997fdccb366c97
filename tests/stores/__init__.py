"""Tests of the stores, each against the fake and the real thing."""
