"""Examples beside the product: nothing in r1ray imports them; a configuration names them by dotted path."""
