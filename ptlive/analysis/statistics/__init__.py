"""How much is mapped, with what, how often, and what its tables cost: counted on a graph."""
