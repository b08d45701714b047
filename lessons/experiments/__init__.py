"""What one lesson measures and a cell cannot hold."""
