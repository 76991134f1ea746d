"""The only SQL. `engine.Database` is the door; every other module holds synchronous functions `fn(conn, …)` for it."""
