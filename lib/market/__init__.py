"""Where machines are rented: what a market offers, what an instance is in its life, and when it pays to rent one."""
