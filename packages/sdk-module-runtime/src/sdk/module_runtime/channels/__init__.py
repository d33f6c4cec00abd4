"""Framed streams over TCP, TLS and unix sockets, for both ends."""
