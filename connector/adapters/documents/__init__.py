"""Documents people read: PDF by Typst."""
