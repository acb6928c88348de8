"""An incoming webhook like Slack's, and a page that shows what it was sent."""
