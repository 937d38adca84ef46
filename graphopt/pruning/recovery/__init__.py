"""Winning answers back in closed form: what is left of a changed network refits to what the original computed."""
