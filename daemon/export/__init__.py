"""Results as files to hand over, a module per idea of a file. Pure: what is to be written is handed in."""
