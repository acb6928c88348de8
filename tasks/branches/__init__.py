"""The branches of a target in Neon: what room there is, and which of them may go."""
