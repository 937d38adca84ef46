"""Which channels of which values can only leave a network together, and the network without them."""
