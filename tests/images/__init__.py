"""`build`, `tag` and `prune`, by the real `doit` on the real engine; what the engine holds is compared before and after."""
