"""When objects count as stable."""
