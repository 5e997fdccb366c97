"""What a newcomer and CI run. Not part of the package that is installed."""
