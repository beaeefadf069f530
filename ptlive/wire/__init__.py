"""Bytes in, bytes out: gdb driven through its machine interface, and its remote protocol."""
