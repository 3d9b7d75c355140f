"""Tuneguard."""
