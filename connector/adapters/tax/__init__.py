"""Providers of taxes, asked over the network."""
