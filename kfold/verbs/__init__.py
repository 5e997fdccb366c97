"""What steps do: one file a verb and its reverse."""
