"""One module per library: `ROWS` maps the name of a row to the leanest code that does it with that library."""
