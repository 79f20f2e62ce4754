"""Change events and platform events, and the gRPC service that hands them out."""
