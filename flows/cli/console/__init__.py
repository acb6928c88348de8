"""What commands share: how they ask, tell and fail, and where they find settings and servers."""
