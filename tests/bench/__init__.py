"""How fast kfold is, beside the thing it is compared to, in the same run: `python -m tests.bench`. Nothing is asserted."""
