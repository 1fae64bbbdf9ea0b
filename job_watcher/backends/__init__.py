"""Where jobs run: one module a kind of compute, all behind the protocol in `base`."""
