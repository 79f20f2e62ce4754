"""Foreign billing systems, one folder per way to reach them."""
