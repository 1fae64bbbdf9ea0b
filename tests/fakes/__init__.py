"""Services and machines of others, on loopback: a market that rents hosts out, its bills, and the hosts themselves."""
