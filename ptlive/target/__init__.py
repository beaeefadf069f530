"""The live guest: attaching to it, its CPU state, and starting QEMU."""
