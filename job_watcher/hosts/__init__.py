"""A host at the other end of ssh: reached, probed, made ready and given work. It knows no queue and no market."""
