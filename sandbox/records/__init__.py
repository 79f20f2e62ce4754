"""What happens when records are written: rules, behaviours, roll-ups, automation."""
