"""One contract, two engines: the fake one and the real one, with both of its builders."""
