"""A process of its own for one task body at a time: both ends of the wire, and what keeps it from outliving us."""
