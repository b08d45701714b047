"""Files that are either complete or absent, and the formats that the methods share."""
