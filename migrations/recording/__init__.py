"""What revisions send and build, seen on a throwaway database before they run anywhere that matters."""
