"""The message: its model, reading it strictly, and the contract as documents."""
