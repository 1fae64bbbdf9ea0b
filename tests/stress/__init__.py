"""The stress test of the requirement in real time: ten long naps, one slot of a free machine, a cloud with a limit."""
