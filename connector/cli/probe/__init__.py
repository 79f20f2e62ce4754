"""What every org does, as tables of calls and answers: tried on any org, here or elsewhere."""
