"""Tests by concept, not by module. A folder of tests is a package, so that two may have files of one name."""
