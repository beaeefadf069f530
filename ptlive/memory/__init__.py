"""Physical memory behind one protocol, `ptlive.arrays.Memory`, whatever holds it."""
