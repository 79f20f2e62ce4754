"""Lives of customers played through the pure rules of charging and billing, without a store."""
