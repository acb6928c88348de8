"""The local platform: real PostgreSQL behind Neon's API, a real application behind Vercel's, Slack and traffic."""
