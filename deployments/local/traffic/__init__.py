"""Users of the released application, and the figures that they leave behind."""
