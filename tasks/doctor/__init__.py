"""What a release needs of the services that it uses: each thing looked at before one begins, and nothing changed."""
