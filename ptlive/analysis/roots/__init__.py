"""Root tables in RAM, found by their structure alone: no symbols, no help from the guest."""
