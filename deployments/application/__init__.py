"""The released application seen from outside: probes, a watch on its address, its defences."""
