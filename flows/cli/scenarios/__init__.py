"""What the demo shows beside a release under traffic: one scenario a file."""
