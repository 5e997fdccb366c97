"""What kind of cluster a run is for, and what follows: does it share this engine, is it loaded, does it pull?"""
