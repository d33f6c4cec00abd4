"""The chain itself: values and rules, without a clock, a socket or a random number."""
