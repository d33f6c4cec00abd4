"""Protocol types of the BSV blockchain: transactions, BEEF, BUMP, headers, BRC-100 shapes, errors and ports."""
