"""dev: the loop itself, what it watches, and the logs that it shows. It is handed `run(selection)`, and knows no doit."""
