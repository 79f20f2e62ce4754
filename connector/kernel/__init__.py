"""Pure value types that every other room may use; this room uses none of them."""
