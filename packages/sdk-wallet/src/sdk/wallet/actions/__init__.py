"""The client side of each action: check what storage answers, build, sign, verify, hand over."""
