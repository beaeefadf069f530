"""What `scripts/thesis` does: measures the two ways of `guest/pagetables`, and writes the page."""
