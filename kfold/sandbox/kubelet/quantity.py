"""Kubernetes quantities, as the API reads them."""

from __future__ import annotations

from kfold.sandbox.api.quantity import amount, parse, quality_of_service

__all__ = ["amount", "parse", "quality_of_service"]
