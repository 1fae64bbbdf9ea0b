"""Machines that are rented, kept and ended: where the pure life of one meets its market and its row in the queue."""
