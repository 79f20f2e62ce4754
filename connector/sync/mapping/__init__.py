"""The mapping files and what they are held against."""
