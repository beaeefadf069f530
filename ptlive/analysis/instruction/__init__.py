"""What one x86 instruction touches: its bytes and the registers in, linear addresses out.

Nothing here reads memory or knows a page table. `touches.touches` is the way in.
"""
