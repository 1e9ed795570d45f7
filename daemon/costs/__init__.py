"""What analysis costs: estimates before it is paid for."""
