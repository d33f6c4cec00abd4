"""Sends, proves, demotes and fails what ``proven_tx_reqs`` holds, each on evidence (R8-R31, R49-R52)."""
