"""What is sold and at which price, dated; see README.md."""
