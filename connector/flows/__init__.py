"""The stories that join contexts; the only room that may."""
