"""A rehearsal: the plan run on a copy of production, and the evidence that it leaves."""
