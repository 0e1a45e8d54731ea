"""Examples beside the product: nothing in r1ray imports them; configurations name them by dotted path."""
