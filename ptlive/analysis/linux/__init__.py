"""Linux on x86-64: its address-space layout, and what it keeps in entries that are not present."""
