"""Live page-table analysis of x86-64 guests under QEMU, verified by the guest's own MMU."""

__version__ = "0.1.0"
