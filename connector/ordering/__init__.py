"""Orders, work orders and tasks: from what was sold to what has to be done."""
